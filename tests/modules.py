"""Data modules as the shipped configuration has them, with other choices for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from anomaly_hep.checking import data_settings
from anomaly_hep.commands.train import make_data
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.settings import DataSettings

CONF = Path(__file__).resolve().parents[1] / "conf"


def data_of(name: str, directory: Path, **choices: Any) -> DataSettings:
    """Return the settings of data=`name` in a directory; simulated only where `choices` ask."""
    data = yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    for default in data.pop("defaults"):
        if isinstance(default, dict) and "features" in default:
            listed = CONF / "data" / "features" / f"{default['features']}.yaml"
            data["features"] = yaml.safe_load(listed.read_text())
    return data_settings({**data, "dir": str(directory), **choices})


def module_of(name: str, directory: Path, *, seed: int = 1, **choices: Any) -> EventDataModule:
    """Return the data module of data=`name` in a directory."""
    return make_data(data_of(name, directory, **choices), seed)
