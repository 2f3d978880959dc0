"""Simulated JetClass: names of the classes, settings, and the tasks of each class's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.bounds import Count, NonNegative, Positive
from anomaly_hep.formats import jetclass
from anomaly_hep.simulate import jetclass_processes as processes
from anomaly_hep.simulate.counts import in_words
from anomaly_hep.simulate.simulator import (
    Config,
    Simulation,
    SimulationSettings,
    floats,
    refuse_comparison,
)

TITLE = "JetClass"
UNIT = "jets"
FORMAT = jetclass
SUFFIX = ".root"
PREFIXES = processes.PREFIXES
MAX_PER_FILE = 20_000  # of 2.5 kB each
NOTE = "Simulated jets in the layout of JetClass; not the published JetClass data set."


@dataclass(frozen=True)
class Veto:
    """`data.simulation.veto`: the early event veto; GeV."""

    scale: Positive
    cone: Positive
    min_pt: NonNegative
    max_pt: Positive
    max_abs_eta: Positive
    spread: NonNegative


@dataclass(frozen=True)
class Detector:
    """`data.simulation.detector`."""

    hcal_min_significance: NonNegative
    smear_momenta: bool


@dataclass(frozen=True)
class Selection:
    """`data.simulation.selection`: the jet selection; GeV."""

    radius: Positive
    min_pt: NonNegative
    max_pt: Positive
    max_abs_eta: Positive


@dataclass(frozen=True, kw_only=True)
class Settings(SimulationSettings):
    """`data.simulation`: conf/simulation/jetclass.yaml."""

    jets_per_file: Count
    veto: Veto | None
    detector: Detector
    selection: Selection


def prefix(config: Config, label: str) -> str:
    """Return the beginning of the names of a class's files."""
    del config
    return PREFIXES[label]


def task(config: Config, label: str) -> dict[str, Any]:
    """Return what defines the content of a class's files, besides their seed and size."""
    veto, detector = config["veto"], config["detector"]
    return {
        "process": list(processes.PROCESSES[label].settings),
        "detector": {
            "hcal_min_significance": float(detector["hcal_min_significance"]),
            "smear_momenta": bool(detector["smear_momenta"]),
        },
        "selection": floats(config["selection"]),
        "veto": None if veto is None else floats(veto),
    }


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    from anomaly_hep.simulate import jetclass_events

    return jetclass_events.simulation(task)


def counted(counts: Mapping[str, int]) -> str:
    """Return the event and jet counts of a class in words."""
    return (
        f"{in_words(counts)}; jets: "
        f"{counts['jets_in_acceptance']:,} in acceptance, {counts['jets_matched']:,} matched"
    )


def check_published(published: Path | None) -> None:
    """Refuse any directory for comparison: there is no comparison with published jets."""
    refuse_comparison(published, UNIT)


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw the jets' masses, multiplicities and substructure; return lines to print."""
    from anomaly_hep.simulate.jetclass_validation import physics_figure

    check_published(published)
    return [f"figure: {physics_figure(directory, path)}"]
