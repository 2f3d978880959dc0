"""Numbers of boosted jets, from jets written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import rodem
from anomaly_hep.simulate.stealthjets_summary import (
    PT_EDGES,
    Quantities,
    contained,
    hardest_mass,
    of_production,
    quantities,
    table,
)
from anomaly_hep.types import Events


def pairs(pt: np.ndarray, apart: float) -> Events:
    """Return jets of two equal massless particles, `apart` in azimuth around 0."""
    number = len(pt)
    phi = np.tile([apart / 2, -apart / 2], number)
    each = np.repeat(pt / 2, 2) / np.cos(apart / 2)
    particles = {"part_pt": each, "part_eta": np.zeros(2 * number), "part_phi": phi}
    events = {"jet_pt": pt, "jet_eta": np.zeros(number), "jet_phi": np.zeros(number),
              "jet_mass": pt * np.tan(apart / 2)}  # fmt: skip
    return Events(
        np.full(number, 2),
        {name: values.astype(np.float32) for name, values in particles.items()},
        {name: values.astype(np.float32) for name, values in events.items()},
    )


def momenta(pt: np.ndarray, phi: np.ndarray) -> np.ndarray:
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), 0 * pt, pt])


def test_the_mass_of_the_hardest_leaves_out_the_others() -> None:
    """Two particles have m^2 = 2 pt1 pt2 (1 - cos phi), one has none."""
    momentum = momenta(np.array([300.0, 100.0, 50.0, 70.0]), np.array([0.0, 0.4, 3.0, 1.0]))
    found = hardest_mass(momentum, np.array([3, 0, 1]), 2)
    wanted = np.sqrt(2 * 300 * 100 * (1 - np.cos(0.4)))
    np.testing.assert_allclose(found, [wanted, 0, 0], atol=1e-5)


def test_two_particles_are_two_prongs(tmp_path: Path) -> None:
    """tau2 vanishes, and tau3, over which it is not taken."""
    jets = pairs(np.array([500.0, 700.0]), 0.4)
    rodem.write(tmp_path / "a.h5", [jets])
    columns = ["part_px", "part_py", "part_pz", "part_energy", "jet_pt", "jet_mass"]
    found = quantities(rodem.read(tmp_path / "a.h5", 0, 2, columns))
    np.testing.assert_allclose(found.pt, [500, 700])
    np.testing.assert_allclose(found.mass, [500 * np.tan(0.2), 700 * np.tan(0.2)], rtol=1e-5)
    np.testing.assert_allclose(found.hardest_mass, found.mass, rtol=1e-4)
    np.testing.assert_array_equal(found.constituents, [2, 2])
    np.testing.assert_allclose(found.tau21, 0, atol=1e-6)


def toy(pt: list[float], mass: list[float]) -> Quantities:
    values = np.array(pt, float)
    return Quantities(values, np.array(mass, float), values, values, values, values)


def test_contained_is_what_has_the_mass() -> None:
    share, error, total = contained(
        toy([500, 500, 860, 860, 860, 860], [90, 400, 400, 330, 319, 0])
    )
    assert total.tolist() == [2, 0, 0, 0, 4, 0, 0, 0, 0]
    assert share[[0, 4]].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(error[[0, 4]], [np.sqrt(0.25 / 2), 0.25])
    assert len(share) == len(PT_EDGES) - 1


def test_the_table_says_how_far_two_spectra_are_apart() -> None:
    low, high = toy([500.0] * 9, [100.0] * 9), toy([1000.0] * 9, [400.0] * 9)
    lines = table({"QCD": low, "StealthB400": high, "QCD_boosted": low})
    assert [line.split()[0] for line in lines] == [
        "medians", "QCD", "StealthB400", "QCD_boosted", "pT", "StealthB400,",
    ]  # fmt: skip
    assert "distance 1.000" in lines[-2]
    assert lines[-1].endswith("jets of more than 320 GeV: 1000-1100 GeV 100 ± 0 %")
    assert len(table({"QCD": low})) == 2


def test_a_directory_without_jets_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="has no simulated jets"):
        of_production(tmp_path)


@pytest.mark.parametrize("provenance", [None, {"origin": "published"}])
def test_jets_of_other_origin_are_never_called_simulated(
    provenance: dict[str, str] | None, tmp_path: Path
) -> None:
    (tmp_path / "test").mkdir()
    rodem.write(tmp_path / "test" / "QCD_000.h5", [pairs(np.array([500.0]), 0.4)], provenance)
    with pytest.raises(SimulationError, match="was not simulated here"):
        of_production(tmp_path)
