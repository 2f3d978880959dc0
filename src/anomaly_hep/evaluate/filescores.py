"""Score whole files: a table with one row per event, whatever its columns, in file order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from anomaly_hep.data.inspection import SeenEvents, inspect, rule_columns
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import BadFileError, ConfigError, TooManyBadFilesError
from anomaly_hep.evaluate.scores import CHUNK, Scorer
from anomaly_hep.formats.checks import check_file, missing_branch
from anomaly_hep.formats.files import format_of, stored
from anomaly_hep.models.fits.sources import columns_of
from anomaly_hep.types import FileDescription

OWN = ("event_id", "file", "entry")
_OPENED_FIRST = 100  # files that are opened before the first event; opening one takes 10 ms


@dataclass
class FileScores:
    """The scores of files.

    carry: the columns that go along as they are stored; None: all of the first file with one number
    or text per event, but simulation truth. on_bad_file, on_bad_event, max_bad_fraction: as in
    `EventDataModule`; an impossible event that is skipped keeps its row, without scores. cuts: of a
    score, the threshold above which an event passes; an event without scores does not.
    """

    scorer: Scorer
    paths: Sequence[Path]
    carry: Sequence[str] | None = None
    on_bad_file: Literal["refuse", "skip"] = "refuse"
    on_bad_event: Literal["refuse", "skip"] = "refuse"
    max_bad_fraction: float = 0.01
    cuts: Mapping[str, float] = field(default_factory=dict)
    remarks: Counter[str] = field(default_factory=Counter)
    refused: list[BadFileError] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        given = len(self.paths)
        self.paths = _each_once(self.paths)
        if given > len(self.paths):
            self.remarks[f"{given - len(self.paths)} inputs are files that others name, too"] += 1
        self.names, self._seen = distinct_names(self.paths), SeenEvents()
        self._twins: dict[Path, Path] = {}
        for path in self.paths:
            self._opened(path, only_head=True)
        opened = [self._opened(path) for path in self.paths[:_OPENED_FIRST]]
        self._check_files()
        described = next((found for found in opened if found), None)
        if described is None:
            raise TooManyBadFilesError(f"no file can be read: {self.refused[0]}")
        self._types = self._carried_types(described)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the tables."""
        own = {"event_id": pa.string(), "file": pa.string(), "entry": pa.int64()}
        scores = dict.fromkeys(self.scorer.column_names, pa.float64())
        return pa.schema(
            {**own, **self._types, **scores, **dict.fromkeys(self._passes, pa.bool_())}
        )

    @property
    def _passes(self) -> list[str]:
        """The columns that say whether an event passes a cut."""
        return [f"pass_{name}" for name in self.cuts]

    def tables(self) -> Iterator[pa.Table]:
        """Yield the events of all files, a few thousand at a time."""
        waiting: list[Slice] = []
        for path in self.paths:
            described = self._opened(path)
            for piece in _pieces(described) if described else ():
                if waiting and sum(map(len, waiting)) + len(piece) > CHUNK:
                    yield from self._table(waiting)
                    waiting = []
                waiting.append(piece)
        yield from self._table(waiting)
        if self._twins:
            path, other = next(iter(self._twins.items()))
            number = "a file holds" if len(self._twins) == 1 else f"{len(self._twins)} files hold"
            self.remarks[f"{number} the same events as another ({path} and {other})"] += 1
        self._check_files()
        self._check_events()

    def _opened(self, path: Path, *, only_head: bool = False) -> FileDescription | None:
        """Return a file's description; None for a bad file that is skipped."""
        if any(error.path == path for error in self.refused):
            return None
        try:
            if only_head:
                check_file(path)
                return None
            described = format_of(path).describe(path)
            self._check_columns(described)
            identities = inspect(described, refuse=self.on_bad_event == "refuse")
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            self.refused.append(error)
            return None
        if other := self._seen.add("", path, identities):
            self._twins[path] = other
        return described

    def _check_columns(self, described: FileDescription) -> None:
        """Refuse a file without a column that fitted scores take."""
        for name in columns_of(self.scorer.fitted):
            if name not in described.columns:
                problem = "the branch is missing, from which scores are decorrelated"
                cure = "give files that have it, or a run with score.decorrelate=null"
                raise BadFileError(described.path, problem, branch=name, cure=cure)

    def _table(self, pieces: list[Slice]) -> Iterator[pa.Table]:
        """Yield the scores of slices; each by itself if one of them turns out to be bad."""
        if not pieces:
            return
        try:
            yield self._scored(pieces)
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            if len(pieces) > 1:
                for piece in pieces:
                    yield from self._table([piece])
            elif all(known.path != error.path for known in self.refused):
                self.refused.append(error)

    def _scored(self, pieces: list[Slice]) -> pa.Table:
        skip = self.on_bad_event == "skip"
        judged = {p.path: rule_columns(p.file.description) for p in pieces} if skip else None
        carried = [self._carried(piece) for piece in pieces]
        scored = self.scorer.score(pieces, skip_bad=skip, judged=judged)
        entries = [np.arange(piece.start, piece.stop) for piece in pieces]
        names = [self.names[piece.path] for piece in pieces]
        ids = [f"{n}:{e}" for n, some in zip(names, entries, strict=True) for e in some.tolist()]
        files = [str(piece.path) for piece in pieces for _ in range(len(piece))]
        columns: dict[str, Any] = {
            "event_id": pa.array(ids, pa.string()),
            "file": pa.array(files, pa.string()),
            "entry": np.concatenate(entries),
        }
        for name, kind in self._types.items():
            columns[name] = pa.chunked_array([part[name] for part in carried], kind)
        columns |= scored.columns
        for name, threshold in self.cuts.items():
            passed = scored.columns[f"score_{name}"] > threshold
            columns[f"pass_{name}"] = passed
            self.passed[name] += int(passed.sum())
        return pa.table(columns, schema=self.schema)

    def _carried(self, piece: Slice) -> dict[str, pa.Array]:
        """Return the carried columns of a slice, in the types of the first file."""
        here = {*piece.file.description.columns}
        wanted = [name for name in self._types if name in here]
        values = stored(piece.path, piece.start, piece.stop, wanted)
        carried = {}
        for name, kind in self._types.items():
            if name not in values:
                self.remarks[f"column {name} is missing in some files: it is empty there"] += 1
                carried[name] = pa.nulls(len(piece), kind)
                continue
            column = _arrow(values[name])
            try:
                carried[name] = column.cast(kind)
            # a value that does not fit the type, or a type that is not converted to it at all
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                cure = "score such files apart, or choose other columns with carry=[...]"
                problem = f"its type {column.type} does not fit {kind}, that of the first file"
                raise BadFileError(piece.path, problem, branch=name, cure=cure) from error
        return carried

    def _carried_types(self, described: FileDescription) -> dict[str, pa.DataType]:
        """Return name and type of each carried column, from the first file."""
        layout = format_of(described.path).LAYOUT
        wanted = self.carry
        if wanted is None:
            hidden = {n for n in layout.names if n in layout.particles or layout[n].truth}
            wanted = [name for name in described.columns if name not in hidden]
        for name in wanted:
            if name not in described.columns:
                raise missing_branch(described.path, name, described.columns)
        values = stored(described.path, 0, 0, wanted)
        taken = {*OWN, *self.scorer.column_names, *self._passes}
        for name in wanted:
            if name in taken:
                values.pop(name, None)
                self._leave_out(name, "the scores have a column of this name")
            elif name not in values:
                self._leave_out(name, "it has not one number or text per event")
        return {name: _arrow(column).type for name, column in values.items()}

    def _leave_out(self, name: str, reason: str) -> None:
        if self.carry is not None:
            raise ConfigError(f"carry={name}: {reason}. Cure: leave it out of carry=[...]")
        self.remarks[f"column {name} is left out: {reason}"] += 1

    def _check_files(self) -> None:
        refused, allowed = len(self.refused), self.max_bad_fraction * len(self.paths)
        if refused > allowed:
            raise TooManyBadFilesError(
                f"{refused} of {len(self.paths)} files are bad, max_bad_fraction="
                f"{self.max_bad_fraction:g} allows {int(allowed)}; the first is {self.refused[0]}"
            )

    def _check_events(self) -> None:
        bad, total = self.scorer.left_out.events, self.scorer.counts.events
        if bad > self.max_bad_fraction * total:
            reason = self.scorer.left_out.reasons.most_common(1)[0][0]
            raise TooManyBadFilesError(
                f"{bad:,} of {total:,} events are impossible, max_bad_fraction="
                f"{self.max_bad_fraction:g} allows {int(self.max_bad_fraction * total):,}; most "
                f"often {reason}. Cure: mend the files where they were made, or raise "
                "max_bad_fraction"
            )


