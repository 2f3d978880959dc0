"""Score files with a checkpoint: a table with one row per event, in file order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.plan import Slice, place_of
from anomaly_hep.data.reading import Counts, Reading
from anomaly_hep.data.samples import LeftOut, SampleFile
from anomaly_hep.errors import BadFileError, NonFiniteError
from anomaly_hep.evaluate.fitranges import FitRanges
from anomaly_hep.evaluate.fits import Sources, fit_scores
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.judging import bad_rows, findings, reasons
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.compiled import replayed_outputs
from anomaly_hep.models.execution import Execution, autocast
from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.sources import EVENT, Columns, add_fitted, check_fitted, columns_of
from anomaly_hep.models.loading import fitted_scores
from anomaly_hep.models.outputs import EventOutputs
from anomaly_hep.types import Events

CHUNK = 4096  # events read at a time


@dataclass(frozen=True, eq=False)
class ScoredEvents:
    """Scores and other columns of consecutive events, and which of them passed the selection.

    Those that did not have NaN scores.
    """

    passed: Bool[np.ndarray, " event"]
    columns: Mapping[str, Float64[np.ndarray, " event"]]


@dataclass
class Scorer:
    """A model and its reading; counts events and the seconds spent on scoring alone.

    `fitted` are scores of embeddings, or of other scores. `validated` counts what the model read
    in the validation of its training. `precision` is that of the networks, as in trainer.precision;
    scores are at least float32. `execution` says where they compute.
    """

    model: AnomalyModel
    reading: Reading
    batch_size: int
    precision: str = "32-true"
    fitted: Mapping[str, FittedScore] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)
    validated: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.model.to(self.execution.device)
        self.feed = self.execution.feed(self.batch_size)
        self._compute: Callable[[Any], EventOutputs] = self.model.outputs
        if self.execution.compiled is not False and not self.model.waits_for_host:
            required = bool(self.execution.compiled)
            self._compute = replayed_outputs(self.model, required=required)
        self.counts = Counts()
        self.rows = 0  # particles or pixels of the scored events
        self.seconds = 0.0
        self.left_out = LeftOut()
        self._take(self.fitted)

    def _take(self, fitted: Mapping[str, FittedScore]) -> None:
        """Take these fitted scores from now on."""
        check_fitted(self.model, fitted)
        self.fitted, self.ranges = fitted, FitRanges.of(fitted)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The model's scores, then the fitted ones."""
        return (*self.model.score_names, *self.fitted)

    def score_file(self, file: SampleFile, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Return event_id, file, entry, `columns` and every score_* of a sample's events in a file.

        Events that the selection rejects are left out and counted.
        """
        parts = [self._empty(columns)]
        for start in range(0, len(file), CHUNK):
            piece = Slice(file, start, min(start + CHUNK, len(file)), start)
            scored = self.score([piece], columns)
            rows = np.flatnonzero(scored.passed)
            entries = file.numbers(piece.start, piece.stop)[rows]
            table: dict[str, Any] = {
                "event_id": [f"{file.path.stem}:{entry}" for entry in entries],
                "file": [str(file.path)] * len(rows),
                "entry": entries,
            }
            table |= {name: values[rows] for name, values in scored.columns.items()}
            parts.append(pd.DataFrame(table))
        return pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)

    @property
    def column_names(self) -> list[str]:
        """The columns of a table of scores: score_NAME of each score, then the model's others."""
        return [*(f"score_{name}" for name in self.score_names), *self.model.event_columns]

    def _empty(self, columns: Sequence[str]) -> pd.DataFrame:
        texts = {"event_id": pd.Series(dtype="str"), "file": pd.Series(dtype="str")}
        entry = {"entry": pd.Series(dtype="int64")}
        numbers = {n: pd.Series(dtype="float64") for n in [*columns, *self.column_names]}
        return pd.DataFrame(texts | entry | numbers)

    def score(
        self,
        pieces: Sequence[Slice],
        columns: Sequence[str] = (),
        *,
        skip_bad: bool = False,
        judged: Mapping[Path, Sequence[str]] | None = None,
    ) -> ScoredEvents:
        """Return the scores of the events of some slices, and `columns` of the files as float64.

        Events that the selection rejects are counted and have no scores; with `skip_bad` also those
        that are impossible, by their own columns and by those that `judged` names for a file, which
        are refused otherwise.
        """
        parts, usable_parts = [], []
        for piece in pieces:
            extra = [*columns, *columns_of(self.fitted), *((judged or {}).get(piece.path, ()))]
            events = self.reading.read(piece, extra, judged=not skip_bad)
            good = self._good(piece, events) if skip_bad else np.ones(len(events), bool)
            usable_parts.append(good & usable(self.reading, events))
            self.counts.rejected += int((good & ~usable_parts[-1]).sum())
            parts.append(events)
        events = Events.concatenate(parts) if len(parts) > 1 else parts[0]
        passed = np.concatenate(usable_parts)
        outputs = self._outputs(events, np.flatnonzero(passed), pieces)
        table = {name: events.events[name].astype(np.float64) for name in columns}
        for name, values in outputs.items():
            table[name] = np.full(len(events), np.nan)
            table[name][passed] = values
        self.counts.events += len(events)
        self.rows += int(events.lengths[passed].sum())
        return ScoredEvents(passed, table)

    def clipping_remarks(self) -> Iterator[str]:
        """Yield where more values were clipped than in the training, as in other units."""
        names = self.reading.feature_names
        here, before = (_shares(counts, len(names)) for counts in (self.counts, self.validated))
        for name, now, then in zip(names, here, before, strict=True):
            if now > 2 * then + 0.01:
                yield (
                    f"{100 * now:.1f} % of {name} were clipped, {100 * then:.1f} % in the "
                    "training: are these the units of the training?"
                )

    def _good(self, piece: Slice, events: Events) -> Bool[np.ndarray, " event"]:
        """Return which events are possible; the others are counted, with what is wrong."""
        found = findings(format_of(piece.path).LAYOUT, events)
        bad = bad_rows(found, len(events))
        self.left_out.add(int(bad.sum()), reasons(found))
        return ~bad

    def _outputs(
        self, events: Events, chosen: Int64[np.ndarray, " event"], pieces: Sequence[Slice]
    ) -> dict[str, np.ndarray]:
        """Return the score columns and the model's other columns of the chosen events."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.column_names}
        try:
            taken = events.take(chosen)
            for batch in self._batches(taken, pieces[0].path, self.counts):
                begin = time.perf_counter()
                for name, values in self._score_batch(batch, self._columns(taken, batch)).items():
                    parts[name].append(values)
                self.seconds += time.perf_counter() - begin
        except BadFileError as error:
            if error.entry is None:
                raise
            raise error.at(*place_of(pieces, int(chosen[error.entry]))) from error
        joined = {name: np.concatenate([np.zeros(0), *values]) for name, values in parts.items()}
        for name, values in joined.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                path, entry = place_of(pieces, int(chosen[bad[0]]))
                raise NonFiniteError(
                    f"{name} of {path}, entry {entry} is {values[bad[0]]} ({len(bad)} of "
                    f"{len(values)} events of this run). Cure: train again with a lower learning "
                    "rate, or look at that event"
                )
        return joined

    def _score_batch(self, batch: JaggedBatch, columns: Columns) -> dict[str, np.ndarray]:
        """Return every column of a batch's events in double precision.

        `columns` are those of the files that fitted scores take.
        """
        outputs = self.outputs(batch)
        embeddings, scores = self._embedded(batch, outputs)
        scores |= add_fitted(self.model, self.fitted, embeddings, scores, columns)
        self.ranges.count(columns)
        found = {f"score_{name}": values for name, values in scores.items()}
        return found | _arrays(outputs.columns)

    def _columns(self, events: Events, batch: JaggedBatch) -> dict[str, np.ndarray]:
        """Return the columns that fitted scores take, of the events of a batch."""
        rows = batch.index.numpy()
        names = columns_of(self.fitted)
        return {name: events.events[name][rows].astype(np.float64) for name in names}

    def outputs(self, batch: JaggedBatch) -> EventOutputs:
        """Return the model's outputs of a batch, in tensors that the next call may overwrite."""
        with torch.inference_mode(), self.autocast():
            return self._compute(self.feed(batch)).first(len(batch))

    def autocast(self) -> torch.autocast:
        """Return the context in which the networks compute in the scorer's precision."""
        return autocast(self.model.device, self.precision)

    def fit(self, settings: Mapping[str, Mapping[str, Any]], parts: Sequence[Slice]) -> None:
        """Fit the `settings` of fitted_scores on the background events of `parts`."""
        fitted = fitted_scores(settings)
        self._take(fitted)
        fit_scores(self.model, fitted, self._sources(parts))
        self._take(fitted)

    def _sources(self, parts: Sequence[Slice]) -> Iterator[Sources]:
        """Yield what scores are fitted on, batch by batch, of the events that are used."""
        for piece in parts:
            for start in range(piece.start, piece.stop, CHUNK):
                chunk = Slice(piece.file, start, min(start + CHUNK, piece.stop), start)
                events = self.reading.read(chunk, columns_of(self.fitted))
                events = events.take(np.flatnonzero(usable(self.reading, events)))
                for batch in self._batches(events, piece.path, Counts()):
                    weights = batch.weight.double().numpy()
                    embedded = self._embedded(batch, self.outputs(batch))
                    yield Sources(*embedded, self._columns(events, batch), weights)

    def _embedded(
        self, batch: JaggedBatch, outputs: EventOutputs
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the embeddings that fitted scores take, and the model's scores, of a batch."""
        taken = {score.embedding for score in self.fitted.values()}
        embeddings = {name: v for name, v in outputs.embeddings.items() if name in taken}
        if EVENT in taken and EVENT not in embeddings:
            embeddings[EVENT] = self.reading.summary(batch)
        return _arrays(embeddings), _arrays(outputs.scores)

    def _batches(self, events: Events, path: Path, counted: Counts) -> Iterator[JaggedBatch]:
        for start in range(0, len(events), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(events)))
            try:
                batch, counts = self.reading.batch(events.take(index), index, path)
            except BadFileError as error:
                raise error.at(path, start + (error.entry or 0)) from error
            counted.add(counts)
            yield batch


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.double().cpu().numpy() for name, value in tensors.items()}


def _shares(counts: Counts, features: int) -> list[float]:
    """Return the share of clipped values of each feature."""
    clipped = np.broadcast_to(np.asarray(counts.clipped), features)
    shares: list[float] = (clipped / max(counts.rows, 1)).tolist()
    return shares


def usable(reading: Reading, events: Events) -> Bool[np.ndarray, " event"]:
    """Return which events pass the selection and are not empty.

    A jet without particles gives a network no input, whatever the selection says.
    """
    return reading.cuts.passed(events) & (events.lengths > 0)
