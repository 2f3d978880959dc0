"""The data sets that can be simulated: their classes, file names, and what decides a file.

Nothing heavy is imported here: Pythia and FastJet live in the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import darkshowers_raw, jetclass
from anomaly_hep.simulate import darkprocesses
from anomaly_hep.simulate.processes import PROCESSES

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """One data set that can be simulated.

    `unit` is what its files hold ("jets"), `max_per_file` how many of them a worker may keep in
    memory. `task` returns what decides the content of a class's files besides their seed and size,
    `counted` says in words what a class's events became. `module` has `simulation(task)` and is
    imported by workers only; `validation` has `check_published` and
    `report`.
    """

    name: str
    title: str
    unit: str
    module: str
    validation: str
    format: ModuleType
    prefixes: Mapping[str, str]
    suffix: str
    max_per_file: int
    note: str
    task: Callable[[Config, str], dict[str, Any]]
    counted: Callable[[Mapping[str, int]], str]

    @property
    def labels(self) -> Sequence[str]:
        """The classes."""
        return tuple(self.prefixes)


def _jetclass_task(config: Config, label: str) -> dict[str, Any]:
    veto, detector = config["veto"], config["detector"]
    return {
        "process": list(PROCESSES[label].settings),
        "detector": {
            "hcal_min_significance": float(detector["hcal_min_significance"]),
            "smear_momenta": bool(detector["smear_momenta"]),
        },
        "selection": _floats(config["selection"]),
        "veto": None if veto is None else _floats(veto),
    }


def _jetclass_counted(counts: Mapping[str, int]) -> str:
    return (
        f"events: {counts['events_vetoed']:,} vetoed early, {counts['events_generated']:,} "
        f"generated, {counts['events_skipped']} skipped by Pythia; jets: "
        f"{counts['jets_in_acceptance']:,} in acceptance, {counts['jets_matched']:,} matched"
    )


def _darkshowers_task(config: Config, label: str) -> dict[str, Any]:
    process, mass = darkprocesses.kind_of(label)
    detector, pile_up, veto = config["detector"], config["pile_up"], config["veto"]
    return {
        "label_number": darkprocesses.LABELS[process],
        "mass": mass,
        "process": darkprocesses.settings(label, config),
        "dark": _dark(config["suep"]) if process == darkprocesses.SUEP else None,
        "detector": {
            "hcal_min_significance": float(detector["hcal_min_significance"]),
            "smear_momenta": bool(detector["smear_momenta"]),
            "track_resolution": str(detector["track_resolution"]),
        },
        "selection": _floats(config["selection"]),
        # what dark quarks become is not known before they have decayed
        "veto": None if veto is None or process == darkprocesses.SVJ else _floats(veto),
        "pile_up": None if not pile_up["mean"] else {
            "mean": float(pile_up["mean"]),
            "pool": int(pile_up["pool"]),
            "settings": [*pile_up["settings"], *config["settings"]],
            "seed": 1 + int(config["seed"]),
        },
    }  # fmt: skip


def _dark(suep: Config) -> dict[str, Any]:
    branching = {str(pid): float(share) for pid, share in suep["branching"].items()}
    return {**_floats({n: v for n, v in suep.items() if n != "branching"}), "branching": branching}


def _darkshowers_counted(counts: Mapping[str, int]) -> str:
    return (
        f"events: {counts['events_vetoed']:,} vetoed early, {counts['events_generated']:,} "
        f"generated, {counts['events_skipped']} skipped by Pythia, {counts['events_selected']:,} "
        "selected"
    )


def _floats(section: Config) -> dict[str, float]:
    return {name: float(value) for name, value in section.items()}


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="jetclass",
            title="JetClass",
            unit="jets",
            module="jetclass",
            validation="validation",
            format=jetclass,
            prefixes=jetclass.PREFIXES,
            suffix=".root",
            max_per_file=20_000,  # 2.5 kB each
            note="Simulated jets in the layout of JetClass; not the published JetClass data set.",
            task=_jetclass_task,
            counted=_jetclass_counted,
        ),
        Kind(
            name="darkshowers",
            title="dark-shower images",
            unit="events",
            module="darkshowers",
            validation="imagevalidation",
            format=darkshowers_raw,
            prefixes=darkprocesses.PREFIXES,
            suffix=".h5",
            max_per_file=5_000,  # 30 kB each
            note="Simulated images in the layout of the dark-shower images of arXiv:2306.12955; "
            "not the published data set.",
            task=_darkshowers_task,
            counted=_darkshowers_counted,
        ),
    )
}
DEFAULT = "jetclass"  # of configurations from before there was a choice


def kind_of(config: Config) -> Kind:
    """Return the data set that a configuration simulates; raises ConfigError for no known one."""
    name = config.get("kind", DEFAULT)
    if name not in KINDS:
        raise ConfigError(f"No kind '{name}' to simulate. Cure: choose among {', '.join(KINDS)}")
    return KINDS[name]