def _each_once(paths: Sequence[Path]) -> list[Path]:
    """Return the paths without those, such as links, that lead to the file of an earlier one."""
    found: dict[Any, Path] = {}
    for path in paths:
        try:
            status = path.stat()
            found.setdefault((status.st_dev, status.st_ino), path)
        except OSError:  # said where it is opened
            found.setdefault(path, path)
    return list(found.values())


def distinct_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each file that no other has: what their paths do not share, no suffix.

    Files that differ in their suffix alone keep it.
    """
    absolute = {path: path.absolute() for path in paths}
    common = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    short = {p: str(a.relative_to(common).with_suffix("")) for p, a in absolute.items()}
    times = Counter(short.values())
    return {
        p: name if times[name] == 1 else str(absolute[p].relative_to(common))
        for p, name in short.items()
    }


def _pieces(described: FileDescription) -> Iterator[Slice]:
    file = SampleFile.whole(described)
    for start in range(0, len(file), CHUNK):
        yield Slice(file, start, min(start + CHUNK, len(file)), start)


def _arrow(values: Any) -> pa.Array:
    """Return a column as Arrow, in its own type; numbers in the byte order of this machine."""
    if isinstance(values, pa.Array):
        return values
    if values.dtype.kind in "OU":
        return pa.array(values.astype(object).tolist(), pa.string())
    return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
