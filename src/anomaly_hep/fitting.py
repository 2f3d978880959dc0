"""The training of a run: one Lightning Trainer for each phase, resumable at every step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers.logger import Logger
from rich.console import Console

from anomaly_hep.callbacks import Checkpoints, LossRows, Milestones, Speed
from anomaly_hep.data.embedded import Stage
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.errors import CheckpointError, ConfigError, MissingDataError, in_one_line
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.metrics_csv import MetricsCSV
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.execution import autocast
from anomaly_hep.models.loading import read_checkpoint
from anomaly_hep.models.phase import Phase, scaled
from anomaly_hep.resuming import CheckpointFiles, Position, newest
from anomaly_hep.runtime import Termination
from anomaly_hep.settings import TrainerSettings

_TRAINER_KEYS = ("precision", "gradient_clip_val", "log_every_n_steps", "check_val_every_n_epoch",
                 "accelerator", "devices", "enable_progress_bar")  # fmt: skip


class Training:
    """The training of one run: `fit` runs it, or resumes it after a kill."""

    def __init__(
        self,
        model: AnomalyModel,
        module: EventDataModule,
        trainer: TrainerSettings,
        path: Path,
        termination: Termination,
        dashboards: Sequence[Logger] = (),
        check: Callable[[], None] | None = None,
    ) -> None:
        """`path` is the run directory; `check`, called before each write, says if it is gone."""
        self.check = check or (lambda: None)
        self.model, self.module, self.termination = model, module, termination
        self.settings = trainer
        self.phases = scaled(model.phases, trainer.max_epochs)
        self.directory = path / "checkpoints"
        self.rows = MetricsCSV(path / "metrics.csv")
        self.loggers = [self.rows, *dashboards]
        self.milestones = Milestones(self.directory, trainer.milestones or ())
        self.speed = Speed()

    def fit(self, start_from: Path | None, console: Console) -> None:
        """Train the phases that are not finished.

        start_from: a checkpoint of the same model, whose weights a new training starts with.
        """
        checkpoint, remark = newest(self.directory)
        position = checkpoint.position if checkpoint else Position(self.phases[0].name)
        if remark:
            where = f"goes on from {checkpoint.path}" if checkpoint else "starts anew"
            console.print(f"{remark}: the training {where}")
        elif checkpoint:
            console.print(f"going on from {checkpoint.path}")
        if checkpoint:
            self.milestones.load_state_dict(checkpoint.content["callbacks"]["Milestones"])
            self.module.load_state_dict(checkpoint.content[type(self.module).__qualname__])
        elif start_from:
            take_weights(self.model, start_from)
            console.print(f"starting with the weights of {start_from}")
        else:
            self._begin(0)
            self.model.fit_inputs(self.module.events_once())
        self.rows.keep(position.rows)
        reached = [phase.name for phase in self.phases].index(position.phase)
        for number, phase in enumerate(self.phases):
            self._begin(number)
            if number < reached or (number == reached and position.over):
                self.module.setup("fit")  # the ledger lists the files of finished phases too
                continue
            if number > reached:
                previous = self.best(self.phases[number - 1])
                self.model.load_state_dict(read_checkpoint(previous)["state_dict"])
                position = Position(phase.name, earlier_steps=position.steps, rows=position.rows)
            resumed = checkpoint.path if checkpoint and number == reached else None
            position = self._fit_phase(phase, position, resumed)

    def _begin(self, number: int) -> None:
        """Enter a phase: its data, and what of the model it trains."""
        phase = self.phases[number]
        self.model.begin(phase)
        stage = None
        if self.model.embeds(phase):
            stage = Stage(
                self.model.embed, lambda: autocast(self.model.device, self.settings.precision)
            )
        self.module.begin(
            phase.labels,
            number,
            background=phase.background,
            batch_size=phase.batch_size,
            stage=stage,
        )

    def best(self, phase: Phase) -> Path:
        """Return the path of a phase's best weights; those of the last phase are scored."""
        last = phase is self.phases[-1]
        return self.directory / ("best.ckpt" if last else f"best-{phase.name}.ckpt")

    def _fit_phase(self, phase: Phase, position: Position, resumed: Path | None) -> Position:
        """Train one phase from `position`; return where it ended."""
        files = CheckpointFiles(position)
        trainer = self._trainer(phase, files)
        with warnings.catch_warnings():
            # the streams prefetch by themselves; Lightning only sees no DataLoader workers
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
            try:
                trainer.fit(self.model, self.module, ckpt_path=resumed, weights_only=True)
            except BaseException as error:
                refusals = (ValueError, MisconfigurationException)
                if isinstance(error, refusals) and _is_lightnings(error):
                    raise ConfigError(
                        f"trainer: {' '.join(str(error).split())}. Cure: its keys are those of "
                        "lightning.Trainer"
                    ) from error
                told = isinstance(error, SystemExit) and error.code == self.termination.status
                if self.termination.requested or told:
                    # this process or another rank got the signal, which may cause any error
                    raise SystemExit(self.termination.status) from error
                if isinstance(error, SystemExit):
                    # Lightning turns Ctrl-C into status 1, which would mean a failure
                    raise KeyboardInterrupt from None
                raise
        if not self.best(phase).exists():
            raise MissingDataError(
                f"phase {phase.name} ended without a validation, since no event of training or "
                "validation passes data.selection. Cure: wider bounds there"
            )
        return files.position

    def _trainer(self, phase: Phase, files: CheckpointFiles) -> lightning.Trainer:
        checkpoints = Checkpoints(
            self.best(phase),
            phase,
            files,
            self.rows,
            every_seconds=self.settings.checkpoint_every_seconds,
            termination=self.termination,
            check=self.check,
        )
        every = self.settings.log_every_n_steps
        losses = LossRows(phase.name, files.position.earlier_steps, every)
        callbacks: list[Callback] = [self.milestones, losses, checkpoints, self.speed]
        options = dict(self.settings.lightning)
        try:
            if limit := options.pop("max_time", None):
                callbacks.insert(0, Timer(limit))
            return lightning.Trainer(
                **options,
                max_epochs=phase.epochs,
                **{name: getattr(self.settings, name) for name in _TRAINER_KEYS},
                default_root_dir=self.directory.parent,
                logger=self.loggers,
                callbacks=callbacks,
                plugins=[files],
                enable_checkpointing=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
            )
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise ConfigError(
                f"trainer: {in_one_line(error)}. Cure: its keys are those of lightning.Trainer"
            ) from error


def _is_lightnings(error: BaseException) -> bool:
    """Return whether Lightning itself raised an error, as it does for arguments that do not fit."""
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    return raised is not None and raised.tb_frame.f_globals["__name__"].startswith("lightning.")


def take_weights(model: AnomalyModel, path: Path) -> None:
    """Load the weights of a checkpoint of the same model into it; raises CheckpointError."""
    source, *_ = load_model(path)
    try:
        model.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise CheckpointError(
            f"start_from={path} holds the weights of another network ({in_one_line(error)}). "
            "Cure: give a checkpoint of the same model"
        ) from error
