"""Checks of data files; every failure is a BadFileError."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from anomaly_hep.errors import BadFileError

CHECK_PATH = "check the path (data.dir), remove it, or leave it out (data.on_bad_file=skip)"
FETCH_AGAIN = "fetch or simulate the file again, or leave it out (data.on_bad_file=skip)"
FIX_EVENT = "leave such events out (on_bad_event=skip) or mend them where they were made"
FIX_VALUES = "leave the file out (data.on_bad_file=skip) or mend the entry where it was made"


# what the operating system refuses is no damage of the file: what happened, and the cure
_SYSTEM_CURES = {
    errno.EACCES: ("it may not be read", "check the permissions"),
    errno.EPERM: ("it may not be read", "check the permissions"),
    errno.EMFILE: ("too many files are open", "allow more: ulimit -n 4096"),
    errno.ENFILE: ("too many files are open on this machine", "close other programs"),
    errno.EAGAIN: (
        "another process has it open for writing",
        "wait for that process, or set HDF5_USE_FILE_LOCKING=FALSE in the environment",
    ),
    errno.EIO: ("the disk cannot read it", "copy it from another place"),
    errno.ESTALE: ("its network disk has lost it", "try again, or copy it to a local disk"),
}


def check_file(path: Path, magic: bytes = b"", what: str = "data") -> None:
    """Refuse a path without a file, an empty file, and one that does not begin with `magic`."""
    with refusing(path, "the path cannot be used", cure=CHECK_PATH):
        if not path.is_file():
            raise BadFileError(path, _instead_of_a_file(path), cure=CHECK_PATH)
    with refusing(path, "cannot be opened", cure="check the permissions"), path.open("rb") as file:
        head = file.read(max(len(magic), 1))
    if not head:
        raise BadFileError(path, "the file is empty (0 bytes)", cure=FETCH_AGAIN)
    if not head.startswith(magic):
        raise BadFileError(
            path,
            f"this is no {what} file: it begins with {head!r} instead of {magic!r}",
            cure=f"give a {what} file; a failed download is often a web page",
        )


def _instead_of_a_file(path: Path) -> str:
    """Return what is at a path where a file should be."""
    if path.is_dir():
        return "is a directory"
    if path.is_symlink():
        return f"it is a link to {path.readlink()}, where there is no file"
    return "it is no regular file" if path.exists() else "there is no such file"


@contextmanager
def refusing(path: Path, problem: str, *, cure: str, branch: str | None = None) -> Iterator[None]:
    """Turn any exception that a library raises on a damaged file into a BadFileError."""
    try:
        yield
    except (BadFileError, MemoryError):  # too little memory is not the file's fault
        raise
    except Exception as error:
        system = getattr(error, "errno", None)
        if system is None and "unable to lock file" in str(error):
            system = errno.EAGAIN
        if system in _SYSTEM_CURES:
            problem, cure = _SYSTEM_CURES[system]
            raise BadFileError(path, problem, branch=branch, cure=cure) from error
        # The libraries print pages of context; the first line says what happened.
        first_line = (str(error).strip().splitlines() or [""])[0].rstrip(" .:")
        raise BadFileError(
            path, f"{problem} ({type(error).__name__}: {first_line})", branch=branch, cure=cure
        ) from error


def missing_branch(path: Path, name: str, existing: Iterable[str]) -> BadFileError:
    """Return the error for a branch that the file lacks; it suggests the nearest existing name."""
    names = sorted(existing)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    has = f"nearest is '{near[0]}'" if near else f"it has {', '.join(names) or 'none'}"
    cure = f"use a file that has it, or name a branch of this file: {has}"
    return BadFileError(path, "the branch is missing", branch=name, cure=cure)


def check_range(path: Path, start: int, stop: int, entries: int) -> None:
    """Refuse a range of entries that is not inside the file."""
    if not 0 <= start <= stop <= entries:
        raise BadFileError(
            path,
            f"entries {start} to {stop} were asked for, the file has {entries}",
            entry=start if start > entries or start < 0 else stop,
            cure="ask for 0 <= start <= stop <= entries",
        )


def check_lengths(
    path: Path, lengths: Mapping[str, Int64[np.ndarray, " event"]], first_entry: int
) -> None:
    """Refuse particle branches with different numbers of particles in the same event."""
    names = list(lengths)
    for name in names[1:]:
        here, first = lengths[name], lengths[names[0]]
        if not np.array_equal(here, first):
            row = int(np.flatnonzero(here != first)[0])
            problem = f"{here[row]} particles here, {first[row]} in '{names[0]}'"
            entry = first_entry + row
            raise BadFileError(path, problem, branch=name, entry=entry, cure=FETCH_AGAIN)
