"""Print what was injected into a data file and what was said: `python -m tests.faults.table`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from anomaly_hep.errors import BadFileError
from tests.faults.injections import FAULTS


def main() -> None:
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
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
