"""The interface of modules that simulate a data set, and the look-up of a configured one.

Nothing heavy is imported here or by such modules: only the workers load Pythia and FastJet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from anomaly_hep import plugins
from anomaly_hep.bounds import Count, Natural, NonNegative
from anomaly_hep.errors import ConfigError
from anomaly_hep.types import Events, FileDescription

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """The keys of `data.simulation` that all simulators have: conf/simulation."""

    simulator: str
    seed: Natural
    sizes: Mapping[str, Mapping[str, Natural]]
    settings: Sequence[str]
    per_class: Mapping[str, Sequence[str]]
    batch: Count


@dataclass(frozen=True)
class DetectorSettings:
    """`data.simulation.detector`: what differs between Delphes' cards of CMS."""

    hcal_min_significance: NonNegative
    smear_momenta: bool
    track_resolution: Literal["CMS", "CMS_PileUp"]


@dataclass
class PythiaTime:
    """CPU seconds inside Pythia, of a file that several generators make."""

    seconds: float = 0.0


@runtime_checkable
class Simulation(Protocol):
    """Makes the events of one file, in a worker; `generator.seconds` is its CPU time so far."""

    counts: Any
    generator: Any

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield `number` events in parts, from batches of at most `batch` generated ones."""


class FileKind(Protocol):
    """What writes and describes the files: a format's module, or one that adds files beside them.

    Files beside NAME.SUFFIX are called NAME.ANYTHING and are written first: a file is complete when
    it has its name.
    """

    def describe(self, path: Path) -> FileDescription:
        """Return the file's description, with its provenance."""

    def write(
        self, path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None
    ) -> int:
        """Write all parts, or no file at all; return the number of entries."""


@runtime_checkable
class Simulator(Protocol):
    """A module that simulates a data set, such as anomaly_hep.simulate.jetclass.

    TITLE: the data set that it imitates. UNIT: jets or events, for messages. FORMAT, SUFFIX: of its
    files. PREFIXES: its classes, and the beginnings of their files' names. MAX_PER_FILE: events
    that a worker may keep in memory. NOTE: a text in every file's provenance. Settings: the schema
    of its configuration.
    """

    TITLE: str
    UNIT: str
    FORMAT: FileKind
    SUFFIX: str
    PREFIXES: Mapping[str, str]
    MAX_PER_FILE: int
    NOTE: str
    Settings: type[SimulationSettings]

    def prefix(self, config: Config, label: str) -> str:
        """Return the beginning of the names of a class's files."""

    def task(self, config: Config, label: str) -> dict[str, Any]:
        """Return what defines the content of a class's files, besides their seed and size."""

    def simulation(self, task: Mapping[str, Any]) -> Simulation:
        """Return the simulation described by a task of a production; only workers call it."""

    def counted(self, counts: Mapping[str, int]) -> str:
        """Return the event counts of a class in words."""

    def check_published(self, published: Path | None) -> None:
        """Refuse a directory of published files that does not allow a comparison."""

    def report(self, directory: Path, path: Path, published: Path | None) -> list[str]:
        """Draw the physics of a production into `path`; return lines to print."""


def simulator_of(config: Config) -> Simulator:
    """Return the module named by `simulator` in a configuration; raises ConfigError."""
    return load_simulator(str(config["simulator"]))


def load_simulator(path: str) -> Simulator:
    """Return the module at a dotted path in this package or in an experiment's own."""
    module = plugins.imported(path, "simulate")
    if not hasattr(module, "simulation"):
        raise ConfigError(
            f"data.simulation.simulator={path} simulates nothing. Cure: name a module of "
            "anomaly_hep.simulate that simulates a data set, as conf/simulation does"
        )
    return cast(Simulator, module)


def detector_task(detector: Config) -> dict[str, Any]:
    """Return the part of a task that says what the detector is."""
    return {
        "hcal_min_significance": float(detector["hcal_min_significance"]),
        "smear_momenta": bool(detector["smear_momenta"]),
        "track_resolution": str(detector["track_resolution"]),
    }


def refuse_comparison(published: Path | None, unit: str) -> None:
    """Refuse a directory of published files, where there is no comparison with them."""
    if published is not None:
        raise ConfigError(
            f"compare={published}: these {unit} are not compared with published files. "
            "Cure: leave compare out"
        )


def floats(section: Config) -> dict[str, float]:
    """Return a section of the configuration with all values as floats."""
    return {name: float(value) for name, value in section.items()}
