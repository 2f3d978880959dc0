"""checksums.json: the SHA-256 of the files of a run and of its data: what changed is noticed.

A file's entry is dropped before the file is written anew and added afterwards. So a kill leaves no
entry that does not fit; a file without one is read as it is, as in runs without checksums.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError

FILE = "checksums.json"
# files that the run's own command makes anew from its checkpoints
_MADE_ANEW = ("ledger.json", "metrics.json", "speed.json", "scores.parquet", "reconstructions.npz",
              "checkpoints/fitted-*.npz", "fpga.json")  # fmt: skip
# files that only a training writes
_KEPT = ("config.yaml", "provenance.json", "metrics.csv", "checkpoints/best*.ckpt")
_CURES = {
    "config.yaml": "take it from a copy, or make the run again in another run_dir",
    "provenance.json": "take it from a copy, or remove it: then earlier starts are unknown",
    "metrics.csv": "take it from a copy, or remove it: then the losses so far are not drawn",
    "curve.csv": "remove it and give the command curve again",
    "threshold.json": "remove it and give the command rate again",
    FILE: "take it from a copy, or remove it: then the files of the run are read unchecked",
}


def cure(path: Path) -> str:
    """Return what to do about a damaged file of a run."""
    run, name = _place(path)
    if name.endswith(".ckpt"):
        return "take it from a copy, or train again in another run_dir"
    remove = "remove done.json beside it and " if (run / "done.json").exists() else ""
    anew = f"take it from a copy, or {remove}start the run's own command again, which makes it anew"
    return _CURES.get(name, anew)


def verify(path: Path) -> None:
    """Raise RunDirectoryError if a file of a run is not the one that was written there."""
    run, name = _place(path)
    expected = _read(run)[0].get(name)
    if expected is not None and path.is_file() and sha256(path) != expected:
        raise RunDirectoryError(
            f"{path} was changed or damaged since it was written: its SHA-256 is not the one in "
            f"{FILE}. Cure: {cure(path)}"
        )


def verify_kept(run: Path) -> None:
    """Verify the files that a start of the run's command reads and does not make anew."""
    for path in _existing(run, _KEPT):
        verify(path)


def note_all(run: Path) -> None:
    """Write the checksums of all files of a run that are read back."""
    note(run, [_place(path)[1] for path in _existing(run, (*_KEPT, *_MADE_ANEW))])


def data_files(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each data file that the training began with, by path."""
    return _read(run)[1]


def note_data_files(run: Path, digests: Mapping[str, str]) -> None:
    """Write the SHA-256 of each data file that the training begins with, by path."""
    _write(run, _read(run)[0], digests)


def note(run: Path, names: Iterable[str]) -> None:
    """Write the checksums of these files, as they are now."""
    files, data = _read(run)
    _write(run, files | {name: sha256(run / name) for name in names}, data)


def begin(run: Path) -> None:
    """Drop the checksums of all files that a start of the run's command may write."""
    _drop(run, [_place(path)[1] for path in _existing(run, (*_KEPT[1:], *_MADE_ANEW))])


@contextmanager
def rewriting(run: Path, *names: str) -> Iterator[None]:
    """Allow these files to be written inside, and note their checksums afterwards."""
    _drop(run, names)
    yield
    note(run, names)


def _drop(run: Path, names: Iterable[str]) -> None:
    files, data = _read(run)
    left = {name: digest for name, digest in files.items() if name not in set(names)}
    if left != files:
        _write(run, left, data)


def _place(path: Path) -> tuple[Path, str]:
    """Return the run directory of a file and its name there."""
    if path.parent.name == "checkpoints":
        return path.parent.parent, f"checkpoints/{path.name}"
    return path.parent, path.name


def _existing(run: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(run.glob(pattern)) if path.is_file()]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(files: Mapping[str, str], data: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([files, data], sort_keys=True).encode()).hexdigest()


def _read(run: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of the run's files by name, and of its data files by path."""
    path = run / FILE
    try:
        content = json.loads(path.read_bytes())
        files, data = dict(content["files"]), dict(content["data"])
        whole = content["digest"] == _digest(files, data)
    except FileNotFoundError:
        return {}, {}
    except OSError:
        raise
    except Exception:  # damaged bytes can raise any exception
        whole = False
    if not whole:
        raise RunDirectoryError(f"{path} is damaged. Cure: {_CURES[FILE]}")
    return files, data


def _write(run: Path, files: Mapping[str, str], data: Mapping[str, str]) -> None:
    content = {"files": dict(files), "data": dict(data), "digest": _digest(files, data)}
    write_text(run / FILE, json.dumps(content, indent=1, sort_keys=True) + "\n")
