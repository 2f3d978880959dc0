"""Checkpoints that a kill cannot harm, an orderly end on SIGTERM, and the speed of training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from anomaly_hep.atomic import atomic_path
from anomaly_hep.record import CSVRecord
from anomaly_hep.runtime import Termination


class Checkpoints(Callback):
    """Write last.ckpt every `every_seconds` and best.ckpt at the best validation, each in one step.

    The model's `checkpoint_term` says what is compared, on background alone. As long as the model's
    objective still changes, the newest validated model is the best. After SIGTERM, last.ckpt is
    written at the end of the running step, and the process ends with status 143 before the next.
    """

    def __init__(self, directory: Path, *, every_seconds: float, termination: Termination) -> None:
        self.directory, self.every_seconds = directory, every_seconds
        self.termination = termination
        self.best = float("inf")  # of the term, its sign turned where larger is better
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best validation loss of the checkpoint."""
        self.best = state_dict["best"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """From here on a SIGTERM waits for the end of the step."""
        self.termination.deferred = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Drop what the record holds of steps that this run makes again."""
        for logger in trainer.loggers:
            if isinstance(logger, CSVRecord):
                logger.forget_after(trainer.global_step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time, or when SIGTERM came: Lightning leaves behind this step."""
        if self.termination.requested or time.monotonic() - self._saved_at >= self.every_seconds:
            self._save(trainer, "last.ckpt")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the model with the best background validation under the final objective."""
        term, best = pl_module.checkpoint_term
        value = float(trainer.callback_metrics[f"val/{term}"])
        value = value if best == "min" else -value
        if not pl_module.objective_is_final or value < self.best:
            self.best = value if pl_module.objective_is_final else float("inf")
            self._save(trainer, "best.ckpt")
        for logger in trainer.loggers:
            logger.save()

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the end state, so that a kill while scoring repeats no training."""
        self._save(trainer, "last.ckpt")
        self.termination.deferred = False

    def _save(self, trainer: lightning.Trainer, name: str) -> None:
        self._saved_at = time.monotonic()
        content = trainer._checkpoint_connector.dump_checkpoint()
        if trainer.is_global_zero:
            with atomic_path(self.directory / name) as temporary:
                torch.save(content, temporary)


class Milestones(Callback):
    """Keep the weights at given numbers of events seen, for curves against training size.

    An event counts once for each step that sees it; DDP ranks all count. Files are
    milestone-N.ckpt, N the events seen at the step that reached the mark.
    """

    def __init__(self, directory: Path, marks: Sequence[int]) -> None:
        self.directory, self.marks = directory, sorted(marks)
        self.presented = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of events seen so far."""
        return {"presented": self.presented}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from the checkpoint."""
        self.presented = state_dict["presented"]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step's events, and save when they reach a mark."""
        before = self.presented
        self.presented += batch.events * trainer.world_size
        if any(before < mark <= self.presented for mark in self.marks):
            content = trainer._checkpoint_connector.dump_checkpoint(weights_only=True)
            if trainer.is_global_zero:
                path = self.directory / f"milestone-{self.presented}.ckpt"
                with atomic_path(path) as temporary:
                    torch.save(content, temporary)


class Speed(Callback):
    """Events per second of training steps, data included, validation and checkpoints left out."""

    def __init__(self) -> None:
        self.events, self.seconds = 0, 0.0
        self._since: float | None = None

    @property
    def events_per_second(self) -> float | None:
        """Mean over all steps but the first; None when there were no more."""
        return self.events / self.seconds if self.seconds else None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the events of a step and the time since the one before."""
        now = time.perf_counter()
        if self._since is not None:
            self.events += batch.events * trainer.world_size
            self.seconds += now - self._since
        self._since = now

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop the clock."""
        self._since = None
