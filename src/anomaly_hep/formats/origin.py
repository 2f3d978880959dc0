"""The origin of files: simulated by this package, published, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.ledger import file_sha256
from anomaly_hep.formats.published.marks import published_files
from anomaly_hep.types import FileDescription


def origin_of(files: Sequence[FileDescription], directory: Path) -> tuple[str, str | None]:
    """Return 'simulated', 'published' or 'user', and the generator of simulated files."""
    provenances = [file.provenance for file in files if file.provenance]
    if len(provenances) == len(files):
        return "simulated", str(provenances[0]["generator"])
    if provenances:
        raise ConfigError(f"{directory} mixes simulated files with others. Cure: keep them apart")
    # only files that `fetch` has verified, or with a known checksum, are called published
    verified = published_files(directory)
    published = all(file.path in verified or _is_known(file.path) for file in files)
    return ("published" if published else "user"), None


def _is_known(path: Path) -> bool:
    known = format_of(path).PUBLISHED
    return bool(known) and file_sha256(path) in known
