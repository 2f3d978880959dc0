"""What an export is given and gives, and how it comes under its name.

An export is built in a directory beside its own and renamed when it is whole, results included: a
kill leaves nothing under the final name, and the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from anomaly_hep.atomic import replace_path
from anomaly_hep.fpga.design import Design, integer_stage, score_stage
from anomaly_hep.fpga.source import Timed
from anomaly_hep.fpga.verify import Stage

Arrays = dict[str, Int64[np.ndarray, "event ..."]]


@dataclass
class Results:
    """What an export gave: integers by implementation and output, resources, and remarks."""

    integers: dict[str, Arrays] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Write the results into an export's directory."""
        names = list(self.integers)
        arrays = {
            f"{number}/{output}": values
            for number, name in enumerate(names)
            for output, values in self.integers[name].items()
        }
        np.savez_compressed(directory / "results.npz", allow_pickle=False, **arrays)
        content = {
            "implementations": names,
            "resources": self.resources,
            "remarks": self.remarks,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (directory / "results.json").write_text(text, encoding="utf-8")

    @staticmethod
    def load(directory: Path) -> Results:
        """Return the results of an export that is whole."""
        content = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        integers: dict[str, Arrays] = {name: {} for name in content["implementations"]}
        with np.load(directory / "results.npz", allow_pickle=False) as arrays:
            for key in arrays.files:
                number, _, output = key.partition("/")
                integers[content["implementations"][int(number)]][output] = arrays[key]
        return Results(integers, content["resources"], content["remarks"])


@dataclass(frozen=True, eq=False)
class Job:
    """What an exporter is given: the design, integer inputs and what must come out for them."""

    design: Design
    inputs: Int64[np.ndarray, "event constituent port"]
    expected: Mapping[str, Int64[np.ndarray, "event ..."]]
    settings: Mapping[str, Any]
    directory: Path
    timed: Timed


def export(
    name: str,
    exporter: Callable[[Job], Results],
    design: Design,
    inputs: Int64[np.ndarray, "event constituent port"],
    settings: Mapping[str, Any],
    run_directory: Path,
    timed: Timed,
) -> Results:
    """Return the results of one export, made now or by a run before."""
    final = run_directory / name
    if not final.exists():
        building = final.with_name(f".{name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        expected = integer_stage(design, inputs).integers
        job = Job(design, inputs, expected, settings, building, timed)
        exporter(job).save(building)
        replace_path(building, str(building.resolve()), str(final.resolve()))
        building.rename(final)
    return Results.load(final)


def stages(results: Results, design: Design) -> list[Stage]:
    """Return the rows of the table for what an export's implementations gave."""
    found = []
    for name, outputs in results.integers.items():
        if "score" in outputs:
            stage = score_stage(name, design, outputs["score"], outputs)
        elif "latent" in outputs:
            stage = score_stage(name, design, design.score(outputs["latent"]), outputs)
        else:
            fires = outputs["decision"] == 1
            stage = Stage(name, fires.astype(np.float64), fires, outputs)
        if "decision" in outputs:
            # the chip's own decision, not one taken from its score
            stage = replace(stage, fires=outputs["decision"] == 1)
        found.append(stage)
    return found
