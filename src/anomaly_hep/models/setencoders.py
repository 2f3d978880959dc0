"""The encoders and decoders of sets: their keys in conf/model/encoder and their networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen

from anomaly_hep.bounds import Count, Positive
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.layers.deepset import DeepSetDecoder, DeepSetEncoder
from anomaly_hep.models.layers.transformer import TransformerDecoder, TransformerEncoder
from anomaly_hep.models.layers.trigger import TriggerPosterior

Encoder = DeepSetEncoder | TransformerEncoder | TriggerPosterior
Decoder = DeepSetDecoder | TransformerDecoder


@dataclass(frozen=True, kw_only=True)
class SetSettings(ABC):
    """Keys that all encoders and their decoders have."""

    takes_quantization: ClassVar[bool] = False
    d_model: Count
    d_ff: Count
    decoder_layers: Count

    @abstractmethod
    def encoder(
        self,
        features: Sequence[str],
        flags: int,
        latent_dim: int,
        quantization: Mapping[str, int] | None,
    ) -> Encoder:
        """Return the encoder of particles with these features and `flags` type flags."""

    @abstractmethod
    def decoder(self, outputs: int, latent_dim: int) -> Decoder:
        """Return the decoder to `outputs` numbers a particle."""


@dataclass(frozen=True, kw_only=True)
class DeepSetSettings(SetSettings):
    """conf/model/encoder/deepset.yaml."""

    kind: Literal["deepset"]
    layers: Count
    legacy_norm_start: bool

    def encoder(
        self,
        features: Sequence[str],
        flags: int,
        latent_dim: int,
        quantization: Mapping[str, int] | None,
    ) -> DeepSetEncoder:
        """Return the Deep Set."""
        del quantization  # refused before
        return DeepSetEncoder(
            inputs=len(features) + flags,
            latent_dim=latent_dim,
            d_model=self.d_model,
            d_ff=self.d_ff,
            layers=self.layers,
            legacy_norm_start=self.legacy_norm_start,
        )

    def decoder(self, outputs: int, latent_dim: int) -> DeepSetDecoder:
        """Return the Deep Set that decodes."""
        return _deep_set_decoder(self, outputs, latent_dim)


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(SetSettings):
    """conf/model/encoder/transformer.yaml."""

    kind: Literal["transformer"]
    heads: Count
    layers: Count
    pooling_layers: Count

    def __post_init__(self) -> None:
        if self.d_model % self.heads:
            raise ConfigError(
                f"model.encoder.heads={self.heads} does not divide model.encoder.d_model="
                f"{self.d_model}. Cure: choose heads that share the features equally"
            )

    def encoder(
        self,
        features: Sequence[str],
        flags: int,
        latent_dim: int,
        quantization: Mapping[str, int] | None,
    ) -> TransformerEncoder:
        """Return the transformer."""
        del quantization  # refused before
        return TransformerEncoder(
            inputs=len(features) + flags,
            latent_dim=latent_dim,
            d_model=self.d_model,
            d_ff=self.d_ff,
            heads=self.heads,
            layers=self.layers,
            pooling_layers=self.pooling_layers,
        )

    def decoder(self, outputs: int, latent_dim: int) -> TransformerDecoder:
        """Return the transformer that decodes."""
        return TransformerDecoder(
            outputs=outputs,
            latent_dim=latent_dim,
            d_model=self.d_model,
            d_ff=self.d_ff,
            heads=self.heads,
            layers=self.decoder_layers,
        )


@dataclass(frozen=True, kw_only=True)
class TriggerSettings(SetSettings):
    """conf/model/encoder/trigger.yaml."""

    takes_quantization: ClassVar[bool] = True
    kind: Literal["trigger"]
    constituents: Count
    ranges: Mapping[str, Positive]
    phi: Annotated[Sequence[Count], MinLen(1)]
    rho: Sequence[Count]
    legacy_norm_start: bool

    def encoder(
        self,
        features: Sequence[str],
        flags: int,
        latent_dim: int,
        quantization: Mapping[str, int] | None,
    ) -> TriggerPosterior:
        """Return the encoder that a chip can compute."""
        return TriggerPosterior(
            names=features,
            flags=flags,
            ranges=self.ranges,
            latent_dim=latent_dim,
            constituents=self.constituents,
            phi=self.phi,
            rho=self.rho,
            precision=quantization,
        )

    def decoder(self, outputs: int, latent_dim: int) -> DeepSetDecoder:
        """Return the Deep Set that decodes."""
        return _deep_set_decoder(self, outputs, latent_dim)


def settings_class(encoder: Mapping[str, Any]) -> type[SetSettings]:
    """Return the settings that the keys of an encoder belong to; raises ConfigError for no kind."""
    kinds: Mapping[Any, type[SetSettings]] = {
        "deepset": DeepSetSettings,
        "transformer": TransformerSettings,
        "trigger": TriggerSettings,
    }
    if (kind := encoder.get("kind")) not in kinds:
        raise ConfigError(
            f"model.encoder.kind={kind} does not exist. Cure: choose {', '.join(kinds)}"
        )
    return kinds[kind]


def _deep_set_decoder(
    settings: DeepSetSettings | TriggerSettings, outputs: int, latent_dim: int
) -> DeepSetDecoder:
    return DeepSetDecoder(
        outputs=outputs,
        latent_dim=latent_dim,
        d_model=settings.d_model,
        d_ff=settings.d_ff,
        layers=settings.decoder_layers,
        legacy_norm_start=settings.legacy_norm_start,
    )
