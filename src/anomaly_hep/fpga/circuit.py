"""A circuit as alkaid traced it: its logic, its registers and the fields of its ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.resources import ESTIMATES, Resources

MASS = "mass"


@dataclass(frozen=True)
class Signal:
    """A field of the packed input or output: its lowest bit and its type."""

    name: str
    low: int
    type: FixedPoint


@dataclass(frozen=True, eq=False)
class Circuit:
    """A design as alkaid traced it: its logic, the same cut by registers, the fields of its ports.

    `latency` are the clocks from an event's arrival in the first register to its result in the
    last, `cycles` those between the arrivals of two events, and in which one arrives in parts.
    """

    logic: tuple[Any, ...]
    machine: Any
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    latency: int
    cycles: int = 1

    @property
    def has_mass(self) -> bool:
        """Whether the last input is the mass."""
        return self.inputs[-1].name == MASS

    @property
    def contract(self) -> dict[str, Any]:
        """What ports.json says about the signals beside the data; nothing without any."""
        return {}

    @property
    def estimate(self) -> Resources:
        """Resources as alkaid estimates them: nothing is placed, and no clock is promised."""
        return Resources(
            tool=ESTIMATES[0],
            lut=round(sum(float(block.cost) for block in self.logic)),
            ff=sum(signal.width for signal in self.machine.signals.values() if signal.reg),
            dsp=0,
            bram=0,
            pipeline_stages=self.latency,
            initiation_interval=self.cycles,
        )

    def predict(
        self, values: Float64[np.ndarray, "clock input"]
    ) -> Float64[np.ndarray, "event output"]:
        """Return the outputs of alkaid's interpreter for real values at the inputs."""
        (logic,) = self.logic
        return np.asarray(logic.predict(values), np.float64)


def signals(names: Sequence[str], intervals: Sequence[Any]) -> tuple[Signal, ...]:
    """Return the fields of a packed port, the first name in the lowest bits.

    alkaid leaves out bits that never change or are never read: fields are narrow, and some have
    no bit at all.
    """
    fields, low = [], 0
    for name, interval in zip(names, intervals, strict=True):
        sign, before, behind = (int(part) for part in interval.kif)
        bits = sign + before + behind
        fields.append(Signal(name, low, FixedPoint(bool(sign), bits, behind)))
        low += bits
    return tuple(fields)


def refuse_constants(names: Sequence[str], outputs: Sequence[Signal]) -> None:
    """Raise ExportError if no output has a bit that events change."""
    if not any(signal.type.bits for signal in outputs):
        raise ExportError(
            f"{' and '.join(names)} would be the same for every event, and no wire leaves the "
            "chip. Cure: train the encoder longer, or another fpga.rejection"
        )
