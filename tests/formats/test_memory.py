"""A few bytes that declare much are refused before the memory is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.test_jetclass2 import toy_jets2

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, jetclass2, memory


def test_a_jet_of_forty_million_particles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    lists = pa.ListArray.from_arrays(
        pa.array([0, 40_000_000], pa.int32()), pa.array(np.zeros(40_000_000, np.float32))
    )
    pq.write_table(pa.table({"part_px": lists, "jet_pt": [500.0]}), path)
    assert path.stat().st_size < 20_000
    with pytest.raises(BadFileError, match=r"bytes declare 320,000,00\d bytes of content"):
        files.read(path, 0, 1, ["part_px"])


def test_more_than_the_machine_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    jetclass2.write(path, [toy_jets2(50)])
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000)
    with pytest.raises(BadFileError, match="would fill 1,000 bytes of memory"):
        files.read(path, 0, 50, ["part_px"])


def test_a_constant_column_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    jets = toy_jets2(3000, mean_particles=30)
    jets.particles["part_d0val"][:] = 0
    jetclass2.write(path, [jets])
    assert len(files.read(path, 0, 3000, ["part_d0val"])) == 3000


def test_the_available_memory_is_that_of_the_system() -> None:
    found = memory.available_bytes()
    assert found is None or 2**20 < found < 2**45
