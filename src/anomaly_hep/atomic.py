"""Files that are whole under their name or not there at all, and directories that move."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    On any error, an exhausted disk included, the temporary file is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def replace_path(directory: Path, old: str, new: str) -> None:
    """Replace a path in the texts of a directory: some tools write it into their scripts.

    Files with a zero byte are no texts, and another length would damage them.
    """
    for path in directory.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if old.encode() in content and b"\0" not in content:
            path.write_bytes(content.replace(old.encode(), new.encode()))
