"""The table of scores of a run: the test events of every class, with label, weight and mass."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.console import Console

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.evaluate.paper import Paper
from anomaly_hep.evaluate.scores import Scorer


def score_table(
    paper: Paper,
    module: EventDataModule,
    scorer: Scorer,
    console: Console | None = None,
    mass: str | None = None,
) -> pd.DataFrame:
    """Return the scores of the test files of every class, with label and weight of each event.

    `mass` is the column that is kept as `mass`: NaN in files without it.
    """
    tables: list[pd.DataFrame] = []
    optional = [name for name in paper.optional_columns if _all_have(module, name)]
    for label in module.classes:
        for file in module.files("test", label):
            weight, known = file.sample.weight, mass in file.description.columns
            extra = [*([weight] if weight else []), *([mass] if mass and known else [])]
            columns = dict.fromkeys([*paper.event_columns, *optional, *extra])
            table = scorer.score_file(file, list(columns))
            table.insert(1, "label", label)
            table["weight"] = table[weight] if weight else 1.0
            if mass:
                table["mass"] = table[mass] if known else np.nan
            tables.append(table)
        if console:
            console.print(f"scored {label}: {sum(len(t) for t in tables):,} events so far")
    return pd.concat(tables, ignore_index=True)


def _all_have(module: EventDataModule, column: str) -> bool:
    """Return whether all test files have a column."""
    files = (file for label in module.classes for file in module.files("test", label))
    return all(column in file.description.columns for file in files)
