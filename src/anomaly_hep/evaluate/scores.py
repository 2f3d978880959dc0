"""Checkpoint and files to a table of scores, one row per event, in file order."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import Counts, Reading, reading_of
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
    """A model and its way of reading; counts events and the seconds that scoring alone took.

    `precision` is that of the networks, as trainer.precision says it; scores are float32 at least.
    """

    model: AnomalyModel
    reading: Reading
    batch_size: int
    precision: str = "32-true"

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
        scores = (f"score_{name}" for name in self.model.score_names)
        numbers = [*columns, *scores, *self.model.column_names]
        texts = {"event_id": pd.Series(dtype="str"), "file": pd.Series(dtype="str")}
        entry = {"entry": pd.Series(dtype="int64")}
        return pd.DataFrame(texts | entry | {name: pd.Series(dtype="float64") for name in numbers})

    def _score(self, piece: Slice, columns: tuple[str, ...], keep_rejected: bool) -> pd.DataFrame:
        events = self.reading.read(piece, columns)
        passed = usable(self.reading, events)
        chosen = np.flatnonzero(passed)
        found = self._examine(events.take(chosen), piece, chosen)
        rows = np.arange(len(events)) if keep_rejected else chosen
        table: dict[str, Any] = {
            "event_id": [f"{piece.path.stem}:{piece.start + row}" for row in rows],
            "file": [str(piece.path)] * len(rows),
            "entry": piece.start + rows,
        }
        table |= {name: events.events[name][rows].astype(np.float64) for name in columns}
        for name, values in found.items():
            full = np.full(len(events), np.nan)
            full[chosen] = values
            table[name] = full[rows]
        self.counts.events += len(events)
        self.counts.rejected += int((~passed).sum())
        return pd.DataFrame(table)

    def _examine(
        self, events: Events, piece: Slice, chosen: Int64[np.ndarray, " event"]
    ) -> dict[str, np.ndarray]:
        """Return the columns of scores and what else the model says of each event."""
        names = [*(f"score_{name}" for name in self.model.score_names), *self.model.column_names]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for batch in self._batches(events, piece.path):
            begin = time.perf_counter()
            with torch.inference_mode(), self._precision():
                scores, columns = self.model.examine(batch)
            self.seconds += time.perf_counter() - begin
            for name, tensor in {**_prefixed(scores), **columns}.items():
                parts[name].append(tensor.double().numpy())
        joined = {name: np.concatenate([np.zeros(0), *values]) for name, values in parts.items()}
        for name, values in joined.items():
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise NonFiniteError(
                    f"{name} of {piece.path}, entry {piece.start + chosen[bad[0]]} is "
                    f"{values[bad[0]]} ({len(bad)} of {len(values)} events of this run). "
                    "Cure: train again with a lower learning rate, or look at that event"
                )
        return joined

    def _precision(self) -> torch.autocast:
        enabled = self.precision == "bf16-mixed"
        return torch.autocast("cpu", torch.bfloat16, enabled=enabled)

    def _batches(self, events: Events, path: Path) -> Iterator[JaggedBatch]:
        for start in range(0, len(events), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(events)))
            batch, counts = self.reading.batch(events.take(index), index, path)
            self.counts.add(counts)
            yield batch


def _prefixed(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"score_{name}": values for name, values in scores.items()}


def usable(reading: Reading, events: Events) -> Bool[np.ndarray, " event"]:
    """Return which events pass the selection and hold something.

    A jet without particles gives a network nothing to see, whatever the selection says.
    """
    return reading.selection.passed(events) & (events.lengths > 0)


def write_reconstructions(
    scorer: Scorer, files: Sequence[tuple[str, FileDescription]], path: Path, *, events: int
) -> None:
    """Write the first `events` of each (label, file) as they are and as the model gives them back.

    The npz has what the model's `shown` returns, and the label of each event.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for label, file in files:
        piece = Slice(file.path, 0, min(events, file.entries), 0)
        read = scorer.reading.read(piece)
        read = read.take(np.flatnonzero(usable(scorer.reading, read)))
        batch, _ = scorer.reading.batch(read, np.arange(len(read)), file.path)
        with torch.inference_mode():
            shown = scorer.model.shown(batch)
        for name, values in shown.items():
            parts.setdefault(name, []).append(values.numpy())
        parts.setdefault("labels", []).append(np.array([label] * len(read)))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        np.savez_compressed(handle, **arrays)
