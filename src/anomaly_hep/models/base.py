"""What every model is to the rest of the system: named loss terms and named scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric

from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.outputs import EventOutputs, Reconstruction, ScoreDescription
from anomaly_hep.models.stepping import SteppedModule

SCHEDULES = ("one_cycle", "constant")


class AnomalyModel(SteppedModule):
    """A network that learns the background and scores how badly each event fits it.

    A subclass gives `loss` and `outputs`; training, validation and the non-finite guard are here.
    Hyper-parameters are plain numbers, strings, lists and dicts, so that checkpoints load with
    `weights_only=True`.
    """

    title: ClassVar[str]  # the model's name as its paper writes it
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    default_score: ClassVar[str]
    score_names: tuple[str, ...]
    event_columns: tuple[str, ...] = ()  # what `outputs` says of each event besides the scores
    embedding_names: ClassVar[tuple[str, ...]] = ()  # vectors that fitted scores may take
    # the validation term that chooses the checkpoint, and whether the best is its min or max
    checkpoint_term: ClassVar[tuple[str, str]] = ("loss", "min")
    # particles per event at which the paper counts FLOPs; None: images, all of one size
    reference_multiplicity: ClassVar[float | None] = None
    supervised: ClassVar[bool] = False  # whether labels of signal enter the training

    def __init__(self, optimizer: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        self.optimizer_settings, self.seed = dict(optimizer), seed
        if self.optimizer_settings["schedule"] not in SCHEDULES:
            raise ConfigError(
                f"model.optimizer.schedule={self.optimizer_settings['schedule']} does not exist. "
                f"Cure: choose one of {', '.join(SCHEDULES)}"
            )
        self.phase = "train"
        self.validation_means: dict[str, MeanMetric] = {}

    @classmethod
    @abstractmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return the title and unit of every score, in the order in which tables show them."""

    @abstractmethod
    def loss(self, batch: Any, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of a phase of the training, under 'loss', and its terms by their names.

        All are means over the batch by the events' weights.
        """

    @abstractmethod
    def outputs(self, batch: Any) -> EventOutputs:
        """Return the scores of each event, its columns and its embeddings, from one pass."""

    def scores(self, batch: Any) -> Mapping[str, Float[Tensor, " event"]]:
        """Return every anomaly score."""
        return self.outputs(batch).scores

    def reconstruction(self, batch: Any) -> Reconstruction | None:
        """Return the events beside what the model gives back for them; None if it gives nothing."""
        del batch
        return None

    @abstractmethod
    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return the operations of 'encoder' and 'total' for `multiplicity` particles.

        Networks of images take the same for every event.
        """

    @property
    def objective_is_final(self) -> bool:
        """Whether the objective has its final form; before, losses of two steps do not compare."""
        return True

    def parameter_counts(self) -> dict[str, int]:
        """Return the trainable parameters: 'total', and 'encoder' for the encoder alone."""
        return {
            "total": sum(p.numel() for p in self.parameters() if p.requires_grad),
            "encoder": sum(
                p.numel() for n, p in self.named_parameters() if n.startswith("encoder.")
            ),
        }

    def rng(self) -> torch.Generator:
        """Return the random number generator of this step.

        So a run that was killed and resumed draws what the unbroken run would have drawn.
        """
        generator = torch.Generator()
        # odd multipliers keep the seeds of neighbouring steps and ranks apart
        generator.manual_seed(
            (self.seed * 1_000_003 + self.global_step) * 1_000_033 + self.global_rank
        )
        return generator

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Return the loss of one batch; a NaN or an infinity stops the run."""
        terms = self.terms(batch, self.phase)
        self._watch(terms, "training", batch_index)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()},
            batch_size=batch.events,
        )
        return terms["loss"]

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Add one batch of background to the validation means."""
        terms = self.loss(batch, self.phase)
        self._watch(terms, "validation", batch_index)
        for name, value in terms.items():
            if name not in self.validation_means:
                self.validation_means[name] = MeanMetric().to(self.device)
            self.validation_means[name].update(value, weight=batch.weight.sum())

    def on_validation_epoch_end(self) -> None:
        """Log the means over all events of all ranks."""
        self.guard.look()
        for name, mean in self.validation_means.items():
            self.log(f"val/{name}", mean.compute(), prog_bar=name == "loss")
            mean.reset()

    def _watch(self, terms: Mapping[str, Tensor], stage: str, batch_index: int) -> None:
        self.guard.watch(
            terms,
            f"{stage} {{}} is not finite at step {self.global_step}, epoch {self.current_epoch}, "
            f"batch {batch_index}. Cure: a lower model.optimizer.learning_rate, a smaller "
            "trainer.gradient_clip_val, or trainer.precision=32-true",
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the class, so that scoring needs the checkpoint alone; weights are finite."""
        self.guard.look()
        kind = type(self)
        checkpoint["anomaly_hep"] = {"model": f"{kind.__module__}.{kind.__qualname__}"}

    def configure_optimizers(self) -> Any:
        """Return AdamW with the schedule that `optimizer.schedule` names."""
        settings = self.optimizer_settings
        rate, warmup = settings["learning_rate"], settings["warmup_steps"]
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=rate,
            weight_decay=settings["weight_decay"],
            eps=settings["epsilon"],
            amsgrad=settings["amsgrad"],
            # one pass over all weights, and no value that the host would wait for
            fused=True if self.device.type == "cuda" else None,
        )
        schedule: torch.optim.lr_scheduler.LRScheduler
        if settings["schedule"] == "one_cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, rate, total_steps=int(self.trainer.estimated_stepping_batches)
            )
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: min(1.0, (step + 1) / max(warmup, 1))
            )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def clip(
        self, optimizer: torch.optim.Optimizer, value: float | None, algorithm: str | None
    ) -> None:
        """Bound the norm of the gradients: of all together, or of each tensor by itself.

        `optimizer.clip_each_tensor` is what Keras calls clipnorm; trainer.gradient_clip_val bounds
        the norm of all.
        """
        each = self.optimizer_settings["clip_each_tensor"]
        if each is None:
            self.clip_gradients(
                optimizer, gradient_clip_val=value, gradient_clip_algorithm=algorithm
            )
            return
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients)
        factors = (each / torch.stack(norms).clamp(min=each)).unbind()
        torch._foreach_mul_(gradients, factors)
