"""Simulated Dark-Machines-like events (arXiv:2105.14027): settings, tasks of each class's files.

A file has one class of one channel: the background, all its processes mixed, or one signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from anomaly_hep.bounds import Count, Natural, NonNegative, Positive, Share
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import darkmachines
from anomaly_hep.simulate import darkmachines_processes as processes
from anomaly_hep.simulate.counts import in_words
from anomaly_hep.simulate.simulator import (
    Config,
    Simulation,
    SimulationSettings,
    refuse_comparison,
)

TITLE = "Dark Machines challenge"
UNIT = "events"
FORMAT = darkmachines
SUFFIX = ".csv.gz"
PREFIXES = processes.PREFIXES
MAX_PER_FILE = 20_000  # of 1 kB each
NOTE = (
    "Simulated events in the layout of the Dark Machines challenge; not the published data set, "
    "and their weights are not its yields."
)


@dataclass(frozen=True)
class Detector:
    """`data.simulation.detector`."""

    hcal_min_significance: NonNegative
    smear_momenta: bool


@dataclass(frozen=True)
class Objects:
    """`data.simulation.objects`: bounds of objects, isolation and b-tags; GeV."""

    radius: Positive
    jet_pt: NonNegative
    jet_eta: Positive
    lepton_pt: NonNegative
    lepton_eta: Positive
    photon_pt: NonNegative
    photon_eta: Positive
    isolation_radius: NonNegative
    electron_isolation: Positive
    muon_isolation: Positive
    photon_isolation: Positive
    tag_radius: Positive
    hadron_pt: NonNegative
    b_tag: Share
    c_tag: Share
    light_tag: Share


@dataclass(frozen=True)
class Selection:
    """`data.simulation.selection.CHANNEL`; GeV."""

    min_ht: NonNegative = 0.0
    min_met: NonNegative = 0.0
    min_met_over_ht: NonNegative = 0.0
    min_jets: Natural = 0
    jet_pt: NonNegative = 0.0
    leading_pt: NonNegative = 0.0
    min_leptons: Natural = 0


@dataclass(frozen=True)
class Veto:
    """`data.simulation.veto.CHANNEL`: the early event veto; GeV."""

    scale: Positive
    min_ht: NonNegative = 0.0
    min_ht_mismeasured: NonNegative = 0.0
    min_met: NonNegative = 0.0
    min_jets: Natural = 0
    jet_pt: NonNegative = 0.0
    leading_pt: NonNegative = 0.0
    min_leptons: Natural = 0
    lepton_pt: NonNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class Settings(SimulationSettings):
    """`data.simulation`: conf/simulation/darkmachines.yaml."""

    channel: Literal["1", "2a", "2b", "3", "all"]
    sizes_by_channel: Mapping[str, Mapping[str, Mapping[str, Natural]]]
    events_per_file: Count
    luminosity: Positive
    mix: Mapping[str, Mapping[str, Positive]]
    selection: Mapping[str, Selection]
    veto: Mapping[str, Veto] | None
    objects: Objects
    detector: Detector


def prefix(config: Config, label: str) -> str:
    """Return the beginning of the names of a class's files; raises ConfigError if it has none."""
    channel = str(config["channel"])
    known = (processes.BACKGROUND, *processes.SIGNALS.get(channel, ()))
    if label not in known:
        raise ConfigError(
            f"Channel {channel} has no class '{label}'. Cure: choose among {', '.join(known)}"
        )
    return f"{PREFIXES[label]}_chan{channel}"


def task(config: Config, label: str) -> dict[str, Any]:
    """Return what defines the content of a class's files, besides their seed and size."""
    channel, detector, veto = str(config["channel"]), config["detector"], config["veto"]
    return {
        "channel": channel,
        "luminosity": float(config["luminosity"]),
        "parts": _parts(config, channel, label),
        "selection": asdict(Selection(**config["selection"][channel])),
        "veto": None if veto is None else asdict(Veto(**veto[channel])),
        "objects": {name: float(value) for name, value in config["objects"].items()},
        "detector": {
            "hcal_min_significance": float(detector["hcal_min_significance"]),
            "smear_momenta": bool(detector["smear_momenta"]),
        },
    }


def _parts(config: Config, channel: str, label: str) -> list[dict[str, Any]]:
    """Return the processes of a file, with their shares of its events."""
    if label != processes.BACKGROUND:
        return [_part(processes.SIGNALS[channel][label], 1.0)]
    shares, known = config["mix"][channel], processes.PARTS[channel]
    for name in shares:
        if name not in known:
            raise ConfigError(
                f"data.simulation.mix.{channel}.{name} does not exist. Cure: choose among "
                f"{', '.join(known)}"
            )
    total = sum(float(share) for share in shares.values())
    return [_part(known[name], float(share) / total) for name, share in shares.items()]


def _part(process: processes.Process, share: float) -> dict[str, Any]:
    return {
        "process": process.name,
        "share": share,
        "settings": list(process.settings),
        "slha": None if process.spectrum is None else process.spectrum.slha(),
        "branching": process.branching,
        "missing": process.missing,
    }


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    from anomaly_hep.simulate import darkmachines_events

    return darkmachines_events.simulation(task)


def counted(counts: Mapping[str, int]) -> str:
    """Return the event counts of a class in words."""
    return (
        f"{in_words(counts)}, {counts['events_selected']:,} "
        f"selected, {counts['events_cut']} of them with more objects than the files hold"
    )


def check_published(published: Path | None) -> None:
    """Refuse any directory for comparison: there is no comparison with published events."""
    refuse_comparison(published, UNIT)


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw masses, missing momentum and multiplicities; return lines to print."""
    from anomaly_hep.simulate import darkmachines_figure

    check_published(published)
    return [f"figure: {darkmachines_figure.physics_figure(directory, path)}"]
