"""Which files there are, and which format a file has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast, runtime_checkable

from anomaly_hep import plugins
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats.checks import check_file, refusing
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Layout
from anomaly_hep.types import Events, FileDescription

HEAD_BYTES = 1024


@runtime_checkable
class Format(Protocol):
    """What a module of a file format has: one of this room, or an experiment's own.

    FORMAT: its name. SIGN: in words, what it recognises its files by. EVENT_NOUN: what users call
    its events, in the plural. SUFFIXES: the usual ends of its files' names, which decide nothing.
    LAYOUT: the columns that `read` gives. PUBLISHED: SHA-256 of files that are known as published.
    """

    FORMAT: str
    SIGN: str
    EVENT_NOUN: str
    SUFFIXES: tuple[str, ...]
    LAYOUT: Layout
    PUBLISHED: frozenset[str]

    def recognises(self, path: Path, head: bytes) -> bool:
        """Return whether this is a file of the format; `head` are its first bytes, up to 1024.

        Raises BadFileError for a file of its kind that is damaged.
        """

    def describe(self, path: Path) -> FileDescription:
        """Return what the file says of itself."""

    def read(self, path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
        """Return entries `start` to `stop` (exclusive) with exactly the `columns`."""

    def write(
        self, path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None
    ) -> int:
        """Write all parts or nothing; return the number of entries."""


@cache
def formats() -> tuple[Format, ...]:
    """Return every format that there is: the modules of this room that recognise files."""
    names = sorted(plugins.modules("formats"))
    found = [plugins.load("formats", name) for name in names]
    return tuple(_complete(module) for module in found if hasattr(module, "recognises"))


def _complete(module: ModuleType) -> Format:
    needed = (*Format.__annotations__, "recognises", "describe", "read", "write")
    if lacking := [name for name in needed if not hasattr(module, name)]:
        raise ConfigError(
            f"{module.__name__} recognises files but has no {', '.join(lacking)}. Cure: give it "
            "what anomaly_hep.formats.files.Format lists"
        )
    return cast(Format, module)


_recognised = Kept[Format](limit=10_000)


def format_of(path: Path) -> Format:
    """Return the format of a file, by its content: its name does not matter.

    Raises BadFileError for a missing, empty or damaged file, and for one that no format recognises
    or more than one.
    """
    check_file(path)
    with _recognised.use(path, make=lambda: _recognise(path)) as found:
        return found


def _recognise(path: Path) -> Format:
    with refusing(path, "cannot be read", cure="check the permissions"), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = [one for one in formats() if one.recognises(path, head)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(one.FORMAT for one in found)
        cure = "let one of the formats' modules recognise fewer files"
        raise BadFileError(path, f"it is taken for {names}", cure=cure)
    known = ", ".join(f"{one.FORMAT} ({one.SIGN})" for one in formats())
    problem = f"the format is unknown: the file begins with {head[:4]!r}"
    raise BadFileError(path, problem, cure=f"give one of {known}")


def find_files(places: Sequence[Path], patterns: Sequence[str]) -> list[Path]:
    """Return the files that match the patterns, in the one of the places that has some.

    They come in the order of the patterns, sorted by name within each; hidden files, which are
    half written, do not count. Raises MissingDataError where there are none, and ConfigError where
    two of the places have some.
    """
    found = {place: _matching(place, patterns) for place in places}
    full = [place for place in places if found[place]]
    names = ", ".join(patterns)
    if len(full) > 1:
        raise ConfigError(
            f"{names} is in both {full[0]} and {full[1]}. Cure: keep simulated and published data "
            "in separate directories (data.dir)"
        )
    if not full:
        raise MissingDataError(
            f"no file {names}; looked in {', '.join(map(str, places))}. Cure: set data.dir, fetch "
            "the published files, or let them be simulated (data.if_missing=simulate)"
        )
    return found[full[0]]


def _matching(place: Path, patterns: Sequence[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = (path for path in place.glob(pattern) if not path.name.startswith("."))
        found |= dict.fromkeys(sorted(path for path in paths if path.is_file()))
    return list(found)
