"""fpga.json and report.html: the proof, the resources, and what a firmware engineer needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.intervals import binomial
from anomaly_hep.fpga import figures
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.events import Jets
from anomaly_hep.fpga.exports import Results
from anomaly_hep.fpga.page import html
from anomaly_hep.fpga.source import Source
from anomaly_hep.fpga.verify import Comparison, as_json, efficiencies, mean_efficiency

SECONDS = "seconds.json"  # of each step of a run, kept over a kill


@dataclass(frozen=True, eq=False)
class Proof:
    """Everything that a run found; `beyond` says which inputs a port's range cut, by event."""

    settings: Mapping[str, Any]
    source: Source
    design: Design
    test: Jets
    beyond: Bool[np.ndarray, "event port"]
    comparisons: Sequence[Comparison]
    exports: Mapping[str, Results]


def write_report(path: Path, proof: Proof) -> None:
    """Write fpga.json, figures/ and report.html into the run directory."""
    content = summary(path, proof)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path / "fpga.json", text + "\n")
    _draw(path / "figures", proof, content)
    write_text(path / "report.html", html(path, content))


def summary(path: Path, proof: Proof) -> dict[str, Any]:
    """Return the content of fpga.json."""
    design, settings = proof.design, proof.settings
    labels, background = proof.test.labels, proof.source.background
    stages = []
    for comparison in proof.comparisons:
        found = efficiencies(comparison.stage, labels, background, settings["rejection"])
        mean = mean_efficiency(comparison.stage, labels, background, settings["rejection"])
        stages.append(as_json(comparison, found) | {"mean_efficiency": mean and list(mean)})
    reference = next(c.stage for c in proof.comparisons if c.stage.integers)
    fires = reference.fires[labels == background]
    return {
        "stages": stages,
        "resources": [row for r in proof.exports.values() for row in r.resources],
        "seconds": _seconds(path),
        "exact": all(comparison.exact for comparison in proof.comparisons),
        "model": proof.source.described(),
        "events": {
            str(label): int(count)
            for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
        },
        "background": background,
        "design": _design(design, settings),
        "background_firing": list(binomial(int(fires.sum()), len(fires))),
        "inputs_beyond_range": {
            "events": float(proof.beyond.any(axis=1).mean()),
            "ports": {
                port.name: float(share)
                for port, share in zip(
                    design.integers.ports, proof.beyond.mean(axis=0), strict=True
                )
            },
        },
        "remarks": [remark for r in proof.exports.values() for remark in r.remarks],
    }


def _seconds(path: Path) -> dict[str, float]:
    """Return what the command measured so far, of this start and of those before."""
    seconds: dict[str, float] = json.loads((path / SECONDS).read_text(encoding="utf-8"))
    return seconds


def _design(design: Design, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a firmware engineer has to know of the network, its ports and its score."""
    encoder, score = design.integers, design.score
    kept = ("constituents", "phi", "rho", "latent_dim", "score", "outputs", "rejection", "part",
            "clock_ns", "weight_bits", "activation_bits", "input_bits", "output_bits")  # fmt: skip
    return {
        **{name: settings[name] for name in kept},
        "threshold": design.cut,
        "score_type": str(score.type),
        "threshold_value": float(score.real(np.array([design.cut]))[0]),
        "ports": [
            {
                "name": port.name,
                "type": str(port.type(encoder.input)),
                "lsb": port.type(encoder.input).lsb,
                "center": port.center,
                "scale": port.scale,
            }
            for port in encoder.ports
        ],
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.weight.shape),
                "zero_weights": float((layer.weight == 0).mean()),
                "input": str(layer.input),
                "accumulator": str(layer.accumulator),
                "output": str(layer.output),
            }
            for layer in encoder.layers
        ],
        "sum": {"exact": str(encoder.sum), "kept": str(encoder.pool)},
    }


def _draw(directory: Path, proof: Proof, content: Mapping[str, Any]) -> None:
    floats = [c.stage for c in proof.comparisons if not c.stage.integers]
    chip = next(c.stage for c in proof.comparisons if c.stage.integers)
    names = {stage.implementation: stage.implementation.split(":")[0] for stage in floats}
    names[chip.implementation] = "integers: the chip"
    if content["stages"][0]["efficiency"]:
        save(figures.efficiencies(content, names), directory / "efficiencies.png")
    picture = figures.agreement(
        chip,
        floats[-1],
        proof.test.labels,
        proof.source.background,
        content["design"]["threshold_value"],
    )
    save(picture, directory / "agreement.png")
