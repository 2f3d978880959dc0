"""The settings of the command fpga: conf/fpga, with types and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen

from anomaly_hep.bounds import Count, Positive
from anomaly_hep.errors import ConfigError

# squared: the sum of mu^2, without exponential and variances, as in CMS's AXOL1TL;
# kl: the whole KL divergence, with the exponential as a LUT.
ScoreName = Literal["squared", "kl"]
Output = Literal["score", "quantile", "decision"]


@dataclass(frozen=True)
class RTLSettings:
    """`fpga.rtl`: conf/fpga/rtl.yaml."""

    delay_per_stage: Positive
    simulated_events: Count
    synthesis: bool
    vhdl_events: Count
    routing: bool


@dataclass(frozen=True)
class HLS4MLSettings:
    """`fpga.hls4ml`: conf/fpga/hls4ml.yaml."""

    backends: tuple[str, ...]


@dataclass(frozen=True)
class FINNSettings:
    """`fpga.finn`: conf/fpga/finn.yaml."""

    environment: str
    make_environment: bool
    events_per_second: Positive


@dataclass(frozen=True)
class EmulatorSettings:
    """`fpga.emulator`: conf/fpga/emulator.yaml."""

    test_events: Count


@dataclass(frozen=True)
class LearnedSettings:
    """`fpga.learned`: the network whose bit widths are learned where `fpga.target_lut` is given."""

    phi: tuple[Count, ...]
    rho: tuple[Count, ...]
    latent_dim: Count
    starts: Count
    steps: Count
    learning_rate: Positive


@dataclass(frozen=True, kw_only=True)
class ChipSettings:
    """The network on the chip, its score, its bit widths, and the device."""

    constituents: Count
    phi: tuple[Count, ...]
    rho: tuple[Count, ...]
    latent_dim: Count
    score: ScoreName
    outputs: Annotated[tuple[Output, ...], MinLen(1)] | None
    rejection: Positive
    weight_bits: Annotated[int, Ge(2), Le(8)]
    activation_bits: Annotated[int, Ge(2), Le(8)]
    input_bits: Annotated[int, Ge(2), Le(12)]
    output_bits: Annotated[int, Ge(2), Le(12)]
    part: str
    clock_ns: Positive

    @property
    def precision(self) -> dict[str, int]:
        """Bits of the quantised encoder, as `TriggerEncoder` takes them."""
        names = ("weight_bits", "activation_bits", "input_bits", "output_bits")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class DesignSettings(ChipSettings):
    """`fpga`: conf/fpga/design.yaml, and each requested export."""

    inputs: Mapping[str, Positive] | None
    types: bool
    decorrelate: Literal["mass"] | None
    mass_bits: Annotated[int, Ge(2), Le(12)]
    cycles: Literal[1, 2, 4, 8]
    threshold: str | None
    float_starts: Count
    float_steps: Count
    float_learning_rate: Positive
    quantized_steps: Count
    quantized_learning_rate: Positive
    batch_size: Count
    tail: Annotated[float, Ge(0), Lt(1)]
    target_lut: Count | None
    order_aware: bool
    learned: LearnedSettings
    training_events: Count
    test_events: Count
    proof_events: Count
    teacher: str | None
    rtl: RTLSettings | None = None
    hls4ml: HLS4MLSettings | None = None
    finn: FINNSettings | None = None
    emulator: EmulatorSettings | None = None


def check_cycles(constituents: int, cycles: int) -> None:
    """Raise ConfigError where so many constituents cannot arrive in equal parts."""
    if constituents % cycles:
        raise ConfigError(
            f"fpga.cycles={cycles} does not divide {constituents} constituents. Cure: "
            f"fpga.constituents={-(-constituents // cycles) * cycles}, or fpga.cycles=1"
        )


def check_budget(settings: DesignSettings, own: Path | None) -> None:
    """Raise ConfigError for settings that no training to a budget of LUTs can have.

    `own` is the checkpoint of a model whose own encoder goes to the chip, None for any other.
    """
    budget = f"fpga.target_lut={settings.target_lut}"
    if settings.target_lut is None:
        if settings.order_aware:
            raise ConfigError(
                "fpga.order_aware=true gives each place widths that are learned. Cure: "
                "fpga.target_lut=12000, or fpga.order_aware=false"
            )
    elif settings.rtl is None and settings.emulator is None:
        raise ConfigError(
            f"{budget}: hls4ml and FINN have one type for all channels of a layer. Cure: fpga=rtl, "
            "or fpga.target_lut=null"
        )
    elif own is not None:
        raise ConfigError(
            f"{budget}: the encoder of {own} goes to the chip with the widths that it has. Cure: "
            "fpga.target_lut=null"
        )
    elif settings.order_aware and settings.cycles > 1:
        raise ConfigError(
            f"fpga.cycles={settings.cycles} shares phi among the places of constituents, and "
            "fpga.order_aware=true gives each widths of its own. Cure: fpga.cycles=1"
        )
