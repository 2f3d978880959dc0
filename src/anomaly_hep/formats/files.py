"""Find data files and recognise their formats."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from anomaly_hep import plugins
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats import hdf5
from anomaly_hep.formats.checks import check_file, refusing
from anomaly_hep.formats.judging import check
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Layout
from anomaly_hep.types import Events, FileDescription

HEAD_BYTES = 1024


@runtime_checkable
class Format(Protocol):
    """The interface of a file-format module, in this package or an experiment's own.

    FORMAT: its name. SIGN: how it recognises its files, in words. EVENT_NOUN: what users call its
    events, in the plural. SUFFIXES: the usual file-name suffixes, not used to recognise files.
    LAYOUT: the columns that `read` returns. PUBLISHED: SHA-256 of known published files.
    """

    FORMAT: str
    SIGN: str
    EVENT_NOUN: str
    SUFFIXES: tuple[str, ...]
    LAYOUT: Layout
    PUBLISHED: frozenset[str]

    def recognises(self, path: Path, head: bytes) -> bool:
        """Return whether the file has this format; `head` is its first 1024 bytes at most.

        Raises BadFileError for a damaged file of this format.
        """

    def describe(self, path: Path) -> FileDescription:
        """Return the file's description."""

    def read(self, path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
        """Return entries `start` to `stop` (exclusive) with exactly the `columns`.

        Whether the events are possible is judged elsewhere, by the bounds and rules of LAYOUT.
        """


class StoringFormat(Format, Protocol):
    """A format that can return columns as they are stored, of any name and any type."""

    def stored(self, path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
        """Return those of the columns that have one number or text per event, unchecked.

        Each is a numpy or pyarrow array, in the type of the file.
        """


@cache
def formats() -> tuple[Format, ...]:
    """Return all formats: the modules of this package and of plugins that recognise files."""
    names = sorted(plugins.modules("formats"))
    modules = [plugins.load("formats", name) for name in names]
    return tuple(_complete(module) for module in modules if hasattr(module, "recognises"))


def _complete(module: ModuleType) -> Format:
    needed = (*Format.__annotations__, "recognises", "describe", "read")
    if missing := [name for name in needed if not hasattr(module, name)]:
        raise ConfigError(
            f"{module.__name__} recognises files but has no {', '.join(missing)}. Cure: give it "
            "what anomaly_hep.formats.files.Format lists"
        )
    return cast(Format, module)


_recognised = Kept[Format](limit=10_000)


def format_of(path: Path) -> Format:
    """Return the format of a file, found from its content, not its name.

    Raises BadFileError for a missing, empty or damaged file, and unless exactly one format
    recognises it.
    """
    check_file(path)
    with _recognised.use(path, make=lambda: _recognise(path)) as file_format:
        return file_format


def _recognise(path: Path) -> Format:
    with refusing(path, "cannot be read", cure="check the permissions"), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    matches = [candidate for candidate in formats() if candidate.recognises(path, head)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = " and ".join(match.FORMAT for match in matches)
        cure = "let one of the formats' modules recognise fewer files"
        raise BadFileError(path, f"it is taken for {names}", cure=cure)
    known = ", ".join(f"{each.FORMAT} ({each.SIGN})" for each in formats())
    problem = f"the format is unknown: the file begins with {head[:4]!r}"
    if head.startswith(hdf5.MAGIC):
        problem = f"the format is unknown: HDF5 with the keys {hdf5.keys(path)}"
    raise BadFileError(path, problem, cure=f"give one of {known}")


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) of a file with exactly the `columns`.

    Raises BadFileError with column and entry for the first event that is impossible.
    """
    file_format = format_of(path)
    events = file_format.read(path, start, stop, columns)
    check(file_format.LAYOUT, path, events, np.arange(start, stop))
    return events


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return entries of those columns that have one number or text per event, as stored.

    Of a format that has no function for it, the event columns that it reads.
    """
    file_format = format_of(path)
    if hasattr(file_format, "stored"):
        return cast(StoringFormat, file_format).stored(path, start, stop, columns)
    known = [name for name in columns if name in file_format.LAYOUT.events]
    return dict(file_format.read(path, start, stop, known).events)


def find_files(places: Sequence[Path], patterns: Sequence[str]) -> list[Path]:
    """Return the files that match the patterns, from the only directory that has any.

    They are in the order of the patterns, sorted by name within each; hidden files are ignored,
    since they are half written. Raises MissingDataError if no directory has any, ConfigError if
    several have.
    """
    files = {place: _matching(place, patterns) for place in places}
    filled = [place for place in places if files[place]]
    names = ", ".join(patterns)
    if len(filled) > 1:
        raise ConfigError(
            f"{names} is in both {filled[0]} and {filled[1]}. Cure: keep simulated and published "
            "data in separate directories (data.dir)"
        )
    if not filled:
        looked = f"looked in {', '.join(map(str, places))}"
        raise MissingDataError(
            f"no file {names}{_nearest(places, patterns)}; {looked}. Cure: set data.dir, fetch the "
            "published files, or let them be simulated (data.if_missing=simulate)"
        )
    _refuse_twins(files[filled[0]])
    return files[filled[0]]


def _nearest(places: Sequence[Path], patterns: Sequence[str]) -> str:
    """Return a remark on a file with nearly the name of a pattern, such as in other capitals."""
    there = {path.name.lower(): path for place in places for path in place.glob("*")}
    for pattern in patterns:
        found = difflib.get_close_matches(pattern.lower(), there, n=1, cutoff=0.7)
        if found:
            return f" (but {there[found[0]]})"
    return ""


def _refuse_twins(paths: Sequence[Path]) -> None:
    """Raise ConfigError for two files whose names differ in the suffix of a format alone."""
    suffixes = {suffix for known in formats() for suffix in known.SUFFIXES}
    seen: dict[Path, Path] = {}
    for path in paths:
        if path.suffix not in suffixes:
            continue
        other = seen.setdefault(path.with_suffix(""), path)
        if other != path:
            raise ConfigError(
                f"{other} and {path} differ in their suffix alone, so both seem to hold the same "
                "events. Cure: remove one of them, or name it otherwise"
            )


def _matching(place: Path, patterns: Sequence[str]) -> list[Path]:
    ordered: dict[Path, None] = {}
    for pattern in patterns:
        # a link to nowhere and a directory stay in the list: opening them says what they are
        paths = (path for path in place.glob(pattern) if not path.name.startswith("."))
        ordered |= dict.fromkeys(sorted(paths))
    return list(ordered)
