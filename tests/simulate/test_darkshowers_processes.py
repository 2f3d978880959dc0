from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from anomaly_hep.simulate.darkshowers_processes import CLASSES, PREFIXES, process_of, settings

CONF = Path(__file__).parents[2] / "conf"
CONFIG: dict[str, Any] = OmegaConf.to_container(
    OmegaConf.load(CONF / "simulation" / "darkshowers.yaml")
)


def test_classes_are_those_of_the_data_set() -> None:
    samples = OmegaConf.load(CONF / "data" / "darkshowers.yaml").samples
    for split in ("train", "val", "test"):
        files = {label: keys.files for label, keys in samples[split].items()}
        assert files == {label: f"{prefix}_*" for label, prefix in PREFIXES.items()}
    assert set(CONFIG["sizes"]["test"]) == set(CLASSES)


def test_published_names_begin_so(shared_data: Path) -> None:
    for prefix in PREFIXES.values():
        assert any((shared_data / "darkshowers" / "test").glob(f"{prefix}_*.npz"))


@pytest.mark.parametrize(
    ("name", "process"),
    [("QCD", ("QCD", 0)), ("SUEP125", ("SUEP", 125)), ("SVJ4100", ("SVJ", 4100))],
)
def test_names_hold_process_and_mass(name: str, process: tuple[str, int]) -> None:
    assert process_of(name) == process


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_the_invisible_fraction_is_that_of_every_meson(fraction: float) -> None:
    lines = settings("SVJ2100", {"svj": {**CONFIG["svj"], "invisible_fraction": fraction}})
    for meson in (4900111, 4900211, 4900113, 4900213):
        shares = [
            re.fullmatch(rf"{meson}:(one|add)Channel = 1 (\S+) (0|91) (\d+) -\4", line)
            for line in lines
        ]
        found = {int(m[4]): float(m[2]) for m in shares if m}
        invisible = sum(share for pid, share in found.items() if pid > 50)
        assert invisible == pytest.approx(fraction)
        assert sum(found.values()) == pytest.approx(1)
        # lost particles fit into the meson
        mass = {
            m[1]: float(m[2]) for m in (re.fullmatch(r"(\d+):m0 = (\S+)", x) for x in lines) if m
        }
        assert 2 * mass["51"] < mass[str(meson)] == 20


def test_masses_reach_pythia() -> None:
    assert "4900023:m0 = 3100." in settings("SVJ3100", CONFIG)
    assert "25:m0 = 700." in settings("SUEP700", CONFIG)
    assert "PhaseSpace:pTHatMin = 130.0" in settings("QCD", CONFIG)
    assert "HiddenValley:pTminFSR = 38.72" in settings("SVJ2100", CONFIG)
