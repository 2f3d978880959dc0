"""A small design with its project of both languages, its test benches, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomaly_hep.fpga import rtl, testbench
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.fpga.fixedpoint import Integers
from anomaly_hep.fpga.integers import IntegerEncoder
from tests.fpga.encoders import events, random_encoder, with_latents, without_mass

PART, CLOCK, EVENTS = "xcvu13p-flga2577-2-e", 2.5, 200


@dataclass(frozen=True, eq=False)
class Written:
    """A project with its bench, and what must come out of it."""

    encoder: IntegerEncoder
    circuit: Circuit
    inputs: Integers
    expected: dict[str, Integers]
    directory: Path

    @property
    def bench(self) -> Path:
        return self.directory / "bench"


def written(directory: Path, kind: ScoreName, delay: float, cycles: int = 1) -> Written:
    """Two constituents of two ports, of which every output changes, in so many clocks an event."""
    encoder = random_encoder(1, constituents=2, ports=2, phi=(3,), rho=(), input_bits=4)
    encoder = with_latents(encoder, 3)
    score = ChipScore(kind, encoder.head.output, 2)
    inputs = events(encoder, EVENTS)
    scores = score(encoder(inputs))
    cut = int(np.sort(scores)[EVENTS // 2])
    circuit = rtl.trace(encoder, score, cut, ["decision", "score"], delay, cycles)
    rtl.write(circuit, directory, PART, CLOCK)
    expected = {"score": scores, "decision": (scores > cut).astype(np.int64)}
    assert circuit.outputs[1].type.fraction == score.fraction
    testbench.write(circuit, encoder, directory / "bench", without_mass(inputs), expected, CLOCK)
    return Written(encoder, circuit, inputs, expected, directory)
