"""Progress of a production: a bar on a terminal, otherwise a line every 15 seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts jets or events, and files; use as a context manager."""

    def __init__(self, entries: int, files: int, unit: str) -> None:
        self._entries, self._files, self._unit = entries, files, unit
        self._done = self._done_files = 0
        self._start = self._last = time.monotonic()
        self._console = Console(file=sys.stderr)
        self._bar = Bar(
            TextColumn(f"Simulating {unit}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{{task.fields[rate]:.0f}} {unit}/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(unit, total=entries, rate=0.0)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        cls: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refresh()
        if not self._console.is_terminal:
            self._line()
        self._bar.stop()

    def advance(self, entries: int) -> None:
        """Count `entries` more jets or events."""
        self._done += entries

    def file_done(self) -> None:
        """Count one more complete file."""
        self._done_files += 1

    def refresh(self) -> None:
        """Show the current state."""
        self._bar.update(self._task, completed=self._done, rate=self._rate())
        if not self._console.is_terminal and time.monotonic() > self._last + SECONDS_BETWEEN_LINES:
            self._line()

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._start, 1e-9)

    def _line(self) -> None:
        self._last = time.monotonic()
        self._console.print(
            f"Simulating: {self._done:,} of {self._entries:,} {self._unit}, {self._done_files} of "
            f"{self._files} files, {self._rate():.0f} {self._unit}/s",
            highlight=False,
        )
