"""The events of a file that are impossible, by the bounds and rules of their format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FIX_EVENT
from anomaly_hep.formats.layout import Column, Layout
from anomaly_hep.types import Events


@dataclass(frozen=True, eq=False)
class Finding:
    """Events that violate one condition: their rows, ascending.

    problem: the violation of the first of them, in words. reason: the same without its value, to
    count by.
    """

    branch: str
    problem: str
    reason: str
    rows: Int64[np.ndarray, " bad"]
    hint: str = ""

    def error(self, path: Path, entry: int) -> BadFileError:
        """Return the error on the first of these events, which stands at `entry` of the file."""
        cure = FIX_EVENT if not self.hint else f"{self.hint}; else {FIX_EVENT}"
        return BadFileError(path, self.problem, branch=self.branch, entry=entry, cure=cure)


def findings(layout: Layout, events: Events) -> list[Finding]:
    """Return what is impossible about the events, as far as their columns tell.

    These are floats that are not finite (also in unknown columns), values out of their column's
    bounds, a multiplicity that differs from the number of particles, and broken rules.
    """
    found = [*_bad_values(layout, events), *_bad_multiplicity(layout, events)]
    bad = bad_rows(found, len(events))
    columns = {**events.particles, **events.events}
    for rule in layout.rules:
        if not all(name in columns for name in rule.needs):
            continue
        with np.errstate(all="ignore"):  # of values that are bad by themselves
            broken = rule.broken(events) & ~bad
        if broken.any():
            rows = np.flatnonzero(broken)
            found.append(Finding(rule.needs[0], rule.problem, rule.problem, rows, rule.hint))
    return found


def bad_rows(found: list[Finding], events: int) -> Bool[np.ndarray, " event"]:
    """Return a mask of all events that violate anything."""
    bad = np.zeros(events, bool)
    for finding in found:
        bad[finding.rows] = True
    return bad


def _bad_values(layout: Layout, events: Events) -> Iterator[Finding]:
    for name, values in events.particles.items():
        if (bad := _column(layout, name).bad(values)) is not None:
            first = values[int(np.argmax(bad))]
            rows = np.searchsorted(events.offsets, np.flatnonzero(bad), side="right") - 1
            yield _of_column(layout, name, first, np.unique(rows))
    for name, values in events.events.items():
        if (bad := _column(layout, name).bad(values)) is not None:
            first = values[int(np.argmax(bad))]
            yield _of_column(layout, name, first, np.flatnonzero(bad))


def _column(layout: Layout, name: str) -> Column:
    return layout[name] if name in layout.names else Column(np.dtype(np.float64))


def _of_column(layout: Layout, name: str, value: Any, rows: Int64[np.ndarray, " bad"]) -> Finding:
    branch = layout.stored.get(name, name)
    if not np.isfinite(value):
        return Finding(branch, f"the value is {value}", "is not finite", rows)
    column = layout[name]
    must = f"must be {column.rule}"
    return Finding(branch, f"the value {value} {must}", must, rows, column.hint)


def _bad_multiplicity(layout: Layout, events: Events) -> Iterator[Finding]:
    name = layout.multiplicity
    if name is None or name not in events.events:
        return
    stated = events.events[name]
    rows = np.flatnonzero(stated != events.lengths)
    if len(rows):
        said, held = stated[rows[0]], events.lengths[rows[0]]
        problem = f"says {said:g} particles, the particle branches hold {held}"
        yield Finding(name, problem, "is not the number of particles", rows)


def reasons(found: list[Finding]) -> dict[str, int]:
    """Return how many events violate what, by column and reason."""
    return {f"{finding.branch} {finding.reason}": len(finding.rows) for finding in found}


def check(layout: Layout, path: Path, events: Events, entries: Int64[np.ndarray, " event"]) -> None:
    """Refuse impossible events; `entries` are their positions in the file."""
    if found := findings(layout, events):
        first = min(found, key=lambda finding: int(finding.rows[0]))
        raise first.error(path, int(entries[first.rows[0]]))


def checked(layout: Layout, path: Path, parts: Iterable[Events]) -> Iterator[Events]:
    """Yield the parts to be written; refuses wrong columns and values that `read` refuses."""
    entries = 0
    for part in parts:
        if len(part) and part.lengths.min() < 0:
            row = int(np.argmax(part.lengths < 0))
            problem = f"{part.lengths[row]} particles"
            raise BadFileError(path, problem, entry=entries + row, cure="count from 0 upwards")
        _check_columns(path, part.particles, layout.particles, int(part.lengths.sum()))
        _check_columns(path, part.events, layout.events, len(part))
        check(layout, path, part, np.arange(entries, entries + len(part)))
        entries += len(part)
        yield part


def _check_columns(
    path: Path, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Column], rows: int
) -> None:
    for name in sorted(set(wanted) ^ set(arrays)):
        problem = "is missing" if name in wanted else "is not one of the format's"
        cure = f"write exactly these: {', '.join(wanted)}"
        raise BadFileError(path, f"the column to write {problem}", branch=name, cure=cure)
    for name, column in wanted.items():
        values, dtype = arrays[name], column.dtype
        if values.dtype.kind != dtype.kind:
            problem, cure = f"cannot write {values.dtype} as {dtype}", f"convert it to {dtype}"
            raise BadFileError(path, problem, branch=name, cure=cure)
        if values.shape != (rows,):
            problem = f"the column to write has shape {values.shape}, the lengths say ({rows},)"
            cure = "make all columns describe the same events"
            raise BadFileError(path, problem, branch=name, cure=cure)
