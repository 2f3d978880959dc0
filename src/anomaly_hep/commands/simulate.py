"""`simulate`: make the events of a data set; and what `train` does when it lacks them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.settings import SimulateSettings

IF_MISSING = ("simulate", "error")


def run(settings: SimulateSettings) -> None:
    """Simulate every file that is not there yet, and draw what the jets or events look like."""
    from anomaly_hep.simulate.kinds import kind_of
    from anomaly_hep.simulate.production import produce

    console = Console()
    data, directory = settings.data, Path(settings.data["dir"])
    validation = importlib.import_module(
        f"anomaly_hep.simulate.{kind_of(data['simulation']).validation}"
    )
    published = None if settings.compare is None else Path(settings.compare)
    validation.check_published(published)
    report = produce(
        data["simulation"],
        directory,
        workers=settings.workers,
        part=settings.part,
        parts=settings.parts,
    )
    console.print(report.summary())
    if settings.parts == 1:
        for line in validation.report(directory, directory / "physics.png", published):
            console.print(line, highlight=False, soft_wrap=True)


def ensure(data: Mapping[str, Any], console: Console) -> None:
    """Simulate the files of `data` that are missing, or refuse, as `data.if_missing` says.

    A directory that holds files of other origin is never added to.
    """
    if data["if_missing"] not in IF_MISSING:
        raise ConfigError(
            f"data.if_missing={data['if_missing']} does not exist. Cure: choose one of "
            f"{', '.join(IF_MISSING)}"
        )
    directory = Path(data["dir"])
    if _holds_foreign_files(data):
        return
    from anomaly_hep.simulate.kinds import kind_of
    from anomaly_hep.simulate.production import plan, produce

    kind = kind_of(data["simulation"])
    missing = [shard for shard in plan(data["simulation"], directory) if not shard.path.exists()]
    if missing and data["if_missing"] == "error":
        raise MissingDataError(
            f"{directory} lacks {len(missing)} files, {missing[0].path.name} first, and "
            "data.if_missing=error. Cure: give data.dir a directory with files, run "
            "`python -m anomaly_hep simulate` or `fetch`, or set data.if_missing=simulate"
        )
    if missing:
        entries = sum(shard.entries for shard in missing)
        console.print(
            f"[bold]{directory} lacks {len(missing)} files: SIMULATING {entries:,} {kind.unit} "
            f"with Pythia 8.[/bold] They are not the published {kind.title} and are called "
            "simulated."
        )
    report = produce(data["simulation"], directory)
    if missing:
        console.print(report.summary())


def _holds_foreign_files(data: Mapping[str, Any]) -> bool:
    """Return whether the first file of the data set that is there was made by something else."""
    for split in ("train", "val", "test"):
        for prefix in data["classes"].values():
            try:
                first = find_files(Path(data["dir"]), split, prefix)[0]
            except MissingDataError:
                continue
            return format_of(first).describe(first).provenance is None
    return False
