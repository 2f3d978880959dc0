"""Failures of a path, a disk or a limit are one line with a cure; defects are none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anomaly_hep.errors import of_the_machine


def failure(number: int, path: str | None = "/data/x") -> OSError:
    """Return the error that the system raises."""
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "PermissionError: /data/x: Permission denied. Cure: give a path that you"),
        (errno.EROFS, "OSError: /data/x: Read-only file system. Cure: give a place"),
        (errno.ENOSPC, "OSError: /data/x: No space left on device. Cure: free space"),
        (errno.EDQUOT, "Cure: free space"),
        (errno.EMFILE, "Too many open files. Cure: allow more open files (ulimit -n"),
        (errno.ENAMETOOLONG, "File name too long. Cure: give a shorter name"),
        (errno.ENOENT, "FileNotFoundError: /data/x: No such file or directory. Cure: check"),
        (errno.ENOTDIR, "NotADirectoryError: /data/x: Not a directory. Cure: give another path"),
        (errno.ELOOP, "Cure: give another path"),
        (errno.ETXTBSY, "Cure: give another path"),
    ],
)
def test_a_failure_of_the_machine_is_one_line(number: int, said: str) -> None:
    line = of_the_machine(failure(number))
    assert line is not None
    assert said in line
    assert "\n" not in line


def test_a_file_is_called_by_its_own_name_not_by_that_of_its_half() -> None:
    line = of_the_machine(failure(errno.EACCES, "/data/.scores.parquet.123.part"))
    assert line is not None
    assert "/data/scores.parquet: Permission denied" in line


def test_a_full_disk_is_seen_behind_the_error_of_a_library() -> None:
    def write() -> None:
        try:
            raise failure(errno.ENOSPC, None)
        except OSError as error:
            raise RuntimeError("PytorchStreamWriter failed") from error

    with pytest.raises(RuntimeError) as caught:
        write()
    assert of_the_machine(caught.value) == (
        "OSError: No space left on device. Cure: free space there, and give the same command again"
    )


def test_a_defect_is_not_explained_away(tmp_path: Path) -> None:
    def look_up() -> None:
        try:
            (tmp_path / "nothing").read_text()
        except OSError:
            _ = {}["key"]

    assert of_the_machine(ValueError("x")) is None
    assert of_the_machine(OSError("without a number")) is None
    with pytest.raises(KeyError) as caught:
        look_up()
    assert of_the_machine(caught.value) is None
