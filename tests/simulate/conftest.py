"""Simulated jets for the tests: made once, with the shipped configuration."""

from __future__ import annotations

import fcntl
import os
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from anomaly_hep.simulate.production import ProductionReport, produce

CONFIG = Path(__file__).parents[2] / "conf" / "simulation" / "jetclass.yaml"


@pytest.fixture(scope="session")
def shipped() -> dict[str, Any]:
    """The configuration as it is shipped."""
    return OmegaConf.to_container(OmegaConf.load(CONFIG))


@pytest.fixture
def quick(shipped: dict[str, Any]) -> dict[str, Any]:
    """Few jets without multiparton interactions: what takes the time."""
    config = deepcopy(shipped)
    config["settings"].append("PartonLevel:MPI = off")
    config |= {"jets_per_file": 4, "batch": 10, "sizes": {"test": {"QCD": 10, "Wqq": 4}}}
    return config


@pytest.fixture(scope="session")
def sample(
    shipped: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ProductionReport]:
    """A few jets of each class, with everything switched on."""
    sizes = dict.fromkeys(("QCD", "Wqq", "Zqq", "Hbb", "Hcc", "Tbqq"), 150)
    sizes |= dict.fromkeys(("Hgg", "H4q", "Hqql", "Tbl"), 20)
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the processes of one test run share it: the first one simulates
    directory, report = root / "simulated", root / "report.pickle"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            made = produce({**shipped, "sizes": {"test": sizes}}, directory, workers=1)
            report.write_bytes(pickle.dumps(made))
    return directory, pickle.loads(report.read_bytes())
