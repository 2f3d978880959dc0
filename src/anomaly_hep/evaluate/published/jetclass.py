"""Tables 1 and 2 of arXiv:2311.17162: signal efficiencies in % at background rejection 100.

Mean and spread over five trainings; the N-subjettiness row is not trained five times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.published.rows import PublishedRow

PAPER = "arXiv:2311.17162"
REJECTION = 100
METRIC = f"efficiency_at_rejection_{REJECTION}"
# Column order of both tables, by JetClass's label names.
SIGNALS = ("H4q", "Hbb", "Hcc", "Hgg", "Hqql", "Wqq", "Zqq", "Tbl", "Tbqq")


# (table, row, parameters, FLOPs, efficiencies, spreads), both lists in the order of SIGNALS
_TAU = [0.6, 1.9, 5.0, 0.2, 19, 4.1, 3.5, 31, 8.8]
_ROWS: list[tuple[int, str, str | None, str | None, list[float], list[float]]] = [
    (1, "DeepSet w/ PID", "205K", "13.8M",
     [5.9, 7.1, 6.4, 0.6, 57, 6.7, 5.7, 77, 18.1],
     [0.3, 0.8, 0.3, 0.1, 6, 0.3, 0.2, 9, 0.9]),
    (1, "DeepSet w/o PID", "205K", "13.8M",
     [4.2, 1.1, 2.6, 0.4, 28, 4.8, 3.4, 35, 9.1],
     [0.2, 0.1, 0.2, 0.2, 3, 0.6, 0.4, 7, 3.4]),
    (1, "Transformer w/ PID", "1.81M", "171M",
     [6.3, 6.1, 5.6, 0.6, 42, 5.2, 4.5, 54, 13.5],
     [0.7, 0.4, 0.5, 0.1, 3, 0.8, 0.4, 3, 0.7]),
    (1, "Transformer w/o PID", "1.81M", "171M",
     [3.0, 0.8, 1.9, 0.2, 15, 3.4, 2.4, 20, 4.4],
     [1.1, 0.3, 0.2, 0.1, 2, 0.3, 0.3, 8, 0.1]),
    (1, "N-subjettiness", None, None, _TAU, []),
    (2, "DeepSet w/ PID", "103K", "6.95M",
     [5.8, 5.1, 5.2, 0.4, 35, 3.5, 3.3, 53, 22],
     [2.1, 1.2, 1.1, 0.1, 3, 0.6, 0.6, 8, 5]),
    (2, "DeepSet w/o PID", "103K", "6.95M",
     [1.0, 2.2, 6.3, 0.2, 19, 6.0, 5.2, 49, 4],
     [0.2, 0.2, 0.5, 0.1, 1, 0.6, 0.5, 2, 1]),
    (2, "Transformer w/ PID", "952K", "78.9M",
     [6.5, 4.0, 4.9, 0.5, 43, 3.8, 3.3, 58, 19],
     [0.8, 0.9, 0.7, 0.1, 4, 0.3, 0.3, 5, 1]),
    (2, "Transformer w/o PID", "952K", "78.9M",
     [3.1, 2.2, 5.7, 0.3, 23, 5.6, 5.0, 41, 11],
     [0.8, 0.3, 0.6, 0.1, 3, 0.9, 0.6, 3, 1]),
    (2, "N-subjettiness", None, None, _TAU, []),
]  # fmt: skip

PUBLISHED: Mapping[tuple[int, str], PublishedRow] = {
    (table, row): PublishedRow(
        PAPER,
        table,
        row,
        METRIC,
        dict(zip(SIGNALS, values, strict=True)),
        dict(zip(SIGNALS, spreads, strict=True)) if spreads else {},
        parameters,
        flops,
        {1: "setvae", 2: "clipvae"}[table],
    )
    for table, row, parameters, flops, values, spreads in _ROWS
}


def published_row(table: int, row: str) -> PublishedRow:
    """Return a row by table number and the row's name as printed; ConfigError lists the rows."""
    try:
        return PUBLISHED[table, row]
    except KeyError:
        known = "; ".join(f"table {t}, row '{r}'" for t, r in PUBLISHED)
        raise ConfigError(f"no published table {table}, row '{row}'; there are: {known}") from None


def row_for(config: Mapping[str, Any]) -> PublishedRow | None:
    """Return the published row that a run's `published` names, None where it names none.

    {table: 1, row: ...} names it in full; without `row` it is that of the model's encoder and of
    its use of particle types.
    """
    key = config.get("published")
    if not key:
        return None
    if "row" in key:
        return published_row(key["table"], key["row"])
    model = config["model"]
    encoder = {"deepset": "DeepSet", "transformer": "Transformer"}[model["encoder"]["kind"]]
    return published_row(key["table"], f"{encoder} {'w/' if model['use_pid'] else 'w/o'} PID")
