"""Find and run external programs, and quote their output when they fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anomaly_hep.errors import ExportError

_LINES = 5


def find(*names: str) -> str | None:
    """Return the path of the first of these programs that is installed.

    It is looked for on PATH, then beside Python, where packages of an environment that is not
    activated have their programs.
    """
    beside = str(Path(sys.executable).parent)
    places = (shutil.which(name, path=path) for path in (None, beside) for name in names)
    return next((place for place in places if place), None)


def run(
    command: Sequence[object],
    directory: Path,
    *,
    cure: str,
    log: Path | None = None,
    **options: Any,
) -> None:
    """Run a program in a directory; its output goes to `log`, if given.

    Raises ExportError with the program's last lines where it fails.
    """
    arguments = [str(part) for part in command]
    with log.open("wb+") if log else tempfile.TemporaryFile() as output:
        done = subprocess.run(
            arguments, cwd=directory, check=False, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
        output.seek(0)
        text = output.read().decode(errors="replace")
    if done.returncode:
        where = f"; all it printed is in {log}" if log else ""
        raise ExportError(
            f"{Path(arguments[0]).name} in {directory} ended with status {done.returncode}: "
            f"{last_lines(text)}{where}. Cure: {cure}"
        )


def last_lines(text: str) -> str:
    """Return the last meaningful lines of a program's output, in one line."""
    lines = [line.strip() for line in text.splitlines()]
    return " | ".join([line for line in lines if line.strip("^~")][-_LINES:])
