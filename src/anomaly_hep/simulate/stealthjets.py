"""Simulated jets of multijets, tops and stealth bosons: settings, tasks of each class's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.bounds import Count, NonNegative, Positive
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import rodem
from anomaly_hep.simulate import stealthjets_processes as processes
from anomaly_hep.simulate.counts import in_words
from anomaly_hep.simulate.simulator import (
    Config,
    DetectorSettings,
    Simulation,
    SimulationSettings,
    detector_task,
    floats,
    refuse_comparison,
)

TITLE = "stealth jets"
UNIT = "jets"
FORMAT = rodem
SUFFIX = ".h5"
PREFIXES = processes.PREFIXES
MAX_PER_FILE = 20_000  # of 1 kB each
NOTE = "Simulated jets in the layout of the RODEM jet data sets; not a published data set."


@dataclass(frozen=True)
class Selection:
    """`data.simulation.selection`: what the hardest jet of an event must be; GeV."""

    radius: Positive
    min_pt: Positive
    max_abs_eta: Positive
    max_constituents: Count


@dataclass(frozen=True)
class Veto:
    """`data.simulation.veto`: the early event veto; GeV."""

    scale: Positive
    cone: Positive
    min_pt: NonNegative
    margin: NonNegative


@dataclass(frozen=True)
class Spectrum:
    """`data.simulation.spectrum`: which jets of shaped multijets are kept; GeV."""

    power: NonNegative
    min_pt_hat: Positive
    max_pt_hat: Positive
    pt: Sequence[Positive]
    keep: Sequence[Positive]


@dataclass(frozen=True, kw_only=True)
class Settings(SimulationSettings):
    """`data.simulation`: conf/simulation/stealthjets.yaml."""

    jets_per_file: Count
    min_pt_hat: Positive
    spectrum: Spectrum
    veto: Veto | None
    detector: DetectorSettings
    selection: Selection


def prefix(config: Config, label: str) -> str:
    """Return the beginning of the names of a class's files."""
    del config
    return PREFIXES[label]


def task(config: Config, label: str) -> dict[str, Any]:
    """Return what defines the content of a class's files, besides their seed and size."""
    process, veto, selection = processes.PROCESSES[label], config["veto"], config["selection"]
    bound: tuple[str, ...] = ()
    if process.scattering and not process.shaped:
        bound = (f"PhaseSpace:pTHatMin = {float(config['min_pt_hat']):g}",)
    return {
        "process": [*process.settings, *bound],
        "spectrum": _spectrum(config["spectrum"]) if process.shaped else None,
        "veto": floats(veto) if process.vetoed and veto is not None else None,
        "detector": detector_task(config["detector"]),
        "selection": {**floats(selection), "max_constituents": int(selection["max_constituents"])},
    }


def _spectrum(config: Config) -> dict[str, Any]:
    pt, keep = ([float(value) for value in config[name]] for name in ("pt", "keep"))
    if len(pt) != len(keep) or sorted(set(pt)) != pt:
        raise ConfigError(
            f"data.simulation.spectrum: {len(keep)} probabilities at {len(pt)} pT. Cure: give one "
            "for each pT, and these in ascending order"
        )
    bias = ("power", "min_pt_hat", "max_pt_hat")
    return {**floats({name: config[name] for name in bias}), "pt": pt, "keep": keep}


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    from anomaly_hep.simulate import stealthjets_events

    return stealthjets_events.simulation(task)


def counted(counts: Mapping[str, int]) -> str:
    """Return the event and jet counts of a class in words."""
    return (
        f"{in_words(counts)}; jets: "
        f"{counts['jets_in_acceptance']:,} in acceptance, {counts['jets_selected']:,} selected, "
        f"{counts['probability_above_1']:,} of a probability above 1, {counts['jets_cut']:,} that "
        "lost their softest constituents"
    )


def check_published(published: Path | None) -> None:
    """Refuse any directory for comparison: there is no comparison with published jets."""
    refuse_comparison(published, UNIT)


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw masses, pT, multiplicities and substructure; return lines to print."""
    from anomaly_hep.simulate import stealthjets_figure

    check_published(published)
    return stealthjets_figure.report(directory, path)
