"""What every model is to the rest of the system: named loss terms and named scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import lightning
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric

from anomaly_hep.errors import ConfigError, NonFiniteError

SCHEDULES = ("one_cycle", "constant")


class AnomalyModel(lightning.LightningModule):
    """A network that learns the background and scores how badly each event fits it.

    A subclass gives `loss` and `scores`; training, validation and the non-finite guard are here.
    Hyper-parameters are plain numbers, strings, lists and dicts, so that checkpoints load with
    `weights_only=True`.
    """

    default_score: ClassVar[str]
    score_names: ClassVar[tuple[str, ...]]
    reference_multiplicity: ClassVar[float]  # particles per event at which the paper counts FLOPs

    def __init__(self, optimizer: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        self.optimizer_settings, self.seed = dict(optimizer), seed
        if self.optimizer_settings["schedule"] not in SCHEDULES:
            raise ConfigError(
                f"model.optimizer.schedule={self.optimizer_settings['schedule']} does not exist. "
                f"Cure: choose one of {', '.join(SCHEDULES)}"
            )
        self.validation_means: dict[str, MeanMetric] = {}

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Float[Tensor, ""]]:
        """Return the batch means of the loss, under 'loss', and of its terms by their names."""

    @abstractmethod
    def scores(self, batch: Any) -> dict[str, Float[Tensor, " event"]]:
        """Return every anomaly score, larger for stranger events; deterministic."""

    @abstractmethod
    def reconstruct(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the target and its reconstruction, deterministic."""

    @abstractmethod
    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return the operations of 'encoder' and 'total' for `multiplicity` particles."""

    @property
    def settled(self) -> bool:
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

    def noise_like(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """Return standard normal noise that depends on seed, step and rank alone.

        So a run that was killed and resumed draws what the unbroken run would have drawn.
        """
        generator = torch.Generator()
        # odd multipliers keep the seeds of neighbouring steps and ranks apart
        generator.manual_seed(
            (self.seed * 1_000_003 + self.global_step) * 1_000_033 + self.global_rank
        )
        noise = torch.randn(values.shape, generator=generator)
        return noise.to(values.device, values.dtype)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Return the loss of one batch; a NaN or an infinity stops the run."""
        terms = self.loss(batch)
        self._refuse_non_finite(terms, "training", batch_index)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()},
            batch_size=len(batch),
        )
        return terms["loss"]

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Add one batch of background to the validation means."""
        terms = self.loss(batch)
        self._refuse_non_finite(terms, "validation", batch_index)
        for name, value in terms.items():
            if name not in self.validation_means:
                self.validation_means[name] = MeanMetric().to(self.device)
            self.validation_means[name].update(value, weight=len(batch))

    def on_validation_epoch_end(self) -> None:
        """Log the means over all events of all ranks."""
        for name, mean in self.validation_means.items():
            self.log(f"val/{name}", mean.compute(), prog_bar=name == "loss")
            mean.reset()

    def _refuse_non_finite(self, terms: Mapping[str, Tensor], stage: str, batch_index: int) -> None:
        bad = [name for name, value in terms.items() if not bool(torch.isfinite(value))]
        if bad:
            raise NonFiniteError(
                f"{stage} {', '.join(bad)} is not finite at step {self.global_step}, epoch "
                f"{self.current_epoch}, batch {batch_index}. Cure: a lower "
                "model.optimizer.learning_rate, a smaller trainer.gradient_clip_val, or "
                "trainer.precision=32-true"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the class, so that scoring needs the checkpoint alone."""
        kind = type(self)
        checkpoint["anomaly_hep"] = {"model": f"{kind.__module__}.{kind.__qualname__}"}

    def configure_optimizers(self) -> Any:
        """Return AdamW (amsgrad) with the schedule that `optimizer.schedule` names."""
        settings = self.optimizer_settings
        rate, warmup = settings["learning_rate"], settings["warmup_steps"]
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=rate, weight_decay=settings["weight_decay"], amsgrad=True
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
