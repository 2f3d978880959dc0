from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import jetclass
from anomaly_hep.simulate.jetclass_validation import physics_figure, physics_summary, soft_drop_peak
from anomaly_hep.simulate.production import ProductionReport
from tests.toys import toy_jets


@pytest.fixture(scope="module")
def summary(sample: tuple[Path, ProductionReport]) -> dict[str, dict[str, Any]]:
    return physics_summary(sample[0])


@pytest.mark.parametrize("mass", [80.0, 125.0, 173.0])
def test_the_peak_is_found_on_top_of_a_background(mass: float) -> None:
    rng = np.random.default_rng(1)
    tail = rng.exponential(40, 100)
    peaks = [soft_drop_peak(np.concatenate([rng.normal(mass, 9, 150), tail])) for _ in range(20)]
    assert np.mean(peaks) == pytest.approx(mass, abs=1.0)
    assert np.std(peaks) < 2.5


@pytest.mark.parametrize(
    ("label", "mass"),
    [("Wqq", 82.0), ("Zqq", 92.0), ("Hcc", 125.0), ("Hbb", 125.0), ("Tbqq", 173.0)],
)
def test_resonances_peak_at_their_mass(
    label: str, mass: float, summary: dict[str, dict[str, Any]]
) -> None:
    """With the energy scale set right; jets of this detector are 1 to 5 % too soft."""
    found = summary[label]
    assert found["calibrated_peak"] == pytest.approx(mass, abs=5.0)
    assert 0.93 < found["response"] < 1.0
    assert found["soft_drop_peak"] == pytest.approx(mass, abs=9.0)


# means and medians of larger simulations of the same detector, and what 150 jets may differ by
@pytest.mark.parametrize(
    ("label", "name", "expected", "tolerance"),
    [
        ("QCD", "constituents", 36, 4), ("Hbb", "constituents", 45, 4),
        ("Tbqq", "constituents", 56, 5), ("Hgg", "constituents", 61, 10),
        ("QCD", "charged", 21.5, 3), ("Tbqq", "charged", 32, 3),
        ("QCD", "tau21", 0.63, 0.06), ("Hbb", "tau21", 0.32, 0.05), ("Wqq", "tau21", 0.35, 0.05),
        ("Tbqq", "tau21", 0.50, 0.05), ("QCD", "tau32", 0.775, 0.04), ("Tbqq", "tau32", 0.49, 0.06),
        ("QCD", "displaced", 0.075, 0.025), ("Hcc", "displaced", 0.13, 0.03),
    ],
)  # fmt: skip
def test_jets_look_like_their_class(
    label: str, name: str, expected: float, tolerance: float, summary: dict[str, dict[str, Any]]
) -> None:
    assert summary[label][name] == pytest.approx(expected, abs=tolerance)


def test_beauty_is_displaced(summary: dict[str, dict[str, Any]]) -> None:
    shares = {label: found["displaced"] for label, found in summary.items()}
    assert shares["Hbb"] > 2 * shares["QCD"]
    assert shares["Hbb"] > 1.5 * shares["Hcc"]
    assert shares["Tbqq"] > 1.5 * shares["Wqq"]


def test_the_figure_is_drawn(sample: tuple[Path, ProductionReport], tmp_path: Path) -> None:
    path = physics_figure(sample[0], tmp_path / "physics.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="anomaly_hep simulate"):
        physics_summary(tmp_path)


@pytest.mark.parametrize("provenance", [None, {"origin": "published"}])
def test_jets_of_other_origin_are_never_called_simulated(
    provenance: dict[str, str] | None, tmp_path: Path
) -> None:
    jetclass.write(tmp_path / "test" / "HToBB_000.root", [toy_jets(5, label="Hbb")], provenance)
    with pytest.raises(SimulationError, match="was not simulated here"):
        physics_summary(tmp_path)


def test_a_summary_is_json(summary: dict[str, dict[str, Any]]) -> None:
    assert set(json.loads(json.dumps(summary))) == set(jetclass.LABELS)
