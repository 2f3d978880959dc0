"""One row of a published table, of whichever paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table, as printed, in %.

    `values` and `spread` are by label of the signal or `mean GROUP`; `metric` is the key of
    metrics.json that they compare with, `model` and `score` are our names of what was measured.
    `score` is None where the paper does not name it, `inferred` where the name was reasoned from
    the numbers. `spread` (of several trainings), `parameters` and `flops` may be absent.
    """

    paper: str
    table: int
    row: str
    metric: str
    values: Mapping[str, float]
    spread: Mapping[str, float] = field(default_factory=dict)
    parameters: str | None = None
    flops: str | None = None
    model: str | None = None
    score: str | None = None
    inferred: bool = False

    @property
    def title(self) -> str:
        """How our tables name the row."""
        return f"paper Table {self.table}: {self.row}"

    @property
    def beside(self) -> str:
        """How our tables name the row where it stands below the score that it is of."""
        return (
            f"  paper T{self.table} (inferred)" if self.inferred else f"  paper Table {self.table}"
        )
