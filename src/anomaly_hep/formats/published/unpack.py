"""Unpack the data files of an archive, once its list of members is seen to be harmless."""

from __future__ import annotations

import errno
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from anomaly_hep.errors import DownloadError, in_one_line

_SUFFIXES = (".root", ".csv")  # of published data; what else an archive holds is left out
# ROOT files are compressed already, and texts shrink to a quarter: what grows more is a bomb
_LARGEST_GROWTH = 10
_MOST_MEMBERS = 100_000


def unpack(archive: Path, target: Path, taken: Mapping[str, str]) -> list[Path]:
    """Move the data files from any folder of the archive to `target`.

    `taken` holds the archive of each file that is there already, by the file's name. Raises
    DownloadError before anything is written: for two files of one name, for links and folders with
    the name of a data file, and where the files are larger than the archive or the disk allows.
    """
    scratch = archive.with_suffix(".unpacked")
    try:
        with _explained(archive):
            with tarfile.open(archive) as tar:
                members = _data_files(archive, tar, taken)
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, members, filter="data")
            target.mkdir(parents=True, exist_ok=True)
            files = [scratch / member.name for member in members]
            return sorted(path.replace(target / path.name) for path in files)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _data_files(
    archive: Path, tar: tarfile.TarFile, taken: Mapping[str, str]
) -> list[tarfile.TarInfo]:
    """Return the archive's data files from its list of members; raises DownloadError."""
    allowed = _LARGEST_GROWTH * archive.stat().st_size
    free = shutil.disk_usage(archive.parent).free
    members: dict[str, tarfile.TarInfo] = {}
    total = 0
    for number, member in enumerate(tar):
        # the header comes before the content: a bomb is refused before it is read
        total += member.size
        if number >= _MOST_MEMBERS:
            raise _refused(archive, f"it has more than {_MOST_MEMBERS:,} members")
        if total > min(allowed, free):
            limit = "its own size" if total > allowed else "the free space on the disk"
            raise _refused(
                archive, f"its members have {total:,} bytes or more, too many for {limit}"
            )
        name = PurePosixPath(member.name).name
        if not name.endswith(_SUFFIXES):
            continue
        if not member.isreg():
            kind = "folder" if member.isdir() else "link" if _is_link(member) else "special file"
            raise _refused(archive, f"{member.name} is a {kind}, not a file")
        if other := members.get(name):
            raise _refused(archive, f"it holds two files {name} ({other.name} and {member.name})")
        if name in taken:
            raise _refused(archive, f"its file {name} is there already, from {taken[name]}")
        members[name] = member
    if not members:
        raise _refused(archive, f"it holds no file {' or '.join(_SUFFIXES)}")
    return list(members.values())


def _is_link(member: tarfile.TarInfo) -> bool:
    return member.issym() or member.islnk()


def _refused(archive: Path, problem: str) -> DownloadError:
    return DownloadError(
        f"{archive} is not unpacked: {problem}. Cure: report it to its publishers, and remove it"
    )


def cure_of_disk(error: OSError) -> str:
    """Return what to do about a disk that refuses a file."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space" if full else "give another directory (to=DIRECTORY)"


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    """Turn errors of tarfile and of the disk into a DownloadError."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DownloadError(
            f"{archive} cannot be unpacked ({in_one_line(error)}). Cure: remove it and fetch it "
            "again; if that does not help, report it to its publishers"
        ) from error
    except OSError as error:
        said = error.strerror or in_one_line(error)
        raise DownloadError(
            f"{archive} cannot be unpacked ({said}). Cure: {cure_of_disk(error)}, "
            "and run the same command again"
        ) from error
