"""A plain Lightning transcription of the IB-VAE with its adversary: the yardstick of its training.

    python benchmarks/plain_lightning.py [--jets N] [--epochs E] [--batch-size B]

Written as one writes it first, on purpose: a DataLoader over a TensorDataset of 80 numbers a jet,
batches of 100, Adam, Lightning's defaults without its logger and files. The network and the losses
are those of Golling et al.: an encoder 80-256-128-64 to 10 means and log-variances, the mirrored
decoder, the mean squared error and 0.25 times the mean KL divergence; and an adversary
80-256-128-64-1 behind a gradient reversal, with a gradient penalty of 10 and a weight of 0.1.

It uses random numbers and imports nothing of anomaly_hep. Each line has jets per second of wall
clock and of processor time, after one warm-up epoch.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import time
import warnings
from itertools import pairwise
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

SIZES = (80, 256, 128, 64)
LATENT = 10


def layers(sizes: tuple[int, ...], activation: nn.Module) -> list[nn.Module]:
    """Return linear layers with an activation after each."""
    return [module for a, b in pairwise(sizes) for module in (nn.Linear(a, b), activation)]


class Reversal(torch.autograd.Function):
    """The identity, with the opposite gradient."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        """Return the input."""
        return x.view_as(x)

    @staticmethod
    def backward(_: Any, *grads: Tensor) -> Tensor:
        """Return the gradient with the opposite sign."""
        return -grads[0]


class VAE(lightning.LightningModule):
    """The variational autoencoder alone: phase 1."""

    def __init__(self, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.encoder = nn.Sequential(*layers(SIZES, nn.ReLU()))
        self.mean = nn.Linear(SIZES[-1], LATENT)
        self.log_variance = nn.Linear(SIZES[-1], LATENT)
        mirrored = (LATENT, *SIZES[:0:-1])
        self.decoder = nn.Sequential(*layers(mirrored, nn.ReLU()), nn.Linear(SIZES[1], SIZES[0]))

    def vae_loss(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the reconstruction."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = self.decoder(z)
        mse = functional.mse_loss(reconstruction, x)
        kl = -0.5 * torch.mean(1 + log_variance - mean.pow(2) - log_variance.exp())
        self.log("mse", mse)
        self.log("kl", kl)
        return mse + 0.25 * kl, reconstruction

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """Return the loss of a batch."""
        return self.vae_loss(batch[0])[0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class AdversarialVAE(VAE):
    """The autoencoder against an adversary, which learns too (phase 2) or is frozen (phase 3)."""

    def __init__(self, learning_rate: float = 1e-5, *, frozen: bool = False) -> None:
        super().__init__(learning_rate)
        self.frozen = frozen
        self.adversary = nn.Sequential(*layers(SIZES, nn.LeakyReLU(0.2)), nn.Linear(SIZES[-1], 1))
        self.adversary.requires_grad_(not frozen)

    def penalty(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the mean squared distance of the adversary's slope from 1, on interpolations."""
        share = torch.rand(len(x), 1, device=x.device)
        between = (share * x + (1 - share) * reconstruction.detach()).requires_grad_()
        output = self.adversary(between)
        (slope,) = torch.autograd.grad(output.sum(), between, create_graph=True)
        return ((slope.norm(2, dim=1) - 1) ** 2).mean()

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """Return the loss of a batch."""
        (x,) = batch
        loss, reconstruction = self.vae_loss(x)
        real, fake = self.adversary(x), self.adversary(Reversal.apply(reconstruction))
        bce = functional.binary_cross_entropy_with_logits
        adversarial = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        if not self.frozen:
            adversarial = adversarial + 10 * self.penalty(x, reconstruction)
        self.log("adversarial", adversarial)
        return loss + 0.1 * adversarial

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam for what learns."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=self.learning_rate)


class Clock(lightning.Callback):
    """Notes when every epoch ends."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_train_epoch_end(self, *_: Any) -> None:
        """Note wall clock and processor time, in s."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.ends.append((time.perf_counter(), usage.ru_utime + usage.ru_stime))


def measure(name: str, model: VAE, options: argparse.Namespace) -> None:
    """Print the training rates of a phase: the best epoch but the first."""
    data = TensorDataset(torch.randn(options.jets, SIZES[0]))
    loader = DataLoader(data, batch_size=options.batch_size, shuffle=True)
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=options.epochs + 1, logger=False, enable_checkpointing=False, callbacks=[clock],
        enable_progress_bar=options.progress_bar, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, loader)
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(clock.ends)]
    wall, cpu = min(span[0] for span in spans), min(span[1] for span in spans)
    say(f"{name:28s} {options.jets / wall:9.0f} jets/s, {options.jets / cpu:9.0f} per cpu second")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure the three phases."""
    parser = argparse.ArgumentParser(description="Training rates of a plain transcription.")
    parser.add_argument("--jets", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=3, help="epochs after the warm-up")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--progress-bar", action="store_true", help="Lightning's default; slower")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    count = sum(parameter.numel() for parameter in VAE().parameters())
    say(f"{count} parameters, batches of {options.batch_size}, threads: {options.threads}")
    measure("phase 1, no adversary", VAE(1e-3), options)
    measure("phase 2, adversary learns", AdversarialVAE(1e-5), options)
    measure("phase 3, adversary frozen", AdversarialVAE(1e-3, frozen=True), options)


if __name__ == "__main__":
    main()
