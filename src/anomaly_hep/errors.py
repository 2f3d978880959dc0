"""Every error the package raises on purpose: each says what is wrong, where, and the cure."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path


class AnomalyHepError(Exception):
    """Base of all errors raised on purpose."""


# what to do about failures of a path, a disk or a limit, which are no defects of the program
_CURES = {
    errno.EACCES: "give a path that you may use, or change its permissions",
    errno.EPERM: "give a path that you may use, or change its permissions",
    errno.EROFS: "give a place that can be written",
    errno.ENOSPC: "free space there, and give the same command again",
    errno.EDQUOT: "free space there, and give the same command again",
    errno.EFBIG: "allow larger files (ulimit -f unlimited), and give the same command again",
    errno.EMFILE: "allow more open files (ulimit -n 4096), and give the same command again",
    errno.ENFILE: "close other programs, and give the same command again",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "check the path; if it was removed in mid-run, give another or start anew",
    errno.EIO: "look at the disk, and give the same command again",
    errno.ESTALE: "look at the disk, and give the same command again",
}
_OTHER_CURE = "give another path, or see what is there"


def of_the_machine(error: BaseException) -> str | None:
    """Return one line on a failure of a path, a disk or a limit; None for any other error.

    Libraries may have raised an error of their own while they handled it.
    """
    seen: BaseException | None = error
    while seen is not None and not (isinstance(seen, OSError) and seen.errno):
        seen = seen.__cause__ or seen.__context__
    if not isinstance(seen, OSError):
        return None
    if seen is not error and seen.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE):
        return None
    name = re.sub(r"\.([^/]+)\.\d+\.part$", r"\1", str(seen.filename or ""))
    where = f"{name}: " if name else ""
    cure = _CURES.get(seen.errno or 0, _OTHER_CURE)
    return f"{type(seen).__name__}: {where}{os.strerror(seen.errno or 0)}. Cure: {cure}"


def in_one_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message, to quote in our messages."""
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]


class ConfigError(AnomalyHepError):
    """A choice that does not exist, or two that contradict each other."""


class BadFileError(AnomalyHepError):
    """A data file that cannot be trusted: says the file, the branch, the entry and the cure."""

    def __init__(
        self,
        path: Path | str,
        problem: str,
        *,
        cure: str,
        branch: str | None = None,
        entry: int | None = None,
    ) -> None:
        self.path, self.problem, self.cure = Path(path), problem, cure
        self.branch, self.entry = branch, entry
        where = str(path)
        if branch is not None:
            where += f", branch '{branch}'"
        if entry is not None:
            where += f", entry {entry}"
        super().__init__(f"{where}: {problem}. Cure: {cure}")

    def at(self, path: Path, entry: int) -> BadFileError:
        """Return the same error on an entry of a file, for one that was found in part of it."""
        return BadFileError(path, self.problem, cure=self.cure, branch=self.branch, entry=entry)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes pickle errors; Exception alone forgets keyword arguments.
        return (_rebuild_bad_file, (self.path, self.problem, self.cure, self.branch, self.entry))


def _rebuild_bad_file(
    path: Path, problem: str, cure: str, branch: str | None, entry: int | None
) -> BadFileError:
    return BadFileError(path, problem, cure=cure, branch=branch, entry=entry)


class TooManyBadFilesError(AnomalyHepError):
    """More of the data was refused than `data.max_bad_fraction` allows."""


class MissingDataError(AnomalyHepError):
    """Files that a run needs are missing, and the configuration forbids making them."""


class SimulationError(AnomalyHepError):
    """The generator refused a setting, or a production could not be finished."""


class DownloadError(AnomalyHepError):
    """A download that could not be started, finished or verified."""


class NonFiniteError(AnomalyHepError):
    """A loss or a score that is NaN or infinite: says the step and the batch."""


class RunDirectoryError(AnomalyHepError):
    """A run directory that belongs to another run, or that another process is using."""


class CheckpointError(AnomalyHepError):
    """A checkpoint that is missing, unreadable, or of another model."""


class ScoreTableError(AnomalyHepError):
    """A table of scores that cannot be evaluated: a column is missing, or a class is empty."""


class SculptingError(AnomalyHepError):
    """A background whose masses cannot show what a cut does to them: too few, or all equal."""


class SearchError(AnomalyHepError):
    """A spectrum that cannot be searched: too few events, or no smooth shape that describes it."""


class ExportError(AnomalyHepError):
    """A model that cannot become firmware, or firmware that computes something else than it."""


class MissingToolError(AnomalyHepError):
    """A program or package that a command needs and this machine lacks."""
