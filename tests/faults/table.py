"""Print what was injected into a data file and what was said: `python -m tests.faults.table`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from anomaly_hep.errors import BadFileError
from tests.faults.flips import SOURCES, count_flips
from tests.faults.injections import FAULTS


def main(flips: int) -> None:
    table = Table("injected", "branch", "entry", "what was said", "cure", title="Damaged files")
    with tempfile.TemporaryDirectory() as directory:
        for i, fault in enumerate(FAULTS):
            path = Path(directory) / f"{i}{fault.suffix}"
            fault.inject(path)
            try:
                fault.read(path)
                said = BadFileError(path, "NOTHING: the file was read", cure="")
            except BadFileError as error:
                said = error
            entry = "" if said.entry is None else str(said.entry)
            table.add_row(fault.name, said.branch or "", entry, said.problem, said.cure)
        flipped = Table("file", "refused", "same values", "other values")
        flipped.title = f"{flips} flipped bits, one at a time"
        for name, source in SOURCES.items():
            flipped.add_row(name, *map(str, count_flips(source(Path(directory)), flips, seed=0)))
    console = Console(width=200)
    console.print(table)
    console.print(flipped)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
