"""`collect DIR`: one table of the finished runs below a directory, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.collect import collect


def run(arguments: Sequence[str]) -> None:
    """Write collected.md, .csv and .json into the directory and print the table.

    Runs with a curve.csv give auc_against_presentations.png and .csv too.
    """
    if len(arguments) != 1:
        raise ConfigError(
            "collect takes one directory. Cure: python -m anomaly_hep collect outputs"
        )
    Console().print(collect(Path(arguments[0])))
