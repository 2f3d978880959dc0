"""Score files with a checkpoint: a table with one row per event, in file order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64

from anomaly_hep import checksums
from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import Counts, Reading, reading_of
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import CheckpointError, ConfigError, NonFiniteError, in_one_line
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.compiled import replayed_outputs
from anomaly_hep.models.execution import Execution
from anomaly_hep.models.fitted import FittedScore
from anomaly_hep.models.loading import fitted_scores, model_class, read_checkpoint
from anomaly_hep.models.outputs import EventOutputs
from anomaly_hep.types import Events

CHUNK = 4096  # events read at a time


def load_model(path: Path) -> tuple[AnomalyModel, Reading]:
    """Return the model of a checkpoint, ready to score, and how it reads events.

    Raises CheckpointError for a file that is missing, damaged or not one of ours.
    """
    content = read_checkpoint(path)
    try:
        model = model_class(content["anomaly_hep"]["model"])(**content["hyper_parameters"])
        model.load_state_dict(content["state_dict"])
        data = content["datamodule_hyper_parameters"]
        reading = reading_of(data["reading"], data["inputs"])
    except Exception as error:  # whatever it holds, it is not our checkpoint
        raise CheckpointError(
            f"{path} is no checkpoint of this version of the package "
            f"({in_one_line(error)}). Cure: use one written by train.py"
        ) from error
    return model.eval(), reading


def load_fitted(directory: Path) -> dict[str, FittedScore]:
    """Return the fitted scores kept in a directory of checkpoints, by name."""
    scores: dict[str, FittedScore] = {}
    for path in sorted(directory.glob("fitted-*.npz")):
        name = path.stem.removeprefix("fitted-")
        checksums.verify(path)
        try:
            # numpy leaves a damaged file open that it opened itself
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            scores |= fitted_scores({name: json.loads(str(arrays.pop("settings")))})
            scores[name].load(arrays)
        except Exception as error:  # damaged bytes can raise any exception
            raise CheckpointError(
                f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
            ) from error
    return scores


def check_fitted(model: AnomalyModel, fitted: Mapping[str, FittedScore]) -> None:
    """Refuse fitted scores whose embedding the model lacks, or whose name one of its scores has."""
    for name, score in fitted.items():
        if name in model.score_names:
            raise ConfigError(
                f"fitted_scores.{name} has the name of a score of {model.title}. Cure: give it "
                "another name"
            )
        if score.embedding not in model.embedding_names:
            raise ConfigError(
                f"fitted_scores.{name}: {model.title} has no embedding '{score.embedding}'. Cure: "
                f"choose one of {', '.join(model.embedding_names) or 'none: it has none'}"
            )


@dataclass
class Scorer:
    """A model and its reading; counts events and the seconds spent on scoring alone.

    `fitted` are scores of the model's embeddings. `precision` is that of the networks, as in
    trainer.precision; scores are at least float32. `execution` says where they compute.
    """

    model: AnomalyModel
    reading: Reading
    batch_size: int
    precision: str = "32-true"
    fitted: Mapping[str, FittedScore] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        self.model.to(self.execution.device)
        self.feed = self.execution.feed(self.batch_size)
        self._compute: Callable[[Any], EventOutputs] = self.model.outputs
        if self.execution.compiled is not False:
            required = bool(self.execution.compiled)
            self._compute = replayed_outputs(self.model, required=required)
        self.counts = Counts()
        self.rows = 0  # particles or pixels of the scored events
        self.seconds = 0.0
        check_fitted(self.model, self.fitted)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The model's scores, then the fitted ones."""
        return (*self.model.score_names, *self.fitted)

    def score_file(
        self, file: SampleFile, columns: Sequence[str] = (), *, keep_rejected: bool = False
    ) -> pd.DataFrame:
        """Return event_id, file, entry, `columns` and every score_* of a sample's events in a file.

        Events that the selection rejects are left out and counted; with `keep_rejected` they stay,
        in their place, with missing scores.
        """
        parts = [self._empty(columns)]
        for start in range(0, len(file), CHUNK):
            piece = Slice(file, start, min(start + CHUNK, len(file)), start)
            parts.append(self._score(piece, tuple(columns), keep_rejected))
        return pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)

    def _columns(self) -> list[str]:
        return [*(f"score_{name}" for name in self.score_names), *self.model.event_columns]

    def _empty(self, columns: Sequence[str]) -> pd.DataFrame:
        texts = {"event_id": pd.Series(dtype="str"), "file": pd.Series(dtype="str")}
        entry = {"entry": pd.Series(dtype="int64")}
        numbers = {n: pd.Series(dtype="float64") for n in [*columns, *self._columns()]}
        return pd.DataFrame(texts | entry | numbers)

    def _score(self, piece: Slice, columns: tuple[str, ...], keep_rejected: bool) -> pd.DataFrame:
        events = self.reading.read(piece, columns)
        passed = usable(self.reading, events)
        chosen = np.flatnonzero(passed)
        outputs = self._outputs(events.take(chosen), piece, chosen)
        rows = np.arange(len(events)) if keep_rejected else chosen
        entries = piece.file.numbers(piece.start, piece.stop)[rows]
        table: dict[str, Any] = {
            "event_id": [f"{piece.path.stem}:{entry}" for entry in entries],
            "file": [str(piece.path)] * len(rows),
            "entry": entries,
        }
        table |= {name: events.events[name][rows].astype(np.float64) for name in columns}
        for name, values in outputs.items():
            full = np.full(len(events), np.nan)
            full[chosen] = values
            table[name] = full[rows]
        self.counts.events += len(events)
        self.rows += int(events.lengths[chosen].sum())
        self.counts.rejected += int((~passed).sum())
        return pd.DataFrame(table)

    def _outputs(
        self, events: Events, piece: Slice, chosen: Int64[np.ndarray, " event"]
    ) -> dict[str, np.ndarray]:
        """Return the score columns and the model's other columns of each event."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self._columns()}
        for batch in self._batches(events, piece.path, self.counts):
            begin = time.perf_counter()
            for name, values in self._score_batch(batch).items():
                parts[name].append(values)
            self.seconds += time.perf_counter() - begin
        joined = {name: np.concatenate([np.zeros(0), *values]) for name, values in parts.items()}
        for name, values in joined.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise NonFiniteError(
                    f"{name} of {piece.path}, entry "
                    f"{piece.file.numbers(piece.start, piece.stop)[chosen[bad[0]]]} is "
                    f"{values[bad[0]]} ({len(bad)} of {len(values)} events of this run). "
                    "Cure: train again with a lower learning rate, or look at that event"
                )
        return joined

    def _score_batch(self, batch: JaggedBatch) -> dict[str, np.ndarray]:
        """Return every column of a batch's events in double precision."""
        outputs = self.outputs(batch)
        scores = {f"score_{name}": values for name, values in outputs.scores.items()}
        columns = {n: v.double().cpu().numpy() for n, v in {**scores, **outputs.columns}.items()}
        for name, fitted in self.fitted.items():
            values = outputs.embeddings[fitted.embedding].double().cpu().numpy()
            columns[f"score_{name}"] = fitted.score(values)
        return columns

    def outputs(self, batch: JaggedBatch) -> EventOutputs:
        """Return the model's outputs of a batch, in tensors that the next call may overwrite."""
        with torch.inference_mode(), self.autocast():
            return self._compute(self.feed(batch)).first(len(batch))

    def autocast(self) -> torch.autocast:
        """Return the context in which the networks compute in the scorer's precision."""
        enabled = self.precision == "bf16-mixed"
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=enabled)

    def fit(self, settings: Mapping[str, Mapping[str, Any]], parts: Sequence[Slice]) -> None:
        """Fit the `settings` of fitted_scores on the background events of `parts`."""
        self.fitted = fitted_scores(settings)
        check_fitted(self.model, self.fitted)
        wanted = max((score.events for score in self.fitted.values()), default=0)
        values: dict[str, list[np.ndarray]] = {s.embedding: [] for s in self.fitted.values()}
        weights, events_read = [np.zeros(0)], 0
        for piece in parts:
            for start in range(piece.start, piece.stop, CHUNK):
                if events_read >= wanted:
                    break
                chunk = Slice(piece.file, start, min(start + CHUNK, piece.stop), start)
                events = self.reading.read(chunk)
                events = events.take(np.flatnonzero(usable(self.reading, events)))
                for batch in self._batches(events, piece.path, Counts()):
                    self._embed(batch, values)
                    weights.append(batch.weight.double().numpy())
                events_read += len(events)
        weight = np.concatenate(weights)
        for score in self.fitted.values():
            taken = np.concatenate(values[score.embedding])[: score.events]
            score.fit(taken, weight[: score.events])

    def _embed(self, batch: JaggedBatch, values: Mapping[str, list[np.ndarray]]) -> None:
        embeddings = self.outputs(batch).embeddings
        for name, parts in values.items():
            parts.append(embeddings[name].double().cpu().numpy())

    def _batches(self, events: Events, path: Path, counted: Counts) -> Iterator[JaggedBatch]:
        for start in range(0, len(events), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(events)))
            batch, counts = self.reading.batch(events.take(index), index, path)
            counted.add(counts)
            yield batch


