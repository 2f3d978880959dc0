"""Tables in each format give back what was written, in the same types."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import uproot

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.tablefiles import WRITERS

LARGE = 2**63 - 5  # no float64 holds it
PARTS = [
    pa.table({
        "event_id": ["a:0", "a:1"],
        "run": pa.array([1, 2], pa.uint32()),
        "event": pa.array([LARGE, 7], pa.int64()),
        "good": pa.array([True, False]),
        "score": pa.array([0.5, None], pa.float64()),
    }),
    pa.table({
        "event_id": ["b:0"],
        "run": pa.array([2**32 - 1], pa.uint32()),
        "event": pa.array([9], pa.int64()),
        "good": pa.array([True]),
        "score": pa.array([2.5], pa.float64()),
    }),
]  # fmt: skip


def write(path: Path, parts: list[pa.Table]) -> list[str]:
    writer = WRITERS[path.suffix](path, parts[0].schema)
    for part in parts:
        writer.write(part)
    writer.close()
    return writer.remarks


def check(found: dict[str, np.ndarray]) -> None:
    assert found["run"].tolist() == [1, 2, 2**32 - 1]
    assert found["event"].tolist() == [LARGE, 7, 9]
    assert found["good"].tolist() == [True, False, True]
    np.testing.assert_array_equal(found["score"], [0.5, np.nan, 2.5])


def test_parquet_keeps_every_type(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    assert write(path, PARTS) == []
    assert pa.parquet.read_table(path).equals(pa.concat_tables(PARTS))


def test_csv_keeps_every_value(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    assert write(path, PARTS) == []
    table = pd.read_csv(path)
    assert table["event_id"].tolist() == ["a:0", "a:1", "b:0"]
    check({name: table[name].to_numpy() for name in table})


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_hdf5_keeps_every_type(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    assert write(path, PARTS) == []
    with h5py.File(path) as file:
        assert (file["event"].dtype, file["run"].dtype) == (np.int64, np.uint32)
        assert file["event_id"].asstr()[:].tolist() == ["a:0", "a:1", "b:0"]
        check({name: file[name][:] for name in file})


def test_root_holds_the_numbers_and_says_what_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "s.root"
    assert write(path, PARTS) == [
        "column 'event_id' is left out: a ROOT file holds numbers alone here"
    ]
    with uproot.open(path) as file:
        found = file["scores"].arrays(library="np")
    assert (found["event"].dtype, found["run"].dtype) == (np.int64, np.uint32)
    check(found)


@pytest.mark.parametrize("suffix", [".h5", ".root"])
def test_a_missing_integer_is_refused_where_it_cannot_be_said(tmp_path: Path, suffix: str) -> None:
    parts = [pa.table({"event": pa.array([1, None], pa.int64())})]
    with pytest.raises(ConfigError, match=r"column .event. has missing values.*parquet"):
        write(tmp_path / f"s{suffix}", parts)


@pytest.mark.parametrize("suffix", WRITERS)
def test_no_events_are_a_file_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    write(path, [PARTS[0].slice(0, 0)])
    assert path.stat().st_size > 0


def test_a_zero_byte_is_refused_where_it_cannot_be_said(tmp_path: Path) -> None:
    parts = [pa.table({"tag": ["a", "\0b"]})]
    with pytest.raises(ConfigError, match="column 'tag' has a zero byte"):
        write(tmp_path / "s.h5", parts)
    write(tmp_path / "s.parquet", parts)
