"""The input and the results of an export, and how it is created atomically.

An export is built in a hidden directory and renamed when complete, results included: a kill leaves
nothing under the final name, and the same command resumes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from anomaly_hep.atomic import replace_path
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.integers import ChipEvents
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.source import Timed
from anomaly_hep.fpga.stages import integer_stage

Arrays = dict[str, Int64[np.ndarray, "event ..."]]


@dataclass
class ExportResults:
    """The results of an export: integers by implementation and output, resources, and remarks."""

    integers: dict[str, Arrays] = field(default_factory=dict)
    resources: list[Resources] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Write the results into an export's directory."""
        arrays = {
            f"{name}/{output}": values
            for name, outputs in self.integers.items()
            for output, values in outputs.items()
        }
        np.savez_compressed(directory / "results.npz", allow_pickle=False, **arrays)
        content = {"resources": [asdict(row) for row in self.resources], "remarks": self.remarks}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (directory / "results.json").write_text(text, encoding="utf-8")

    @staticmethod
    def load(directory: Path) -> ExportResults:
        """Return the results of a complete export."""
        integers: dict[str, Arrays] = {}
        with np.load(directory / "results.npz", allow_pickle=False) as arrays:
            for key, values in arrays.items():
                name, _, output = key.rpartition("/")
                integers.setdefault(name, {})[output] = values
        content = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        resources = [Resources(**row) for row in content["resources"]]
        return ExportResults(integers, resources, content["remarks"])


@dataclass(frozen=True, eq=False)
class ExportJob:
    """The input of an export: the design, events as integers and the outputs expected for them."""

    design: Design
    events: ChipEvents
    expected: Mapping[str, Int64[np.ndarray, "event ..."]]
    settings: DesignSettings
    directory: Path
    timed: Timed


Flow = Callable[[ExportJob], ExportResults]


def export(
    name: str,
    flow: Flow,
    design: Design,
    events: ChipEvents,
    settings: DesignSettings,
    run_directory: Path,
    timed: Timed,
) -> ExportResults:
    """Return the results of one export, made now or by an earlier start."""
    final = run_directory / name
    if not final.exists():
        building = final.with_name(f".{name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        expected = integer_stage(design, events).integers
        flow(ExportJob(design, events, expected, settings, building, timed)).save(building)
        replace_path(building, str(building.resolve()), str(final.resolve()))
        building.rename(final)
    return ExportResults.load(final)
