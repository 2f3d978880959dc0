"""`simulate`: make the events of a data set, also for a `train` that lacks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from anomaly_hep.data.samples import samples_of
from anomaly_hep.errors import ConfigError, MissingDataError, SimulationError
from anomaly_hep.formats.files import find_files, formats
from anomaly_hep.settings import DataSettings, SimulateSettings


def run(settings: SimulateSettings) -> None:
    """Simulate every missing file, and plot what the jets or events look like."""
    from anomaly_hep.simulate.production import produce
    from anomaly_hep.simulate.simulator import simulator_of

    console = Console(markup=False)
    data, directory = settings.data, Path(settings.data.dir)
    if not data.simulation:
        raise ConfigError(
            f"data={data.name} cannot be simulated. Cure: choose a data set whose yaml has "
            "`simulation`, see `python -m anomaly_hep list data`"
        )
    simulator = simulator_of(data.simulation)
    published = None if settings.compare is None else Path(settings.compare)
    simulator.check_published(published)
    report = produce(
        data.simulation,
        directory,
        workers=settings.workers,
        part=settings.part,
        parts=settings.parts,
    )
    console.print(report.summary())
    if settings.parts == 1:
        for line in simulator.report(directory, directory / "physics.png", published):
            console.print(line, highlight=False, soft_wrap=True)


def ensure(data: DataSettings, console: Console) -> None:
    """Simulate the files that `data` lacks, or refuse, as `data.if_missing` says.

    Existing files are used. Only a directory that our simulation began is continued: up to its own
    plan, and with the classes that this plan lacks.
    """
    directory, requested = Path(data.dir), data.simulation
    from anomaly_hep.simulate import plan
    from anomaly_hep.simulate.production import produce
    from anomaly_hep.simulate.simulator import simulator_of

    planned = plan.read_plan(directory)
    if planned is None:
        if _has_files(data):
            return
        if requested is None:
            raise MissingDataError(
                f"there are no files of data={data.name} in {directory}, and they cannot be "
                "simulated. Cure: give data.dir a directory with files"
            )
        if other := _other_file(data):
            raise MissingDataError(
                f"{directory} holds {other.name} and no file of data.samples, and nothing is "
                "simulated beside other files. Cure: another data.dir, or data.samples that name "
                "its files"
            )
        wanted = {**requested, "sizes": _needed(requested, data)}
    else:
        if requested and (different := plan.other_values(requested, planned)):
            raise SimulationError(
                f"{directory} was simulated with other values of {', '.join(different)} than "
                "data.simulation has. Cure: give its values, another data.dir, or ~data.simulation "
                "to use its files as they are"
            )
        needed = _needed(requested, data) if requested else {}
        wanted = {**planned, "sizes": plan.added(planned["sizes"], needed)}
    missing = [shard for shard in plan.shards(wanted, directory) if not shard.path.exists()]
    if not missing:
        return
    if data.if_missing == "error":
        raise MissingDataError(
            f"{directory} lacks {len(missing)} files, {missing[0].path.name} first, and "
            "data.if_missing=error. Cure: give data.dir a directory with files, run "
            "`python -m anomaly_hep simulate` or `fetch`, or set data.if_missing=simulate"
        )
    simulator = simulator_of(wanted)
    entries = sum(shard.entries for shard in missing)
    console.print(
        f"{directory} lacks {len(missing)} files: SIMULATING {entries:,} {simulator.UNIT} with "
        f"Pythia 8. They are not the published {simulator.TITLE} and are called simulated.",
        style="bold",
    )
    console.print(produce(wanted, directory).summary())


def _needed(simulation: Mapping[str, Any], data: DataSettings) -> dict[str, Any]:
    """Return the sizes to simulate, without test events if these lie elsewhere."""
    sizes = simulation["sizes"]
    return {split: size for split, size in sizes.items() if split != "test" or not data.test_dir}


def _has_files(data: DataSettings) -> bool:
    """Return whether there is any file of the data set."""
    directory, below = Path(data.dir), data.module.get("directories") or {}
    for split, samples in samples_of(data.module["samples"], None).items():
        places = [directory / folder for folder in below.get(split, ["."])]
        for sample in samples.values():
            try:
                return bool(find_files(places, sample.files))
            except MissingDataError:
                continue
    return False


def _other_file(data: DataSettings) -> Path | None:
    """Return a data file of another class that stands where those of the data set would be."""
    suffixes = {suffix for known in formats() for suffix in known.SUFFIXES}
    below = data.module.get("directories") or {}
    for folder in dict.fromkeys(f for folders in below.values() for f in folders):
        for path in sorted((Path(data.dir) / folder).glob("*")):
            if path.is_file() and path.suffix in suffixes and not path.name.startswith("."):
                return path
    return None
