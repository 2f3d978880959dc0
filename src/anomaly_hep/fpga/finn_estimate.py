"""FINN's estimate of an encoder's hardware: a dataflow of layers, folded to an event rate."""

from __future__ import annotations

import json
import math
import re
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
from anomaly_hep.fpga import finn_environment, finn_graph, programs
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.resources import Resources

_WORKER = Path(__file__).with_name("finn_worker.py")
# Events that FINN executes, one after another, at each of three checkpoints.
_EVENTS = 300


@dataclass(frozen=True)
class Request:
    """What the hardware must reach: events per second, the clock's period in ns, the FPGA."""

    rate: float
    clock_ns: float
    part: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"xc\w+-\w+-\w+(-\w+)*", self.part):
            # FINN would accept any word, and estimate with the DSPs of another family
            raise ConfigError(
                f"{self.part} is not an AMD part, as Vivado names them. Cure: a name such as "
                "xcvu13p-flga2577-2-e"
            )
        if self.cycles < 1:
            raise ConfigError(
                f"{self.rate} events per second are more than one in each clock cycle of "
                f"{self.clock_ns} ns, which no layer of FINN takes. Cure: a lower rate, or a "
                "shorter period"
            )

    @property
    def cycles(self) -> int:
        """Clock cycles available per event."""
        return int(1e9 / self.clock_ns / self.rate)


@dataclass(frozen=True)
class Estimate:
    """FINN's analytic estimate. Nothing was synthesised, and no timing is shown to close.

    `rate` is in events per second, with the initiation interval `interval_cycles`.
    `critical_path_cycles` is a sum over the layers, as if each waited for the whole event, and
    `latency_ns` the same in time. `resources` are sums over the layers. LUTs are rough: FINN gives
    none for the layers in `without_luts`, counts only the memory of thresholds, and counts a row of
    thresholds that all channels share once per channel. `checkpoints` hold the number of events for
    which FINN's graph gave the encoder's integers, after each step.
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
        """Whether the estimated rate is at least the requested one."""
        return self.rate >= self.request.rate

    @property
    def copies(self) -> int:
        """Number of copies of the whole design that reach the rate, taking events in turn."""
        return math.ceil(self.request.rate / self.rate)

    @property
    def without_luts(self) -> tuple[str, ...]:
        """Layers for which FINN estimates no LUTs, although each needs some."""
        return tuple(layer["name"] for layer in self.layers if not layer["LUT"])

    def as_resources(self) -> Resources:
        """Return the estimate as a row of the resource table."""
        return Resources(
            tool=f"FINN estimate ({self.version})",
            lut=self.resources["LUT"],
            ff=None,
            dsp=self.resources["DSP"],
            bram=self.resources["BRAM_18K"],
            pipeline_stages=self.critical_path_cycles,
            initiation_interval=self.interval_cycles,
        )

    def remarks(self) -> list[str]:
        """Return remarks on what the row of the table does not show."""
        equal = ", ".join(f"{n} events after {stage}" for stage, n in self.checkpoints.items())
        remarks = [
            f"FINN's graph is exactly equal inside FINN too: {equal}.",
            (
                "FINN's estimate is analytic: it has no flip-flops, and no LUTs for "
                f"{len(self.without_luts)} of {len(self.layers)} layers: its sum is a lower bound."
            ),
        ]
        if not self.reached:
            remarks.append(
                f"FINN does not reach {self.request.rate / 1e6:g} million events per second: "
                f"{self.rate / 1e6:.3g} million, limited by {self.slowest_layer}; "
                f"{self.copies} copies of the design in turn would."
            )
        return remarks

    def summary(self) -> dict[str, Any]:
        """Return the whole estimate as JSON-compatible values."""
        request = {f"asked_{name}": value for name, value in vars(self.request).items()}
        missing = "not built: no vivado or vitis_hls on PATH, or no XILINX_VIVADO"
        return {
            **request,
            "asked_cycles": self.request.cycles,
            **{name: value for name, value in vars(self).items() if name != "request"},
            "reached": self.reached,
            "copies": self.copies,
            "without_luts": self.without_luts,
            "stitched_ip": self.stitched_ip or missing,
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

    FINN executes up to 300 of the events at each checkpoint. Raises ExportError if any integer
    differs from the encoder's, MissingToolError without FINN.
    """
    python = finn_environment.python(environment)
    with atomic_path(folder / "encoder.onnx") as path:
        onnx.save(finn_graph.finn_graph(encoder), path)
    rows = np.linspace(0, len(inputs) - 1, min(len(inputs), _EVENTS)).astype(np.int64)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        np.savez(
            scratch / "events.npz",
            inputs=finn_graph.framed(encoder, inputs[rows]),
            outputs=encoder(inputs[rows]),
        )
        result = scratch / "result.json"
        # -I keeps this package and its environment out of FINN's Python
        programs.run(
            [python, "-I", _WORKER, (folder / "encoder.onnx").absolute(), scratch / "events.npz",
             result, "--cycles", request.cycles, "--clock-ns", request.clock_ns,
             "--part", request.part, "--build", (folder / "finn").absolute()],
            folder,
            log=folder / "finn.log",
            cure="mend what it names; integers that differ are a defect of this version of FINN, "
            "or of finn_graph",
        )  # fmt: skip
        estimated = parse(result, request)
    write_text(folder / "estimate.json", json.dumps(estimated.summary(), indent=2) + "\n")
    return estimated


def parse(path: Path, request: Request) -> Estimate:
    """Return the estimate that a worker wrote; raises ExportError for any other content."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Estimate(request=request, layers=tuple(content.pop("layers")), **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError(
            f"FINN's worker left no result in {path} that can be read: {error}. Cure: make its "
            "environment anew with python -m anomaly_hep.fpga.finn_environment"
        ) from error
