"""Checkpoints to resume from: the position of the training, and files written whole or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import CheckpointError
from anomaly_hep.models.loading import read_checkpoint

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


@dataclass(frozen=True)
class Position:
    """How far a training has come: phase, epoch, batch, and whether a validation is due.

    epoch: finished epochs of the phase. batch: finished batches of the current epoch, out of
    `batches`. step: optimiser steps of the phase; earlier_steps: those of the phases before. rows:
    rows of metrics.csv. validates: whether a validation precedes the next step. over: whether the
    phase is finished.
    """

    phase: str
    earlier_steps: int = 0
    epoch: int = 0
    batch: int = 0
    batches: int = 0
    step: int = 0
    rows: int = 0
    validates: bool = False
    over: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps of this phase and of those before."""
        return self.earlier_steps + self.step

    def loops(self) -> dict[str, Any]:
        """Return the counters of Lightning's loops at this position.

        Lightning's own are right at a few hooks only: after the last batch of an epoch they claim
        that its validation is done.
        """
        begun = self.epoch + (self.batch > 0)
        epochs = _progress(begun, self.epoch)
        steps = {"total": _counter(self.step), "current": _counter(self.step)}
        return {
            "fit_loop": {
                "epoch_progress": epochs,
                "epoch_loop.state_dict": {"_batches_that_stepped": self.step},
                "epoch_loop.batch_progress": {
                    "total": _counter(self.epoch * self.batches + self.batch),
                    "current": _counter(self.batch),
                    "is_last_batch": self.batch == self.batches > 0,
                },
                "epoch_loop.automatic_optimization.optim_progress": {
                    "optimizer": {"step": steps, "zero_grad": steps}
                },
                # one batch begun but not done makes Lightning repeat the validation
                "epoch_loop.val_loop.batch_progress": _progress(int(self.validates), 0)
                | {"is_last_batch": False},
            }
        }


def _counter(begun: int, done: int | None = None) -> dict[str, int]:
    done = begun if done is None else done
    return {"ready": begun, "started": begun, "processed": done, "completed": done}


def _progress(begun: int, done: int) -> dict[str, Any]:
    return {"total": _counter(begun, done), "current": _counter(begun, done)}


class CheckpointFiles(TorchCheckpointIO):
    """Write each checkpoint atomically, with the position; read only whole ones.

    The last.ckpt before the newest is kept as previous.ckpt.
    """

    def __init__(self, position: Position) -> None:
        self.position = position

    # the arguments' names are Lightning's
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` without Lightning's loop counters, which follow from the position."""
        del checkpoint["loops"], storage_options
        path = Path(path)
        if path.name == LAST:
            checkpoint |= {"position": asdict(self.position), "epoch": self.position.epoch}
        with atomic_path(path) as temporary:
            with temporary.open("wb") as handle:
                torch.save(checkpoint, handle)
            if path.name == LAST and path.exists():
                _keep(path, path.with_name(PREVIOUS))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return a checkpoint, with the loop counters of its position."""
        del map_location, weights_only
        content = read_checkpoint(Path(path))
        return content | {"loops": Position(**content["position"]).loops()}


def _keep(path: Path, other: Path) -> None:
    """Keep a file that will be replaced under another name."""
    other.unlink(missing_ok=True)
    try:
        other.hardlink_to(path)
    except OSError:  # a file system without hard links
        path.replace(other)


@dataclass(frozen=True)
class Found:
    """A checkpoint to resume from."""

    path: Path
    position: Position
    content: Mapping[str, Any]


def newest(directory: Path) -> tuple[Found | None, str]:
    """Return the newest whole checkpoint to resume from, and what is wrong with newer ones."""
    remark = ""
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = read_checkpoint(path)
        except CheckpointError as error:
            remark = f"{remark}{error}. "
            continue
        return Found(path, Position(**content["position"]), content), remark
    return None, remark
