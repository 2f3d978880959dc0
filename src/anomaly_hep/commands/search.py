"""`search`: a bump hunt in the mass of a run's test events after a cut on the score."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from anomaly_hep.errors import ConfigError, RunDirectoryError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.names import ALLOWED, is_name
from anomaly_hep.search.figures import write_figures
from anomaly_hep.search.search import search
from anomaly_hep.search.tables import false_positive_table, injection_table, scan_table
from anomaly_hep.settings import SearchSettings


def run(settings: SearchSettings) -> None:
    """Search a finished run and write RUN/search/NAME."""
    files = RunFiles(Path(settings.run))
    if not files.finished:
        raise RunDirectoryError(
            f"{files.directory} holds no finished run. Cure: give run a directory with done.json, "
            "or run its train.py command to the end"
        )
    if settings.name is not None and not is_name(settings.name):
        raise ConfigError(f"name={settings.name} cannot be a directory. Cure: {ALLOWED}")
    begin = time.perf_counter()
    found = search(files, settings)
    seconds = time.perf_counter() - begin
    directory = files.directory / "search" / (settings.name or found.results.score)
    found.write(directory)
    write_figures(found, directory)
    console = Console(markup=False)
    console.print(scan_table(found.results))
    if found.results.cuts[0].injections:
        console.print(injection_table(found.results))
    console.print(false_positive_table(found.results))
    fits = sum(cut.fits for cut in found.results.cuts)
    console.print(f"{fits:,} fits in {seconds:.1f} s; written to {directory}", soft_wrap=True)
