"""published.json: the files of a directory that come from a verified published archive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import DownloadError

MARK = "published.json"


def published_files(directory: Path) -> set[Path]:
    """Return the files in `directory` that come from a verified published archive."""
    return {directory / file for mark in marks(directory).values() for file in mark["files"]}


def marks(directory: Path) -> dict[str, Any]:
    """Return the record of each archive by name: {record, md5, date, files: {file: size}}."""
    path = directory / MARK
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["archives"])
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{path} is damaged ({error}). Cure: remove it and fetch again"
        ) from error


def write_marks(directory: Path, archives: Mapping[str, Any]) -> None:
    """Write the records of the archives of one or more publications."""
    # files of an earlier version have the publication's name at the top alone
    named = [mark["record"] for mark in archives.values() if "record" in mark]
    content = {"record": ", ".join(dict.fromkeys(named)), "archives": archives}
    write_text(directory / MARK, json.dumps(content, indent=2, sort_keys=True) + "\n")
