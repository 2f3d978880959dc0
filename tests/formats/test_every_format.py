"""What every format says of itself: its files, its columns and what its events are called."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.formats import (
    darkmachines,
    darkshowers,
    darkshowers_raw,
    jetclass,
    jetclass2,
    jetnet,
    lhco,
    lhco_features,
    rodem,
    toptagging,
)
from anomaly_hep.formats.files import Format, formats
from anomaly_hep.formats.layout import Column

EVERY = pytest.mark.parametrize("one", formats(), ids=lambda one: one.__name__.rpartition(".")[2])


def test_the_formats_of_the_package_are_found_without_a_list() -> None:
    assert set(formats()) == {
        darkmachines,
        darkshowers,
        darkshowers_raw,
        jetclass,
        jetclass2,
        jetnet,
        lhco,
        lhco_features,
        rodem,
        toptagging,
    }


@EVERY
def test_a_format_says_what_it_is(one: Format) -> None:
    assert one.FORMAT
    assert one.SIGN
    assert one.EVENT_NOUN in ("jets", "images", "events")
    assert all(suffix.startswith(".") for suffix in one.SUFFIXES)
    assert all(len(sha256) == 64 for sha256 in one.PUBLISHED)
    assert {"recognises", "describe", "read"} <= set(vars(one))
    # what nothing simulates is not written
    assert "write" in vars(one) or one in (jetnet, toptagging)


@EVERY
def test_every_column_has_a_unit_that_fits_its_name(one: Format) -> None:
    for name in one.LAYOUT.names:
        unit = one.LAYOUT[name].unit
        momenta = ("pt", "energy", "mass", "px", "py", "pz")
        of_jets = name in ("met", "ht", "mjj") or name.endswith(("j1", "j2"))
        if name.endswith(momenta) or name.startswith("energy") or of_jets:
            assert unit == "GeV", name
        elif "phi" in name and name != "hit_phi":
            assert unit == "rad", name
        elif name.startswith(("part_d0", "part_dz")):
            assert unit == "mm", name
        else:
            assert unit in ("", "e", "mm", "rad"), name


@EVERY
def test_no_truth_is_measured(one: Format) -> None:
    measured = one.LAYOUT.measured(one.LAYOUT.names)
    assert measured
    for name in measured:
        assert not name.startswith(("label", "gen", "aux_"))
        assert name not in ("jet_label", "mass")
    assert not set(measured) & set(one.LAYOUT.particles)


def test_a_column_knows_its_bounds() -> None:
    values = np.array([-1.0, 0.0, 1.0, 2.0])

    def bad(**bounds: float) -> list[bool] | None:
        found = Column(np.dtype(np.float64), **bounds).bad(values)
        return None if found is None else found.tolist()

    assert bad() is None
    assert bad(least=-1, most=2) is None
    assert bad(least=0) == [True, False, False, False]
    assert bad(above=0) == [True, True, False, False]
    assert bad(least=0, most=1) == [True, False, False, True]
