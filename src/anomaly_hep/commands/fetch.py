"""`fetch`: download the published files of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_hep.formats.download import fetch


def run(config: Mapping[str, Any]) -> None:
    """Download, verify and unpack; a second call continues."""
    choices = {k: config[k] for k in ("archives", "base_url") if config[k] is not None}
    fetch(config["data"]["name"], Path(config["to"]), **choices)
