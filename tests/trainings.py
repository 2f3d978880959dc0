"""Trainings of a small model on a few toy jets, in two phases, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import lightning
import torch
import yaml
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.checking import trainer_settings
from anomaly_hep.data.batch import ParticleBatch, VectorBatch
from anomaly_hep.fitting import Training
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.outputs import EventOutputs, ScoreDescription, weighted_mean
from anomaly_hep.models.phase import Phase
from anomaly_hep.runtime import Termination
from tests.data.files import write_toys
from tests.modules import CONF, module_of

ADAM = {"_target_": "torch.optim.Adam", "lr": 0.01}
JETS, BATCHES = 24, 3
SCHEDULES: Mapping[str, dict[str, Any] | None] = {
    "constant": None,
    "one-cycle": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"},
    "per epoch": {
        "_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5,
        "interval": "epoch",
    },
    "plateau": {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "threshold": 0.5,
    },
}  # fmt: skip


class ToyModel(AnomalyModel):
    """Encode the mean of a jet's features, with all that a resumed run could get wrong.

    Running statistics, dropout from torch's own generator, the model's noise.
    """

    title: ClassVar[str] = "toy"
    default_score: str = "distance"
    score_names = ("distance",)

    def __init__(self, *, phases: Mapping[str, Any], seed: int) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.encoder = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.2))
        self.decoder = nn.Linear(4, 8)

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        return {"distance": ScoreDescription("distance")}

    def distance(self, batch: ParticleBatch) -> Tensor:
        event = torch.repeat_interleave(torch.arange(len(batch)), batch.lengths)
        sums = torch.zeros(len(batch), 8).index_add(0, event, batch.features)
        mean = sums / batch.lengths[:, None]
        latent = self.encoder(mean)
        if self.training:
            latent = latent + 0.1 * self.noise_like(latent)
        return (self.decoder(latent) - mean).square().mean(1)

    def loss(self, batch: ParticleBatch, phase: str) -> dict[str, Tensor]:
        distance = self.distance(batch)
        loss = weighted_mean(distance if phase == "first" else distance.sqrt(), batch.weight)
        return {"loss": loss, "distance": weighted_mean(distance, batch.weight)}

    def outputs(self, batch: ParticleBatch) -> EventOutputs:
        return EventOutputs({"distance": self.distance(batch)})

    def flops(self, multiplicity: float) -> dict[str, float]:
        return {"encoder": 0.0, "total": multiplicity}


class TwoStageToy(ToyModel):
    """The same, whose second phase trains what follows the vectors that `embed` gives."""

    def embeds(self, phase: Phase) -> bool:
        return phase.name == "second"

    def embed(self, batch: ParticleBatch) -> Tensor:
        event = torch.repeat_interleave(torch.arange(len(batch)), batch.lengths)
        sums = torch.zeros(len(batch), 8).index_add(0, event, batch.features)
        mean = sums / batch.lengths[:, None]
        return torch.cat([self.encoder(mean), mean], 1)

    def loss(self, batch: ParticleBatch | VectorBatch, phase: str) -> dict[str, Tensor]:
        if not isinstance(batch, VectorBatch):
            assert phase == "first"
            return super().loss(batch, phase)
        latent, mean = batch.vectors.split([4, 8], 1)
        latent = functional.dropout(latent, 0.2, self.training)
        distance = (self.decoder(latent + 0.1 * self.noise_like(latent)) - mean).square().mean(1)
        return {"loss": weighted_mean(distance, batch.weight)}


def two_phases(schedule: str = "constant", **second: Any) -> dict[str, Any]:
    """Return the phases `first` and `second`, which trains the decoder alone."""
    of_both = {"epochs": 2, "optimizer": ADAM, "scheduler": SCHEDULES[schedule]}
    return {"first": of_both, "second": {**of_both, "trains": ["decoder"], **second}}


def toy_data(directory: Path) -> Path:
    """Write the jets: three batches of eight to train on, and as many to validate."""
    return write_toys(directory, train=JETS, test=JETS, files=2, mean_particles=4.0)


def training(
    run: Path,
    data: Path,
    phases: Mapping[str, Any],
    *,
    seed: int = 1,
    kind: type[Training] = Training,
    workers: int = 0,
    toy: type[ToyModel] = ToyModel,
    **trainer: Any,
) -> Training:
    """Return a training as a process begins it, whatever another one left in `run`."""
    lightning.seed_everything(seed, verbose=False)
    reading = {"batch_size": JETS // BATCHES, "chunk_events": 5, "pool_batches": 2}
    module = module_of("jetclass", data, seed=seed, **reading, num_workers=workers)
    defaults = yaml.safe_load((CONF / "trainer" / "default.yaml").read_text())
    chosen = {"enable_progress_bar": False, "log_every_n_steps": 1, "checkpoint_every_seconds": 0}
    model = toy(phases=phases, seed=seed)
    settings = trainer_settings({**defaults, **chosen, **trainer})
    return kind(model, module, settings, run, Termination())


def fit(*arguments: Any, **choices: Any) -> Training:
    """Make a training to its end."""
    made = training(*arguments, **choices)
    made.fit(None, Console(quiet=True))
    return made
