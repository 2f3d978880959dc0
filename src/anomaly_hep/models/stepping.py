"""Training steps of a model, eager or compiled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning
import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_hep.models.compiled import TrainingStep
from anomaly_hep.models.guard import FiniteGuard
from anomaly_hep.models.noise import Noise


class SteppedModule(lightning.LightningModule):
    """A LightningModule whose training step may be one compiled graph.

    Everything that changes from step to step is an input of the graph: the batch, the noise, and
    `ramp`. compile_steps: whether steps are compiled; None compiles those that can be.
    """

    steps_done: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.noise, self.guard = Noise(self.rng), FiniteGuard()
        self.register_buffer("steps_done", torch.zeros(()), persistent=False)
        self.compile_steps: bool | None = False
        self.compiled: TrainingStep | None = None

    @abstractmethod
    def loss(self, batch: Any, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the loss as 'loss', and its terms by name."""

    @abstractmethod
    def rng(self) -> torch.Generator:
        """Return the random number generator of this step."""

    @abstractmethod
    def clip(
        self, optimizer: torch.optim.Optimizer, value: float | None, algorithm: str | None
    ) -> None:
        """Clip the gradients."""

    def noise_like(self, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """Return standard normal noise that depends only on the rng of the step."""
        return self.noise(torch.randn, values.shape, values.device).to(values.dtype)

    def uniform(self, shape: Sequence[int]) -> Float[Tensor, ...]:
        """Return uniform noise between 0 and 1 that depends only on the rng of the step."""
        return self.noise(torch.rand, shape, self.device)

    def ramp(self, steps: int) -> Float[Tensor, ""]:
        """Return the completed share of the first `steps` steps, at most 1.

        It is a tensor, so that a step is not compiled anew for each value.
        """
        return (self.steps_done / max(steps, 1)).clamp(max=1.0)

    def terms(self, batch: Any, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the loss terms of a training step; a compiled step also sets the gradients."""
        self.steps_done.fill_(self.global_step)
        if self.compiled is None:
            return self.loss(batch, phase)
        return self.compiled(batch, phase)

    def on_train_start(self) -> None:
        """Compile the step, unless gradients are summed over several devices or batches."""
        trainer = self.trainer
        single = trainer.world_size == 1 and trainer.accumulate_grad_batches == 1
        if self.compile_steps is not False and single:
            (optimizer,) = trainer.optimizers
            clip = partial(
                self.clip, optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )
            self.compiled = TrainingStep(self, clip, required=bool(self.compile_steps))

    def on_train_end(self) -> None:
        """Check the last steps, and release the compiled step."""
        self.guard.look()
        self.compiled = None

    def on_train_epoch_end(self) -> None:
        """Check the remaining steps of the epoch."""
        self.guard.look()

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        """Compute the gradients, unless the compiled step has done so."""
        if self.compiled is None:
            super().backward(loss, *arguments, **options)

    def optimizer_zero_grad(
        self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """Reset the gradients, unless the compiled step has done so."""
        if self.compiled is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients, unless the compiled step has done so."""
        if self.compiled is None:
            self.clip(optimizer, gradient_clip_val, gradient_clip_algorithm)
