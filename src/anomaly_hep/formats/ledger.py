"""The record of data files: how many events each gave, which were refused, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import BadFileError, TooManyBadFilesError
from anomaly_hep.types import FileDescription

PLAIN = (str, int, float, bool, type(None))

_sha256: dict[tuple[str, int, int], str] = {}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the file, read once per process unless its size or time changes."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _sha256:
        with path.open("rb") as file:
            _sha256[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _sha256[key]


class Ledger:
    """The record of a run's data files; the same files give the same JSON."""

    def __init__(self) -> None:
        self._accepted: dict[str, dict[str, Any]] = {}
        self._refused: dict[str, BadFileError] = {}
        self._left_out: dict[str, dict[str, Any]] = {}

    def accept(
        self, description: FileDescription, *, events: int, sha256: str | None = None
    ) -> None:
        """Record that `events` events of a file are used; `sha256` is computed if it is None.

        Calling it again for the same file adds the events.
        """
        path = description.path
        entry = self._accepted.setdefault(
            str(path),
            {
                "path": str(path),
                "format": description.format,
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path) if sha256 is None else sha256,
                "entries": description.entries,
                "events": 0,
                "provenance": _short(description.provenance),
            },
        )
        entry["events"] += events

    def leave_out(
        self, description: FileDescription, events: int, reasons: Mapping[str, int]
    ) -> None:
        """Record impossible events of a file that are left out, and how many violate what."""
        if events:
            self._left_out[str(description.path)] = {
                "path": str(description.path),
                "events": events,
                "of": description.entries,
                "reasons": dict(reasons),
            }

    def refuse(self, error: BadFileError) -> None:
        """Record that a file is left out, and why; only the first reason is kept."""
        self._refused.setdefault(str(error.path), error)

    def check(self, max_bad_fraction: float) -> None:
        """Raise TooManyBadFilesError if all files, or more than this fraction, are refused.

        The fraction holds for events that are left out, too.
        """
        self._check_events(max_bad_fraction)
        refused = len(self._refused)
        files = len(self._accepted.keys() | self._refused.keys())
        if not refused or (refused <= max_bad_fraction * files and self._accepted):
            return
        reasons = [str(self._refused[path]) for path in sorted(self._refused)]
        omitted = f"\n(and {refused - 5} more)" if refused > 5 else ""
        raise TooManyBadFilesError(
            f"{refused} of {files} files were refused, data.max_bad_fraction={max_bad_fraction:g}"
            f" allows {int(max_bad_fraction * files)}; mend or remove them:\n"
            + "\n".join(reasons[:5])
            + omitted
        )

    def _check_events(self, max_bad_fraction: float) -> None:
        lost = sum(entry["events"] for entry in self._left_out.values())
        total = sum(entry["entries"] for entry in self._accepted.values())
        if lost > max_bad_fraction * total:
            worst = max(self._left_out.values(), key=lambda entry: int(entry["events"]))
            reason = next(iter(worst["reasons"]))
            raise TooManyBadFilesError(
                f"{lost:,} of {total:,} events are impossible, data.max_bad_fraction="
                f"{max_bad_fraction:g} allows {int(max_bad_fraction * total):,}. The file with the "
                f"most is {worst['path']}: {reason}. Cure: mend it where it was made, or raise "
                "data.max_bad_fraction"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON types, sorted by path."""
        files = [self._accepted[path] for path in sorted(self._accepted)]
        return {
            "events": sum(entry["events"] for entry in files),
            "files": [dict(entry) for entry in files],
            "left_out": [self._left_out[path] for path in sorted(self._left_out)],
            "refused": [_reason(self._refused[path]) for path in sorted(self._refused)],
        }

    def write(self, path: Path) -> None:
        """Write the record to `path` atomically."""
        write_text(path, json.dumps(self.to_json(), indent=2, sort_keys=True) + "\n")


def _reason(error: BadFileError) -> dict[str, Any]:
    return {
        "path": str(error.path),
        "problem": error.problem,
        "branch": error.branch,
        "entry": error.entry,
        "cure": error.cure,
    }


def _short(provenance: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the plain values of the upper two levels; the data file has all settings."""
    if provenance is None:
        return None
    short: dict[str, Any] = {}
    for key, value in provenance.items():
        if isinstance(value, PLAIN):
            short[key] = value
        elif isinstance(value, Mapping):
            short[key] = {k: v for k, v in value.items() if isinstance(v, PLAIN)}
    return short
