"""Atomic writing of files, and replacing paths in the files of a directory that moves."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anomaly_hep.errors import ConfigError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    On any error, including a full disk, the temporary file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            yield temporary
        except OSError as error:
            error.filename = error.filename or str(path)  # libraries forget which file it was
            raise
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Raise ConfigError if a file cannot be written, before the work that it is to hold."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        # as long as the name that is written first
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=path.name):
            pass
    except OSError as error:
        cure = "a shorter name" if error.errno == errno.ENAMETOOLONG else "another place"
        raise ConfigError(
            f"output={path} cannot be written ({error.strerror}). Cure: give {cure}"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def replace_path(directory: Path, old: str, new: str) -> None:
    """Replace a path in the text files of a directory: some tools write it into their scripts.

    Files with a zero byte are binary and stay as they are: another length would damage them.
    """
    for path in directory.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if old.encode() in content and b"\0" not in content:
            path.write_bytes(content.replace(old.encode(), new.encode()))
