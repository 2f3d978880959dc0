"""A flipped bit in a file of a finished run is refused in one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_hep import checksums
from tests.faults.run_flips import READERS, count_flips, finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("flips"))


@pytest.mark.parametrize("name", READERS)
def test_a_flip_is_refused(run: Path, name: str) -> None:
    counts = count_flips(run, name, 40, seed=1)
    assert counts.other == counts.traceback == 0
    # a flip between the values of checksums.json, in its white space, changes nothing
    assert counts.refused == 40 or name == checksums.FILE


@pytest.mark.parametrize("name", [name for name in READERS if name != checksums.FILE])
def test_a_flip_in_a_run_without_checksums_never_ends_in_a_traceback(run: Path, name: str) -> None:
    known = (run / checksums.FILE).read_bytes()
    (run / checksums.FILE).unlink()
    try:
        counts = count_flips(run, name, 40, seed=2)
    finally:
        (run / checksums.FILE).write_bytes(known)
    assert counts.traceback == 0
    if name in ("scores.parquet", "checkpoints/best.ckpt", "checkpoints/fitted-knn.npz"):
        assert counts.other == 0  # these formats have checksums of their own
