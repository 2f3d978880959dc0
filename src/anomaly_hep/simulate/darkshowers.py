"""Simulated dark showers (arXiv:2306.12955): settings, and the tasks of each class's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.bounds import Count, NonNegative, Positive, Share
from anomaly_hep.formats import darkshowers_raw
from anomaly_hep.simulate import darkshowers_processes as processes
from anomaly_hep.simulate.counts import in_words
from anomaly_hep.simulate.simulator import (
    Config,
    DetectorSettings,
    Simulation,
    SimulationSettings,
    detector_task,
    floats,
)

TITLE = "dark-shower images"
UNIT = "events"
FORMAT = darkshowers_raw
SUFFIX = ".h5"
PREFIXES = processes.PREFIXES
MAX_PER_FILE = 5_000  # of 30 kB each
NOTE = (
    "Simulated images in the layout of the dark-shower images of arXiv:2306.12955; not the "
    "published data set."
)


@dataclass(frozen=True)
class QCD:
    """`data.simulation.qcd`."""

    min_pt_hat: NonNegative


@dataclass(frozen=True)
class SUEP:
    """`data.simulation.suep`: masses and temperature in GeV."""

    temperature: Positive
    meson_mass: Positive
    photon_mass: Positive
    branching: Mapping[int, Share]


@dataclass(frozen=True)
class SVJ:
    """`data.simulation.svj`: masses and scales in GeV."""

    invisible_fraction: Share
    meson_mass: Positive
    confinement_scale: Positive
    colours: Count
    flavours: Count
    vector_fraction: Share
    zprime_width: Positive
    pseudoscalar: Mapping[int, Share]


@dataclass(frozen=True)
class Selection:
    """`data.simulation.selection`: the event selection; GeV."""

    min_ht: NonNegative
    radius: Positive
    min_pt: NonNegative
    max_abs_eta: Positive


@dataclass(frozen=True)
class Veto:
    """`data.simulation.veto`: the early event veto; GeV."""

    scale: Positive
    min_ht: NonNegative
    max_abs_eta: Positive


@dataclass(frozen=True)
class PileUp:
    """`data.simulation.pile_up`."""

    mean: NonNegative
    pool: Count
    settings: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Settings(SimulationSettings):
    """`data.simulation`: conf/simulation/darkshowers.yaml."""

    events_per_file: Count
    qcd: QCD
    suep: SUEP
    svj: SVJ
    selection: Selection
    veto: Veto | None
    pile_up: PileUp
    detector: DetectorSettings


def prefix(config: Config, label: str) -> str:
    """Return the beginning of the names of a class's files."""
    del config
    return PREFIXES[label]


def task(config: Config, label: str) -> dict[str, Any]:
    """Return what defines the content of a class's files, besides their seed and size."""
    process, mass = processes.process_of(label)
    pile_up, veto = config["pile_up"], config["veto"]
    return {
        "label_number": processes.LABELS[process],
        "mass": mass,
        "process": processes.settings(label, config),
        "dark": _dark(config["suep"]) if process == processes.SUEP else None,
        "detector": detector_task(config["detector"]),
        "selection": floats(config["selection"]),
        # the HT of dark quarks is not known before they have decayed
        "veto": None if veto is None or process == processes.SVJ else floats(veto),
        "pile_up": None if not pile_up["mean"] else {
            "mean": float(pile_up["mean"]),
            "pool": int(pile_up["pool"]),
            "settings": [*pile_up["settings"], *config["settings"]],
            "seed": 1 + int(config["seed"]),
        },
    }  # fmt: skip


def _dark(suep: Config) -> dict[str, Any]:
    branching = {str(pid): float(share) for pid, share in suep["branching"].items()}
    return {**floats({n: v for n, v in suep.items() if n != "branching"}), "branching": branching}


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    from anomaly_hep.simulate import darkshowers_events

    return darkshowers_events.simulation(task)


def counted(counts: Mapping[str, int]) -> str:
    """Return the event counts of a class in words."""
    return f"{in_words(counts)}, {counts['events_selected']:,} selected"


def check_published(published: Path | None) -> None:
    """Refuse a directory for comparison that has no published images of QCD."""
    from anomaly_hep.simulate import darkshowers_validation

    darkshowers_validation.check_published(published)


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw distributions of the images, with published ones if given; return lines to print."""
    from anomaly_hep.simulate import darkshowers_validation

    return darkshowers_validation.report(directory, path, published)
