"""Medians of quantities of LHC-Olympics-like events, with their intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.errors import MissingDataError
from anomaly_hep.simulate.lhco_summary import (
    Quantities,
    of_production,
    quantities,
    table,
)
from anomaly_hep.types import Events


def test_jets_without_substructure_are_left_out_of_ratios() -> None:
    columns = {"mjj": [3000.0, 3100.0], "mj1": [100.0, 500.0], "mj2": [400.0, 50.0],
               "tau1j1": [0.4, 0.2], "tau2j1": [0.2, 0.1], "tau3j1": [0.1, 0.1],
               "tau1j2": [0.0, 0.5], "tau2j2": [0.0, 0.1], "tau3j2": [0.0, 0.05]}  # fmt: skip
    events = Events(
        np.array([5, 9]), {}, {name: np.array(values) for name, values in columns.items()}
    )
    found = quantities(events)
    np.testing.assert_allclose(found.light_mass, [100, 50])
    np.testing.assert_allclose(found.heavy_mass, [400, 500])
    np.testing.assert_allclose(found.tau21, [0.5, 0.5, 0.2])
    np.testing.assert_allclose(found.tau32, [0.5, 1.0, 0.5])
    np.testing.assert_array_equal(found.particles, [5, 9])


def test_the_table_has_a_line_for_each_class() -> None:
    values = np.arange(1.0, 102.0)
    lines = table({"QCD": Quantities(*[values] * 6)})
    assert len(lines) == 2
    assert "51 [46, 56] (17-85)" in lines[1]


def test_a_directory_without_events_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="has no events"):
        of_production(tmp_path)
