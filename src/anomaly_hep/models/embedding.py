"""The encoder of a trained model as the first, frozen stage of another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.errors import CheckpointError, ConfigError, in_one_line
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.loading import model_class, read_checkpoint


class ModelEmbedding(nn.Module):
    """The first of the vectors that a model of particles offers for fitted scores."""

    def __init__(self, model: AnomalyModel) -> None:
        super().__init__()
        if not issubclass(ParticleBatch, model.accepts) or not model.embedding_names:
            raise ConfigError(
                f"model.embedding holds {model.title}, which embeds no sets of particles. Cure: "
                "the checkpoint of a model of particles with a latent vector"
            )
        # in training mode, statistics of layers would move with the particle below
        self.model = model.eval()
        with torch.no_grad():
            self.size = int(self(_one_particle(model)).shape[1])

    @staticmethod
    def of(source: str | Mapping[str, Any]) -> ModelEmbedding:
        """Return the embedding of a checkpoint, or, without its weights, of a description.

        Raises CheckpointError for a file that holds no model of this package.
        """
        if not isinstance(source, str):
            model = model_class(source["model"])(**source["hyper_parameters"])
            return ModelEmbedding(model)
        content = read_checkpoint(Path(source))
        try:
            model = model_class(content["anomaly_hep"]["model"])(**content["hyper_parameters"])
            model.load_state_dict(content["state_dict"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"model.embedding={source} is no checkpoint of this version of the package "
                f"({in_one_line(error)}). Cure: use one written by train.py"
            ) from error
        return ModelEmbedding(model)

    def forward(self, batch: ParticleBatch) -> Float[Tensor, "event component"]:
        """Return the vector of each event."""
        return self.model.outputs(batch).embeddings[self.model.embedding_names[0]]

    def flops(self, multiplicity: float) -> float:
        """Return the operations of the model's encoder."""
        return self.model.flops(multiplicity)["encoder"]


def described(model: AnomalyModel) -> dict[str, Any]:
    """Return the class and the hyper-parameters of a model, as plain values."""
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    return {"model": name, "hyper_parameters": dict(model.hparams)}


def _one_particle(model: AnomalyModel) -> ParticleBatch:
    one = torch.ones(1, dtype=torch.int64)
    return ParticleBatch(
        lengths=one,
        index=one,
        weight=torch.ones(1),
        features=torch.ones(1, len(model.features or ())),
        types=torch.zeros_like(one) if model.needs_types else None,
    )
