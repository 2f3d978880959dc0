"""`fetch`: download the published files of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_hep.formats.published.download import archives_of, fetch


def run(config: Mapping[str, Any]) -> None:
    """Download, verify and unpack; a second call continues."""
    choices = {k: config[k] for k in ("archives", "base_url") if config[k] is not None}
    fetch(archives_of(config["data"]), Path(config["to"]), **choices)
