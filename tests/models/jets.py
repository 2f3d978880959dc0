"""Random batches and small models for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import anomaly_hep.configuration  # noqa: F401 (registers the resolvers of the yaml files)
from anomaly_hep.data.batch import ParticleBatch

CONF = Path(__file__).resolve().parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def settings_of(*overrides: str) -> dict[str, Any]:
    """Return the settings of the model that a command line would train."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)["model"]
    return settings


def makes_choices(name: str) -> list[tuple[str, ...]]:
    """Return overrides of a model of particles that choose between its networks."""
    if "encoder" in settings_of(f"model={name}"):
        encoders, types = ("deepset", "transformer", "trigger"), ("true", "false")
        return [(f"model/encoder={e}", f"model.use_pid={t}") for e in encoders for t in types]
    choices = [("model.beta=1",), ("model.beta=0.5",)]
    if "legacy_slots" in settings_of(f"model={name}"):
        choices.append(("model.beta=0.5", "model.legacy_slots=true"))
    return choices


def make_model(*overrides: str) -> Any:
    """Return the model that a command line would train."""
    settings = settings_of(*overrides)
    settings.pop("name")
    return instantiate(settings, _recursive_=False, _convert_="all")


def random_batch(lengths: list[int], *, seed: int = 0, features: int = 8) -> ParticleBatch:
    """Return jets of the given numbers of particles, momentum fractions positive."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    values = torch.randn(total, features, generator=generator)
    values[:, 0] = values[:, 0].abs()
    return ParticleBatch(
        lengths=torch.tensor(lengths, dtype=torch.int64),
        index=torch.arange(len(lengths)),
        weight=torch.ones(len(lengths)),
        features=values,
        types=torch.randint(0, 8, (total,), generator=generator),
    )


def batch_for(model: Any, lengths: list[int], seed: int = 0) -> ParticleBatch:
    """Return a random batch with as many features as the model takes."""
    return random_batch(lengths, seed=seed, features=len(model.features))


def rows_of(lengths: list[int]) -> list[slice]:
    """Return where each jet's particles are."""
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [slice(end - n, end) for end, n in zip(ends, lengths, strict=True)]
