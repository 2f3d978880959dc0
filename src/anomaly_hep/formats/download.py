"""The published JetClass archives: fetched, verified, unpacked, and marked as published."""

from __future__ import annotations

import fcntl
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pooch
import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import DownloadError
from anomaly_hep.formats.resume import ResumingDownloader, remote_size

MARK = "published.json"
WORK = ".fetching"
LOCK = "lock"


@dataclass(frozen=True)
class DataSet:
    """Where archives are published, and for each its MD5 and the directory its files belong in."""

    record: str
    base_url: str
    archives: dict[str, tuple[str, str]]


_TRAIN_MD5 = (
    "de4fd2dca2e68ab3c85d5cfd3bcc65c3",
    "9722a359c5ef697bea0fbf79bf50f003",
    "1e9f66cd1f915f9d10e90ae1d7761720",
    "47348fc8985319fa4806da87500482fa",
    "6b0ce16bd93b442a8d51914466990279",
    "416e347512e716de51d392bee327b8e9",
    "e9b9c1557b1b39bf0a16e4ab631ae451",
    "5bfc6cb285ccb7680cefa9ac82ad1a2e",
    "540c1a0d66dfad78d2b363c5740ccf86",
    "668f40b3275167ff7104c48317c0ae2a",
)
DATA_SETS = {
    "jetclass": DataSet(
        record="Zenodo 6619768",
        base_url="https://zenodo.org/records/6619768/files/",
        archives={
            **{
                f"JetClass_Pythia_train_100M_part{i}.tar": (md5, "train_100M")
                for i, md5 in enumerate(_TRAIN_MD5)
            },
            "JetClass_Pythia_val_5M.tar": ("7235ccb577ed85023ea3ab4d5e6160cf", "val_5M"),
            "JetClass_Pythia_test_20M.tar": ("64e5156d26d101adeb43b8388207d767", "test_20M"),
        },
    )
}


def fetch(
    name: str,
    directory: Path,
    *,
    base_url: str | None = None,
    archives: Sequence[str] | None = None,
) -> list[Path]:
    """Fetch the archives of a data set (all, or those named) and return the files they hold.

    What is complete is skipped, what was interrupted is continued. Archives are verified by their
    MD5, unpacked, and removed; published.json in `directory` then says which files are published.
    Raises DownloadError: unknown name, no space, no connection, wrong MD5, unsafe archive.
    """
    data_set = _data_set(name)
    wanted = list(data_set.archives) if archives is None else list(archives)
    for archive in wanted:
        if archive not in data_set.archives:
            known = ", ".join(data_set.archives)
            raise DownloadError(f"no archive '{archive}' in {name}: choose from {known}")
    url = (base_url or data_set.base_url).rstrip("/") + "/"
    with _working(directory, list(data_set.archives)), _progress() as progress:
        missing = [archive for archive in wanted if not _complete(directory, archive)]
        sizes = {archive: remote_size(url + archive) for archive in missing}
        _check_space(directory, sizes)
        for archive in missing:
            _fetch_one(data_set, archive, directory, url, progress)
        marks = _marks(directory)
        return sorted(directory / file for archive in wanted for file in marks[archive]["files"])


def published_files(directory: Path) -> set[Path]:
    """Return the files in `directory` that came out of a verified published archive."""
    return {directory / file for mark in _marks(directory).values() for file in mark["files"]}


def _data_set(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise DownloadError(f"nothing to fetch for '{name}': choose from {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def _marks(directory: Path) -> dict[str, Any]:
    path = directory / MARK
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["archives"])
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{path} is damaged ({error}). Cure: remove it and fetch again"
        ) from error


def _complete(directory: Path, archive: str) -> bool:
    files = _marks(directory).get(archive, {}).get("files", {})
    return bool(files) and all(
        (directory / file).is_file() and (directory / file).stat().st_size == size
        for file, size in files.items()
    )


def _check_space(directory: Path, sizes: dict[str, int]) -> None:
    """Refuse when the files and the largest archive, there until it is unpacked, do not fit."""
    if not sizes:
        return
    begun = sum(
        path.stat().st_size
        for archive in sizes
        for path in (directory / WORK / archive, directory / WORK / f"{archive}.part")
        if path.is_file()
    )
    needed = sum(sizes.values()) + max(sizes.values()) - begun
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DownloadError(
            f"{directory}: {needed / 1e9:.1f} GB are needed (archives and what they unpack to),"
            f" {free / 1e9:.1f} GB are free. Cure: free some space, choose another directory"
            " (to), or fetch fewer archives"
        )


def _fetch_one(
    data_set: DataSet, archive: str, directory: Path, url: str, progress: Progress
) -> None:
    md5, place = data_set.archives[archive]
    downloaded = _download(url, archive, md5, directory / WORK, progress)
    files = _unpack(downloaded, directory / place)
    marks = _marks(directory)
    marks[archive] = {
        "md5": md5,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {str(file.relative_to(directory)): file.stat().st_size for file in files},
    }
    content = {"record": data_set.record, "archives": marks}
    write_text(directory / MARK, json.dumps(content, indent=2, sort_keys=True) + "\n")
    downloaded.unlink()


def _download(url: str, archive: str, md5: str, work: Path, progress: Progress) -> Path:
    part = work / f"{archive}.part"
    source = pooch.create(path=work, base_url=url, registry={archive: f"md5:{md5}"})
    try:
        source.fetch(archive, downloader=ResumingDownloader(part, progress))
    except requests.RequestException as error:
        raise DownloadError(
            f"{url}{archive}: {error}. Cure: check the connection and run the same command again,"
            f" it continues from {part}"
        ) from error
    except OSError as error:
        raise DownloadError(f"{part}: {error}. Cure: free some space and run it again") from error
    except ValueError as error:  # pooch found another hash
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{url}{archive}: the MD5 is not {md5}, the file was removed. Cure: fetch it again"
        ) from error
    if part.exists():
        part.replace(work / archive)  # in place of the link that pooch was given
    return work / archive


def _unpack(archive: Path, target: Path) -> list[Path]:
    """Move the ROOT files of the archive to `target`, wherever the archive has them."""
    scratch = archive.with_suffix(".unpacked")
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        found = sorted(scratch.rglob("*.root"))
        if not found:
            raise DownloadError(f"{archive} holds no ROOT file. Cure: report it to its publishers")
        target.mkdir(parents=True, exist_ok=True)
        return [path.replace(target / path.name) for path in found]
    except (tarfile.TarError, OSError) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({error}). Cure: see to the space, or remove the archive"
            " and fetch it again"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _working(directory: Path, archives: Sequence[str]) -> Iterator[None]:
    """Hold the working directory alone, free of what a killed fetch left but cannot be used."""
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
