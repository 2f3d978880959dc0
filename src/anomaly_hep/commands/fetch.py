"""`fetch`: download the published files of a data set."""

from __future__ import annotations

from pathlib import Path

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.published.download import archives_of, fetch
from anomaly_hep.settings import FetchSettings


def run(settings: FetchSettings) -> None:
    """Download, verify and unpack; a second call continues."""
    if settings.archives == []:
        raise ConfigError(
            "archives=[] names nothing to download. Cure: archives=null for all of them, or name "
            "some"
        )
    fetch(
        archives_of(settings.data.name, settings.data.download),
        Path(settings.to),
        archives=settings.archives,
        base_url=settings.base_url,
    )
