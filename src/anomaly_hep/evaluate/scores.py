"""Checkpoint and files to a table of scores, one row per event, in file order."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.module import reading_of
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.stream import Counts, Reading
from anomaly_hep.errors import CheckpointError, NonFiniteError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.types import Events, FileDescription

CHUNK = 4096  # events read at a time


def load_model(path: Path) -> tuple[AnomalyModel, Reading]:
    """Return the model of a checkpoint, ready to score, and how it reads events.

    Raises CheckpointError for a file that is missing, damaged or not one of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        module, _, name = content["anomaly_hep"]["model"].rpartition(".")
        if not module.startswith("anomaly_hep.models."):
            raise KeyError(module)
        model: AnomalyModel = getattr(importlib.import_module(module), name)(
            **content["hyper_parameters"]
        )
        model.load_state_dict(content["state_dict"])
        reading = reading_of(content["datamodule_hyper_parameters"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist. Cure: give checkpoint=RUN/checkpoints/best.ckpt"
        ) from error
    except Exception as error:  # a damaged file fails in any way its bytes happen to take
        raise CheckpointError(
            f"{path} is not a checkpoint of this package or is damaged "
            f"({type(error).__name__}: {error}). Cure: use one written by train.py"
        ) from error
    return model.eval(), reading


@dataclass
class Scorer:
    """A model and its way of reading; counts events and the seconds that scoring alone took."""

    model: AnomalyModel
    reading: Reading
    batch_size: int

    def __post_init__(self) -> None:
        self.counts = Counts()
        self.seconds = 0.0

    def score_file(
        self, file: FileDescription, columns: Sequence[str] = (), *, keep_rejected: bool = False
    ) -> pd.DataFrame:
        """Return event_id, file, entry, `columns` and every score_* of a file's events.

        Events that the selection rejects are left out and counted; with `keep_rejected` they stay,
        in their place, with missing scores.
        """
        parts = [self._empty(columns)]
        for start in range(0, file.entries, CHUNK):
            piece = Slice(file.path, start, min(start + CHUNK, file.entries), start)
            parts.append(self._score(piece, tuple(columns), keep_rejected))
        return pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)

    def _empty(self, columns: Sequence[str]) -> pd.DataFrame:
        numbers = [*columns, *(f"score_{name}" for name in self.model.score_names)]
        texts = {"event_id": pd.Series(dtype="str"), "file": pd.Series(dtype="str")}
        entry = {"entry": pd.Series(dtype="int64")}
        return pd.DataFrame(texts | entry | {name: pd.Series(dtype="float64") for name in numbers})

    def _score(self, piece: Slice, columns: tuple[str, ...], keep_rejected: bool) -> pd.DataFrame:
        events = self.reading.read(piece, columns)
        # a jet without particles gives the network nothing to see, whatever the selection says
        passed = self.reading.selection.passed(events) & (events.lengths > 0)
        chosen = np.flatnonzero(passed)
        scores = self._scores(events.take(chosen), piece, chosen)
        rows = np.arange(len(events)) if keep_rejected else chosen
        table: dict[str, Any] = {
            "event_id": [f"{piece.path.stem}:{piece.start + row}" for row in rows],
            "file": [str(piece.path)] * len(rows),
            "entry": piece.start + rows,
        }
        table |= {name: events.events[name][rows].astype(np.float64) for name in columns}
        for name, values in scores.items():
            full = np.full(len(events), np.nan)
            full[chosen] = values
            table[f"score_{name}"] = full[rows]
        self.counts.events += len(events)
        self.counts.rejected += int((~passed).sum())
        return pd.DataFrame(table)

    def _scores(
        self, events: Events, piece: Slice, chosen: Int64[np.ndarray, " event"]
    ) -> dict[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.model.score_names}
        for batch in self._batches(events, piece.path):
            begin = time.perf_counter()
            with torch.inference_mode():
                scores = self.model.scores(batch)
            self.seconds += time.perf_counter() - begin
            for name, tensor in scores.items():
                parts[name].append(tensor.double().numpy())
        joined = {name: np.concatenate([np.zeros(0), *values]) for name, values in parts.items()}
        for name, values in joined.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise NonFiniteError(
                    f"score {name} of {piece.path}, entry {piece.start + chosen[bad[0]]} is "
                    f"{values[bad[0]]} ({len(bad)} of {len(values)} events of this run). "
                    "Cure: train again with a lower learning rate, or look at that event"
                )
        return joined

    def _batches(self, events: Events, path: Path) -> Iterator[ParticleBatch]:
        for start in range(0, len(events), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(events)))
            batch, truncated, clipped = to_batch(self.reading, events.take(index), path)
            self.counts.add(Counts(0, 0, truncated, len(batch.types), clipped))
            yield batch


def to_batch(
    reading: Reading, events: Events, path: Path | str = "events"
) -> tuple[ParticleBatch, int, Int64[np.ndarray, " feature"]]:
    """Return events as one batch, how many jets were truncated, and the values clipped."""
    events, truncated = reading.truncate(events)
    made = reading.features.compute(events, path)
    batch = ParticleBatch(
        torch.from_numpy(made.features),
        torch.from_numpy(made.types),
        torch.from_numpy(events.lengths),
        torch.arange(len(events)),
    )
    return batch, truncated, made.clipped


def write_reconstructions(
    scorer: Scorer, files: Sequence[tuple[str, FileDescription]], path: Path, *, jets: int
) -> None:
    """Write true and reconstructed particles of the first `jets` of each (label, file).

    Arrays of the npz: lengths and labels by jet; truth, reconstructed and types by particle, as
    (10 pT/pT_jet, delta eta, delta phi).
    """
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("lengths", "truth", "reconstructed", "types", "labels")
    }
    for label, file in files:
        piece = Slice(file.path, 0, min(jets, file.entries), 0)
        events = scorer.reading.read(piece)
        events = events.take(np.flatnonzero(_usable(scorer.reading, events)))
        batch, _, _ = to_batch(scorer.reading, events, file.path)
        with torch.inference_mode():
            truth, reconstructed = scorer.model.reconstruct(batch)
        parts["lengths"].append(batch.lengths.numpy())
        parts["types"].append(batch.types.numpy())
        parts["truth"].append(truth.numpy())
        parts["reconstructed"].append(reconstructed.numpy())
        parts["labels"].append(np.array([label] * len(events)))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        np.savez_compressed(handle, **arrays)


def _usable(reading: Reading, events: Events) -> Bool[np.ndarray, " event"]:
    return reading.selection.passed(events) & (events.lengths > 0)
