"""Training callbacks: checkpoints, loss rows, milestones and the training speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import ReduceLROnPlateau

from anomaly_hep.errors import ConfigError
from anomaly_hep.metrics_csv import MetricsCSV
from anomaly_hep.models.phase import Phase
from anomaly_hep.resuming import LAST, CheckpointFiles, Position
from anomaly_hep.runtime import Termination


class Checkpoints(Callback):
    """Write last.ckpt every `every_seconds`, and the weights of the best validation to `best`.

    The phase defines which validation is best, on background alone unless it uses labels. While the
    model's objective still changes, the latest validated weights count as the best. The last epoch
    always ends with a validation, and so does a training stopped by trainer.max_steps or max_time.
    After SIGTERM or SIGHUP, last.ckpt is written once the current training or validation batch is
    done, and the process exits with status 143 or 129.
    """

    def __init__(
        self,
        best: Path,
        phase: Phase,
        files: CheckpointFiles,
        rows: MetricsCSV,
        *,
        every_seconds: float,
        termination: Termination,
        check: Callable[[], None],
    ) -> None:
        self.best, self.phase, self.files, self.rows = best, phase, files, rows
        self.every_seconds, self.termination = every_seconds, termination
        self.check = check
        self.value = float("inf")  # of the best validation; sign flipped where larger is better
        self.waited = 0  # validations since then
        self._ending = False
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the value of the best validation and the number of validations since."""
        return {"value": self.value, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best validation from the checkpoint."""
        self.value, self.waited = state_dict["value"], state_dict["waited"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Defer SIGTERM to the end of the batch from here on."""
        self.termination.deferred = True
        trainer.should_stop = False  # max_time is checked after a batch, not before the first

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Handle SIGTERM ourselves: Lightning would exit silently after the step."""
        self.termination.install()
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the position after this batch, and save if a checkpoint is due."""
        done, batches = batch_idx + 1, int(trainer.num_training_batches)
        last = done == batches
        if done % trainer.accumulate_grad_batches and not last:
            return  # checkpoints do not hold accumulated gradients
        self._ending = (
            trainer.should_stop
            or trainer.global_step == trainer.max_steps
            or (last and trainer.current_epoch + 1 == trainer.max_epochs)
        )
        if self._ending:
            # Lightning then validates here, whatever the epoch, and stops
            trainer.check_val_every_n_epoch, trainer.should_stop = 1, True
            done = batches
        self._note_position(trainer, done, validates=self._ending or _validates(trainer, done))
        self._save_if_due(trainer)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop the validation after a SIGTERM: the resumed run repeats it from its start."""
        if _any_rank(trainer, self.termination.requested):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the weights if they are the best so far, and step schedules that monitor a term."""
        position = self.files.position
        self._note_position(trainer, position.batch, validates=False)
        self.check()
        term, best = self.phase.checkpoint
        value = _validated(trainer, term, f"model.phases.{self.phase.name}.checkpoint")
        value = value if best == "min" else -value
        if not pl_module.objective_is_final or value < self.value:
            self.value = value if pl_module.objective_is_final else float("inf")
            self.waited = 0
            trainer.save_checkpoint(self.best, weights_only=True)
        else:
            self.waited += 1
        for config in trainer.lr_scheduler_configs:
            schedule = config.scheduler
            if isinstance(schedule, ReduceLROnPlateau):
                key = f"model.phases.{self.phase.name}.scheduler.monitor"
                followed = _validated(trainer, str(config.monitor).removeprefix("val/"), key)
                if pl_module.objective_is_final:
                    schedule.step(followed)
        if self._ending or self.waited == self.phase.patience:
            trainer.should_stop = True
        for logger in trainer.loggers:
            logger.save()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save if a checkpoint is due: by now all learning-rate schedules have stepped."""
        if trainer.should_stop:
            self.files.position = replace(self.files.position, over=True)
        self._save_if_due(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the end of the phase, so that a kill in the next one or in scoring loses no step."""
        self._note_position(trainer, 0, validates=False, over=True)
        self._save(trainer)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop deferring SIGTERM, and exit if one came in the meantime."""
        self.termination.deferred = False
        if self.termination.requested:
            raise SystemExit(self.termination.status)

    def _note_position(
        self, trainer: lightning.Trainer, batch: int, *, validates: bool, over: bool = False
    ) -> None:
        batches = int(trainer.num_training_batches)
        epoch = trainer.current_epoch
        if batch == batches and not validates:
            epoch, batch = epoch + 1, 0
        self.files.position = Position(
            phase=self.phase.name,
            earlier_steps=self.files.position.earlier_steps,
            epoch=epoch,
            batch=batch,
            batches=batches,
            step=trainer.global_step,
            rows=len(self.rows.rows),
            validates=validates,
            over=over,
        )

    def _save_if_due(self, trainer: lightning.Trainer) -> None:
        leaving = _any_rank(trainer, self.termination.requested)
        due = time.monotonic() - self._saved_at >= self.every_seconds
        if leaving or _any_rank(trainer, due):
            self._save(trainer)
        if leaving:
            raise SystemExit(self.termination.status)

    def _save(self, trainer: lightning.Trainer) -> None:
        self.check()
        for logger in trainer.loggers:
            logger.save()  # first: a resumed run can drop surplus rows, but not restore lost ones
        trainer.save_checkpoint(self.best.with_name(LAST), weights_only=False)
        self._saved_at = time.monotonic()


def _any_rank(trainer: lightning.Trainer, decision: bool) -> bool:
    """Return whether any rank decided so: all ranks must save and exit together."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


def _validates(trainer: lightning.Trainer, done: int) -> bool:
    """Return whether Lightning validates after batch number `done` of the current epoch."""
    every = trainer.check_val_every_n_epoch
    if every is None:
        done += trainer.current_epoch * int(trainer.num_training_batches)
    elif (trainer.current_epoch + 1) % every:
        return False
    interval = trainer.val_check_batch  # None: by the clock
    return interval is not None and done % int(interval) == 0


def _validated(trainer: lightning.Trainer, term: str, key: str) -> float:
    terms = {name.removeprefix("val/"): value for name, value in trainer.callback_metrics.items()}
    if term not in terms:
        raise ConfigError(
            f"{key}: the validation has no term '{term}'. Cure: choose one of "
            f"{', '.join(sorted(terms))}"
        )
    return float(terms[term])


class LossRows(Callback):
    """Log the terms of the loss every `every` steps, and those of each validation.

    Each row holds the step, counted from 0 over all phases, the epoch and the phase.
    """

    def __init__(self, phase: str, earlier_steps: int, every: int) -> None:
        self.phase, self.earlier_steps, self.every = phase, earlier_steps, every
        self._logged = 0  # steps of the phase at the last row

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count from the step of the checkpoint if the training resumes from one."""
        self._logged = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step if a row is due."""
        step = trainer.global_step
        if step > self._logged and self.every and step % self.every == 0:
            self._log(trainer, "train", outputs["terms"])
            self._logged = step

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Log the validation."""
        terms = {n: v for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
        self._log(trainer, "val", {n.removeprefix("val/"): v for n, v in terms.items()})

    def _log(self, trainer: lightning.Trainer, stage: str, terms: Any) -> None:
        row: dict[str, Any] = {f"{stage}/{name}": float(value) for name, value in terms.items()}
        row |= {"epoch": trainer.current_epoch, "phase": self.phase}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=self.earlier_steps + trainer.global_step - 1)


class Milestones(Callback):
    """Keep the weights at given numbers of events seen, for curves against training size.

    An event counts each time a step sees it, on any DDP rank. In milestone-N.ckpt, N is the number
    of events seen, over all phases, at the step that reached the mark.
    """

    def __init__(self, directory: Path, marks: Sequence[int]) -> None:
        self.directory, self.marks = directory, sorted(marks)
        self.presented = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of events seen so far."""
        return {"presented": self.presented}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count from the checkpoint."""
        self.presented = state_dict["presented"]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step's events, and save when they reach a mark."""
        previous = self.presented
        self.presented += batch.events * trainer.world_size
        reached = any(previous < mark <= self.presented for mark in self.marks)
        if self.marks and _any_rank(trainer, reached):
            path = self.directory / f"milestone-{self.presented}.ckpt"
            trainer.save_checkpoint(path, weights_only=True)


class Speed(Callback):
    """Events per second of training steps, with data loading and checkpoints, not validation."""

    def __init__(self) -> None:
        self.events, self.seconds = 0, 0.0
        self._since: float | None = None

    @property
    def events_per_second(self) -> float | None:
        """Mean over all steps except the first after a start or a validation; None without any."""
        return self.events / self.seconds if self.seconds else None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Start the clock with the first step."""
        self._since = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the events of a step and the time since the previous one."""
        now = time.perf_counter()
        if self._since is not None:
            self.events += batch.events * trainer.world_size
            self.seconds += now - self._since
        self._since = now

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Stop the clock."""
        self._since = None