def usable(reading: Reading, events: Events) -> Bool[np.ndarray, " event"]:
    """Return which events pass the selection and are not empty.

    A jet without particles gives a network no input, whatever the selection says.
    """
    return reading.cuts.passed(events) & (events.lengths > 0)


def write_fitted(
    scorer: Scorer, settings: Mapping[str, Mapping[str, Any]], directory: Path
) -> None:
    """Write the state of each fitted score beside the checkpoint, as fitted-NAME.npz."""
    for name, score in scorer.fitted.items():
        path = directory / f"fitted-{name}.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            arrays: dict[str, Any] = dict(score.state())
            np.savez_compressed(handle, settings=json.dumps(dict(settings[name])), **arrays)


def write_reconstructions(
    scorer: Scorer, files: Sequence[tuple[str, SampleFile]], path: Path, *, events: int
) -> None:
    """Write the first `events` of each (label, file), true and reconstructed.

    The npz has the fields of the model's `reconstruction`, the name of its class as `form`, and the
    label of each event; no file is written for a model that reconstructs nothing.
    """
    parts: dict[str, list[np.ndarray]] = {}
    form = ""
    for label, file in files:
        piece = Slice(file, 0, min(events, len(file)), 0)
        chosen = scorer.reading.read(piece)
        chosen = chosen.take(np.flatnonzero(usable(scorer.reading, chosen)))
        batch, _ = scorer.reading.batch(chosen, np.arange(len(chosen)), file.path)
        with torch.inference_mode(), scorer.autocast():
            reconstruction = scorer.model.reconstruction(batch.to(scorer.model.device))
        if reconstruction is None:
            return
        form = type(reconstruction).__name__
        for name, values in reconstruction.arrays().items():
            parts.setdefault(name, []).append(values)
        parts.setdefault("labels", []).append(np.array([label] * len(chosen)))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        np.savez_compressed(handle, form=form, **arrays)
