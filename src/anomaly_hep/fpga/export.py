"""The input and the results of an export, and how it is created atomically.

An export is built in a hidden directory and renamed when complete, results included: a kill leaves
nothing under the final name, and the same command resumes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, Shaped

from anomaly_hep.atomic import replace_path
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.inputs import PinConversion
from anomaly_hep.fpga.integers import ChipEvents
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.source import Timed
from anomaly_hep.fpga.stimuli import Stimuli
from anomaly_hep.types import Events

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
            f"{name}/{output}": _narrowed(values)
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
                integers.setdefault(name, {})[output] = values.astype(np.int64)
        content = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        resources = [Resources(**row) for row in content["resources"]]
        return ExportResults(integers, resources, content["remarks"])


def _narrowed(values: Int64[np.ndarray, "event ..."]) -> Shaped[np.ndarray, "event ..."]:
    """Return integers in the shortest type that holds them all."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return values.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))


@dataclass(frozen=True, eq=False)
class Physical:
    """Events in physical units: particles, masses in GeV, and how they become integers.

    `mass` is the type of the mass's port; without one the masses are not looked at.
    """

    particles: Events
    masses: Float[np.ndarray, " event"]
    conversion: PinConversion
    mass: FixedPoint | None

    def __getitem__(self, events: slice) -> Physical:
        index = np.arange(len(self.particles))[events]
        return replace(self, particles=self.particles.take(index), masses=self.masses[events])

    def __len__(self) -> int:
        return len(self.particles)


@dataclass(frozen=True, eq=False)
class ProofEvents:
    """The events of a proof: stimuli, and the outputs expected for them.

    `physical` is what the stimuli's first events, those of data, are in physical units; None where
    that is not known or not wanted.
    """

    stimuli: Stimuli
    expected: Mapping[str, Int64[np.ndarray, "event ..."]]
    physical: Physical | None = None


@dataclass(frozen=True, eq=False)
class ExportJob:
    """The input of an export: the design, and events with the outputs expected for them.

    `alone` is whether no other export was requested.
    """

    design: Design
    proof: ProofEvents
    settings: DesignSettings
    directory: Path
    timed: Timed
    alone: bool

    @property
    def events(self) -> ChipEvents:
        """The events of data, as integers at the ports."""
        return self.proof.stimuli.data

    @property
    def expected(self) -> Mapping[str, Int64[np.ndarray, "event ..."]]:
        """The right outputs for all stimuli, of which the first are the events of data."""
        return self.proof.expected


Flow = Callable[[ExportJob], ExportResults]


def export(
    name: str,
    flow: Flow,
    design: Design,
    proof: ProofEvents,
    settings: DesignSettings,
    run_directory: Path,
    timed: Timed,
    *,
    alone: bool,
) -> ExportResults:
    """Return the results of one export, made now or by an earlier start.

    `alone` is whether no other export was requested.
    """
    final = run_directory / name
    if not final.exists():
        building = final.with_name(f".{name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        flow(ExportJob(design, proof, settings, building, timed, alone)).save(building)
        replace_path(building, str(building.resolve()), str(final.resolve()))
        building.rename(final)
    return ExportResults.load(final)
