"""Simulated LHC-Olympics-like events (arXiv:2101.08320): settings, tasks of each class's files.

A file has one class: multijets, one signal with its labels, or a black box, which is a mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.bounds import Count, NonNegative, Positive, Share
from anomaly_hep.errors import ConfigError
from anomaly_hep.simulate import lhco_files
from anomaly_hep.simulate import lhco_processes as processes
from anomaly_hep.simulate.simulator import (
    Config,
    DetectorSettings,
    Simulation,
    SimulationSettings,
    detector_task,
    floats,
)

TITLE = "LHC Olympics 2020"
UNIT = "events"
FORMAT = lhco_files
SUFFIX = lhco_files.SUFFIX
PREFIXES = processes.PREFIXES
MAX_PER_FILE = 20_000  # of 3 kB each
NOTE = "Simulated events in the layout of the LHC Olympics 2020; not the published data set."


@dataclass(frozen=True)
class Selection:
    """`data.simulation.selection`: the jet that an event must have; GeV."""

    radius: Positive
    min_pt: Positive
    max_abs_eta: Positive


@dataclass(frozen=True, kw_only=True)
class Settings(SimulationSettings):
    """`data.simulation`: conf/simulation/lhco.yaml."""

    events_per_file: Count
    min_pt_hat: NonNegative
    black_box_signal: Share
    detector: DetectorSettings
    selection: Selection


def prefix(config: Config, label: str) -> str:
    """Return the beginning of the names of a class's files."""
    del config
    return PREFIXES[label]


def task(config: Config, label: str) -> dict[str, Any]:
    """Return what defines the content of a class's files, besides their seed and size."""
    return {
        "parts": _parts(config, processes.CLASSES[label]),
        "truth": _truth(processes.CLASSES[label]),
        "detector": detector_task(config["detector"]),
        "selection": floats(config["selection"]),
    }


def _parts(config: Config, composition: processes.Composition) -> list[dict[str, Any]]:
    """Return the processes of a file, with their shares of its events."""
    signals = composition.signals
    share = 1.0 if signals else 0.0
    if signals and composition.black_box:
        share = float(config["black_box_signal"])
    multijets = (*processes.MULTIJETS, f"PhaseSpace:pTHatMin = {float(config['min_pt_hat']):g}")
    background = (1 - share, processes.BACKGROUND_TRUTH, multijets)
    whole = sum(signal.share for signal in signals)
    others = [(share * each.share / whole, each.truth, each.settings) for each in signals]
    return [
        {"truth": truth, "share": part, "settings": list(settings)}
        for part, truth, settings in (background, *others)
        if part > 0
    ]


def _truth(composition: processes.Composition) -> str:
    """Return where the truth of a class's files stands."""
    if not composition.black_box:
        return lhco_files.IN_FILE
    return lhco_files.IN_MASTERKEY if composition.signals else lhco_files.NOWHERE


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    from anomaly_hep.simulate import lhco_events

    return lhco_events.simulation(task)


def counted(counts: Mapping[str, int]) -> str:
    """Return the event counts of a class in words."""
    return (
        f"events: {counts['events_generated']:,} generated, {counts['events_skipped']} skipped by "
        f"Pythia, {counts['events_selected']:,} selected"
    )


def check_published(published: Path | None) -> None:
    """Refuse a directory for comparison that has no published file with labels."""
    if published is not None and not lhco_files.published_in(published):
        raise ConfigError(
            f"compare={published} has no file {lhco_files.PUBLISHED_PATTERN}. Cure: give the "
            "directory of the published events with labels, or leave compare out"
        )


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw masses, substructure and multiplicities; return lines to print."""
    from anomaly_hep.simulate import lhco_figure

    check_published(published)
    return lhco_figure.report(directory, path, published)
