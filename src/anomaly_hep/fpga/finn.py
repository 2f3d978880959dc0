"""FINN's estimate of an encoder's hardware: a dataflow of layers, folded to a rate of events."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from jaxtyping import Int64

from anomaly_hep.atomic import atomic_path, write_text
from anomaly_hep.errors import ConfigError, ExportError
from anomaly_hep.fpga import finn_environment, finn_graph
from anomaly_hep.fpga.integers import IntegerEncoder

_WORKER = Path(__file__).with_name("finn_worker.py")
# Events at a time here, and in all for FINN, which executes one after another, thrice.
_CHUNK, _EVENTS = 250, 300


@dataclass(frozen=True)
class Request:
    """What is asked of the hardware: events per second, the clock's period in ns, the FPGA."""

    rate: float
    clock_ns: float
    part: str

    def __post_init__(self) -> None:
        if not self.rate > 0 or not self.clock_ns > 0:
            raise ConfigError(
                f"{self.rate} events per second at a clock of {self.clock_ns} ns cannot be built. "
                "Cure: choose positive numbers"
            )
        if self.cycles < 1:
            raise ConfigError(
                f"{self.rate} events per second are more than one in each clock cycle of "
                f"{self.clock_ns} ns, which no layer of FINN takes. Cure: a lower rate, or a "
                "shorter period"
            )

    @property
    def cycles(self) -> int:
        """Clock cycles that there are for one event."""
        return int(1e9 / self.clock_ns / self.rate)


@dataclass(frozen=True)
class Estimate:
    """FINN's analytic estimate. Nothing was synthesised, and no timing is shown to close.

    rate: events per second, one in every `interval_cycles`. resources: sums over the layers. LUTs
    are a lower bound: FINN has no estimate for those of `without_luts`, and counts of thresholds
    the memory alone. Flip-flops it does not estimate.
    checkpoints: for how many events FINN's graph gave the encoder's integers, at each stage.
    """

    request: Request
    version: str
    rate: float
    interval_cycles: int
    critical_path_cycles: int
    latency_ns: float
    slowest_layer: str
    resources: Mapping[str, int]
    layers: tuple[Mapping[str, Any], ...]
    checkpoints: Mapping[str, int]
    seconds: Mapping[str, float]
    stitched_ip: str | None

    @property
    def reached(self) -> bool:
        """Whether the estimated rate is the one asked for."""
        return self.rate >= self.request.rate

    @property
    def copies(self) -> int:
        """Copies of the whole design that would reach the rate, if they took events in turn."""
        return math.ceil(self.request.rate / self.rate)

    @property
    def without_luts(self) -> tuple[str, ...]:
        """Layers whose LUTs FINN does not estimate; none is built without."""
        return tuple(layer["name"] for layer in self.layers if not layer["LUT"])

    def summary(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        request, own = vars(self.request), {k: v for k, v in vars(self).items() if k != "request"}
        stitched = self.stitched_ip or "not built: vivado is not on PATH, or XILINX_VIVADO not set"
        return {
            **{f"asked_{name}": value for name, value in request.items()},
            "asked_cycles": self.request.cycles,
            **own,
            "reached": self.reached,
            "copies": self.copies,
            "without_luts": self.without_luts,
            "stitched_ip": stitched,
        }


def estimate(
    encoder: IntegerEncoder,
    inputs: Int64[np.ndarray, "event constituent port"],
    request: Request,
    *,
    environment: Path,
    folder: Path,
) -> Estimate:
    """Return FINN's estimate, and write it with the graph to `folder`.

    All events are first computed here by the graph, then hundreds of them at each stage inside
    FINN. Raises ExportError unless every integer is the encoder's, MissingToolError without FINN.
    """
    python = finn_environment.python(environment)
    finn_graph.check(finn_graph.dialect(encoder, _CHUNK), encoder, inputs)
    with atomic_path(folder / "encoder.onnx") as path:
        onnx.save(finn_graph.dialect(encoder), path)
    rows = np.linspace(0, len(inputs) - 1, min(len(inputs), _EVENTS)).astype(np.int64)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        np.savez(
            scratch / "events.npz",
            inputs=finn_graph.framed(encoder, inputs[rows]),
            outputs=encoder(inputs[rows]),
        )
        result = scratch / "result.json"
        _run(
            [python, "-I", _WORKER, folder / "encoder.onnx", scratch / "events.npz", result,
             "--cycles", request.cycles, "--clock-ns", request.clock_ns, "--part", request.part,
             "--build", folder / "finn"]
        )  # fmt: skip
        found = parse(result, request)
    write_text(folder / "estimate.json", json.dumps(found.summary(), indent=2) + "\n")
    return found


def parse(path: Path, request: Request) -> Estimate:
    """Return the estimate that a worker wrote; raises ExportError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Estimate(request=request, layers=tuple(found.pop("layers")), **found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError(
            f"FINN's worker left no result in {path} that can be read: {error}. Cure: make its "
            "environment anew with python -m anomaly_hep.fpga.finn_environment"
        ) from error


def _run(command: list[object]) -> None:
    """Run FINN's worker; raises ExportError with its last lines."""
    done = subprocess.run(
        [str(part) for part in command], check=False, text=True, capture_output=True
    )
    if done.returncode:
        raise ExportError(
            f"FINN stopped: {finn_environment.last_lines(done.stderr or done.stdout)}. Cure: a "
            "part that FINN knows, or fewer bits; if the integers differ, another version of FINN"
        )
