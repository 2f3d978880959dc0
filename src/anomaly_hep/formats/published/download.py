"""Fetch published archives, verify and unpack them, and mark their files as published."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pooch
import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from anomaly_hep.errors import ConfigError, DownloadError, in_one_line
from anomaly_hep.formats.published.marks import marks, write_marks
from anomaly_hep.formats.published.resume import ResumingDownloader, remote_size, said
from anomaly_hep.formats.published.unpack import cure_of_disk, unpack

WORK = ".fetching"
LOCK = "lock"
PLAIN = (".h5", ".hdf5", ".masterkey")  # files that are published without an archive around them


@dataclass(frozen=True)
class Archives:
    """Where archives are published; `files` gives each one's MD5 and directory for its files.

    An MD5 that is None is the one that `listing` says: the address of Zenodo's description of the
    record, or `record.json` beside the archives of a mirror.
    """

    record: str
    url: str
    files: Mapping[str, tuple[str | None, str]]
    listing: str | None = None


def archives_of(name: str, listed: Mapping[str, Any] | None) -> list[Archives]:
    """Return the archives of each record in `data.download` of a data set.

    Raises ConfigError for none.
    """
    if not listed:
        raise ConfigError(
            f"data={name} names no published archives. Cure: get the files by hand and "
            "give data.dir, or list archives in data.download"
        )
    return [
        Archives(
            one["record"],
            one["url"],
            {archive: (md5, place) for archive, (md5, place) in one["archives"].items()},
            one.get("listing"),
        )
        for one in listed.get("records", [listed])
    ]


def fetch(
    records: Sequence[Archives],
    directory: Path,
    *,
    base_url: str | None = None,
    archives: Sequence[str] | None = None,
) -> list[Path]:
    """Fetch the archives of a data set (all, or those named) and return the files they hold.

    Complete archives are skipped, interrupted downloads continued. Archives are verified by their
    MD5, unpacked and removed; published.json in `directory` records their files. A file that is no
    archive is stored as it is. Raises DownloadError: unknown name, no space, no connection, wrong
    MD5, unsafe archive.
    """
    known = [archive for record in records for archive in record.files]
    wanted = known if archives is None else list(archives)
    for archive in wanted:
        if archive not in known:
            raise DownloadError(
                f"no archive '{archive}' in {_names(records)}: choose from {', '.join(known)}"
            )
    with _working(directory, known), _progress() as progress:
        missing = [archive for archive in wanted if not _complete(directory, archive)]
        records = [_located(record, missing, base_url) for record in records]
        sources = {archive: record for record in records for archive in record.files}
        _check_space(directory, {a: remote_size(sources[a].url + a) for a in missing})
        for archive in missing:
            _fetch_one(sources[archive], archive, directory, progress)
        known_files = marks(directory)
        return sorted(directory / f for archive in wanted for f in known_files[archive]["files"])


def _names(records: Sequence[Archives]) -> str:
    return ", ".join(record.record for record in records)


def _located(record: Archives, missing: Sequence[str], base_url: str | None) -> Archives:
    """Return a record with the address to fetch from and the MD5s of its missing archives."""
    url = (base_url or record.url).rstrip("/") + "/"
    files = {archive: file for archive, file in record.files.items() if archive in missing}
    located = replace(record, url=url, files=files)
    if all(md5 is not None for md5, _ in files.values()):
        return located
    return replace(
        located,
        files=_with_checksums(located, f"{url}record.json" if base_url else str(record.listing)),
    )


def _with_checksums(published: Archives, listing: str) -> dict[str, tuple[str | None, str]]:
    """Return the files with the MD5 that the record's description lists for each."""
    try:
        answer = requests.get(listing, timeout=30)
        answer.raise_for_status()
        listed = {f["key"]: f["checksum"].removeprefix("md5:") for f in answer.json()["files"]}
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            f"{listing} does not say the checksums of {published.record} ({in_one_line(error)}). "
            "Cure: check the connection and run the same command again"
        ) from error
    for archive in published.files:
        if archive not in listed:
            raise DownloadError(
                f"{published.record} has no {archive}: it has {', '.join(listed)}. Cure: name "
                "these in data.download.archives"
            )
    return {a: (md5 or listed[a], place) for a, (md5, place) in published.files.items()}


