"""`collect DIR`: one table of the finished runs below a directory, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.ensembles import find_runs
from anomaly_hep.fpga.tradeoff import write_trade_off


def run(arguments: Sequence[str]) -> None:
    """Write collected.md, .csv and .json into the directory and print the table.

    Runs with a curve.csv also give auc_against_events_seen.png and .csv, firmware runs
    fpga_tradeoff.png and .csv.
    """
    if {*arguments} & {"-h", "--help"}:
        print(f"usage: python -m anomaly_hep collect DIRECTORY\n\n{run.__doc__}")
        return
    if len(arguments) != 1:
        raise ConfigError(
            "collect takes one directory. Cure: python -m anomaly_hep collect outputs"
        )
    directory, console = Path(arguments[0]), Console(markup=False)
    runs = find_runs(directory)
    if runs:
        console.print(collect(directory))
    figure = write_trade_off(directory)
    if figure is None and not runs:
        console.print(collect(directory))  # says that there are none
    if figure is not None:
        console.print(f"efficiency against logic of the firmware runs: {figure}")
