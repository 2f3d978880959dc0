"""Which files there are, and which format a file has."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats import darkshowers, darkshowers_raw, jetclass, jetclass2
from anomaly_hep.formats.checks import check_file

PUBLISHED_SPLITS = {"train": "train_100M", "val": "val_5M", "test": "test_20M"}
FORMATS = {
    b"root": jetclass,
    b"PAR1": jetclass2,
    b"PK\x03\x04": darkshowers,
    b"\x89HDF": darkshowers_raw,
}


def format_of(path: Path) -> ModuleType:
    """Return the module that reads `path`, from the file's first bytes: its name does not matter.

    The module has describe, read and write. Raises BadFileError for a missing or empty file, for
    an unknown format, and for a ROOT file without the tree of JetClass.
    """
    check_file(path)
    with path.open("rb") as file:
        head = file.read(4)
    if head not in FORMATS:
        known = " or ".join(module.FORMAT for module in FORMATS.values())
        raise BadFileError(
            path, f"the format is unknown: the file begins with {head!r}", cure=f"give {known}"
        )
    module = FORMATS[head]
    module.describe(path)
    return module


def find_files(directory: Path, split: str, prefix: str) -> list[Path]:
    """Return the files `<prefix>_<numbers>.*` of a split (train, val or test), sorted.

    They are looked for in <directory>/<split> as simulated, and in <directory>/train_100M (val_5M,
    test_20M) or <directory>/Pythia/train_100M as published. Raises MissingDataError where there are
    none, and ConfigError where two of these places have some.
    """
    if split not in PUBLISHED_SPLITS:
        raise ConfigError(f"no split '{split}': choose from {', '.join(PUBLISHED_SPLITS)}")
    published = PUBLISHED_SPLITS[split]
    places = [directory / split, directory / published, directory / "Pythia" / published]
    found = {place: _numbered(place, prefix) for place in places}
    full = [place for place in places if found[place]]
    if len(full) > 1:
        raise ConfigError(
            f"{prefix} files are in both {full[0]} and {full[1]}: keep simulated and published data"
            " in separate directories (data.dir)"
        )
    if not full:
        looked = ", ".join(str(place) for place in places)
        raise MissingDataError(
            f"no files {prefix}_NNN.* for the split '{split}'; looked in {looked}. Cure: set"
            " data.dir, fetch the published files, or let them be simulated"
            " (data.if_missing=simulate)"
        )
    return found[full[0]]


def _numbered(place: Path, prefix: str) -> list[Path]:
    """Return the files of a class: its prefix and one number or more, `_8` or `_104_8`."""
    numbers = re.compile(re.escape(prefix) + r"(_\d+)+")
    paths = place.glob(f"{prefix}_*") if place.is_dir() else ()
    return sorted(p for p in paths if numbers.fullmatch(p.stem) and p.is_file())
