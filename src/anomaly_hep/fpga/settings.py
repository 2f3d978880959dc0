"""What the configuration of the command fpga holds, with types and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from anomaly_hep.errors import ConfigError

# squared: the sum of mu^2, without exponential and variances, as CMS's AXOL1TL has it;
# kl: the whole KL divergence, with the exponential as a table.
ScoreName = Literal["squared", "kl"]
Output = Literal["score", "decision"]
Positive = Annotated[int, Field(ge=1)]
_STRICT = {"extra": "forbid"}  # a key that does not exist is an error


@dataclass(frozen=True)
class RTLSettings:
    """Of conf/fpga/rtl.yaml."""

    __pydantic_config__: ClassVar = _STRICT
    delay_per_stage: float
    simulated_events: Positive
    synthesis: bool


@dataclass(frozen=True)
class HLS4MLSettings:
    """Of conf/fpga/hls4ml.yaml."""

    __pydantic_config__: ClassVar = _STRICT
    backends: tuple[str, ...]


@dataclass(frozen=True)
class FINNSettings:
    """Of conf/fpga/finn.yaml."""

    __pydantic_config__: ClassVar = _STRICT
    environment: str
    make_environment: bool
    events_per_second: float


@dataclass(frozen=True, kw_only=True)
class ChipSettings:
    """The network on the chip, its score, its numbers, and the device."""

    __pydantic_config__: ClassVar = _STRICT
    constituents: Positive
    phi: tuple[Positive, ...]
    rho: tuple[Positive, ...]
    latent_dim: Positive
    score: ScoreName
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    rejection: float
    weight_bits: int
    activation_bits: int
    input_bits: int
    output_bits: int
    part: str
    clock_ns: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True)
class Settings(ChipSettings):
    """Of conf/fpga/design.yaml, and of each export that is asked for."""

    inputs: Mapping[str, float]
    types: bool
    float_starts: Positive
    float_steps: Positive
    float_learning_rate: float
    quantized_steps: Positive
    quantized_learning_rate: float
    batch_size: Positive
    training_events: Positive
    test_events: Positive
    rtl: RTLSettings | None = None
    hls4ml: HLS4MLSettings | None = None
    finn: FINNSettings | None = None

    @property
    def precision(self) -> dict[str, int]:
        """Bits of the quantised encoder, as `TriggerEncoder` takes them."""
        names = ("weight_bits", "activation_bits", "input_bits", "output_bits")
        return {name: getattr(self, name) for name in names}


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Return the settings below `fpga` in a configuration; raises ConfigError for a bad value."""
    try:
        return TypeAdapter(Settings).validate_python(dict(config))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, ("fpga", *first["loc"])))
        unknown = first["type"] == "unexpected_keyword_argument"
        raise ConfigError(
            f"{key} does not exist. Cure: leave it out"
            if unknown
            else f"{key}={first['input']} is not possible: {first['msg']}. Cure: give such a value"
        ) from error