def _complete(directory: Path, archive: str) -> bool:
    files = marks(directory).get(archive, {}).get("files", {})
    return bool(files) and all(
        (directory / file).is_file() and (directory / file).stat().st_size == size
        for file, size in files.items()
    )


def _check_space(directory: Path, sizes: dict[str, int]) -> None:
    """Raise DownloadError unless the files and the largest archive fit on the disk together."""
    if not sizes:
        return
    downloaded_bytes = sum(
        path.stat().st_size
        for archive in sizes
        for path in (directory / WORK / archive, directory / WORK / f"{archive}.part")
        if path.is_file()
    )
    needed = sum(sizes.values()) + max(sizes.values()) - downloaded_bytes
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DownloadError(
            f"{directory}: {needed / 1e9:.1f} GB are needed (archives and what they unpack to),"
            f" {free / 1e9:.1f} GB are free. Cure: free some space, choose another directory"
            " (to), or fetch fewer archives"
        )


def _fetch_one(published: Archives, archive: str, directory: Path, progress: Progress) -> None:
    md5, place = published.files[archive]
    downloaded = _download(published.url, archive, str(md5), directory / WORK, progress)
    mark = {
        "record": published.record,
        "md5": md5,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if archive.endswith(PLAIN):
        # marked first: a fetch killed in between finds the file downloaded
        target = directory / place / archive
        files = {str(target.relative_to(directory)): downloaded.stat().st_size}
        write_marks(directory, {**marks(directory), archive: {**mark, "files": files}})
        _placed(downloaded, target)
        return
    known = marks(directory)
    taken = {
        Path(file).name: other
        for other, mark in known.items()
        if other != archive
        for file in mark["files"]
        if Path(file).parent == Path(place)
    }
    unpacked = unpack(downloaded, directory / place, taken)
    sizes = {str(path.relative_to(directory)): path.stat().st_size for path in unpacked}
    write_marks(directory, {**known, archive: {**mark, "files": sizes}})
    downloaded.unlink()


def _placed(downloaded: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    downloaded.replace(target)


def _download(url: str, archive: str, md5: str, work: Path, progress: Progress) -> Path:
    part = work / f"{archive}.part"
    source = pooch.create(path=work, base_url=url, registry={archive: f"md5:{md5}"})
    try:
        source.fetch(archive, downloader=ResumingDownloader(part, progress))
    except requests.RequestException as error:
        raise DownloadError(
            f"{url}{archive}: {said(error)}. Cure: check the connection and run the same command "
            f"again, it continues from {part}"
        ) from error
    except OSError as error:
        raise DownloadError(
            f"{part}: {error.strerror or error}. Cure: {cure_of_disk(error)} and run it again"
        ) from error
    except ValueError as error:  # from pooch, for a wrong hash
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{url}{archive}: the MD5 is not {md5}, the file was removed. Cure: fetch it again"
        ) from error
    if part.exists():
        part.replace(work / archive)  # replaces the link that ResumingDownloader made
    return work / archive


@contextmanager
def _working(directory: Path, archives: Sequence[str]) -> Iterator[None]:
    """Lock the working directory, and remove unusable leftovers of a killed fetch from it."""
    work = directory / WORK
    work.mkdir(parents=True, exist_ok=True)
    with (work / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(
                f"another process is fetching into {directory}. Cure: wait for it"
            ) from error
        useful = {LOCK, *archives, *(f"{archive}.part" for archive in archives)}
        for leftover in work.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name not in useful:
                leftover.unlink()
        yield
        if {path.name for path in work.iterdir()} == {LOCK}:
            shutil.rmtree(work)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    )
