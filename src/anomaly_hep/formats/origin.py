"""Where the events of files come from: simulated here, published, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.darkshowers import is_published
from anomaly_hep.formats.download import published_files
from anomaly_hep.types import FileDescription


def origin_of(files: Sequence[FileDescription], directory: Path) -> tuple[str, str | None]:
    """Return 'simulated', 'published' or 'user', and the generator of simulated files."""
    made = [file.provenance for file in files if file.provenance]
    if len(made) == len(files):
        return "simulated", str(made[0]["generator"])
    if made:
        raise ConfigError(f"{directory} mixes simulated files with others. Cure: keep them apart")
    # only what `fetch` has verified, or is known by its checksum, is called published
    verified = published_files(directory)
    published = all(file.path in verified or is_published(file.path) for file in files)
    return ("published" if published else "user"), None
