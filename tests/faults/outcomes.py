"""What an injected fault may end in, and how often each of that happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anomaly_hep.errors import AnomalyHepError
from anomaly_hep.types import Events

KEPT = "named, and no half file stays"
SAME, NAMED = "the same", "one line that names it"
CHANGED = "named by its SHA-256 in the run's ledger"
SILENT, TRACEBACK, PAGE = "SILENT: other values", "TRACEBACK", "SEVERAL LINES"
WRONG = (SILENT, TRACEBACK, PAGE)


@dataclass
class Row:
    """One kind of injection, and how often it had which outcome."""

    injection: str
    outcomes: Counter[str] = field(default_factory=Counter)

    def try_(self, attempt: Callable[[], Any], expected: Any) -> None:
        """Count what an attempt ends in; `expected` is what it returns of an intact file."""
        try:
            found = attempt()
        except AnomalyHepError as error:
            self.outcomes[PAGE if "\n" in str(error) else NAMED] += 1
        except Exception:
            self.outcomes[TRACEBACK] += 1
        else:
            self.outcomes[SAME if _equal(found, expected) else SILENT] += 1

    @property
    def wrong(self) -> int:
        """How often the outcome was none of those that are promised."""
        return sum(self.outcomes[name] for name in WRONG)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Events) and isinstance(other, Events):
        return _equal(
            (one.lengths, dict(one.particles), dict(one.events)),
            (other.lengths, dict(other.particles), dict(other.events)),
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    return bool(one == other)
