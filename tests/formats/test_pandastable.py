"""Frames in pandas' table format: columns are found by name, and nothing is unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.formats.pandastables import pickled, write_table

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import pandastable

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def frame(path: Path, python: int = 3) -> Path:
    blocks = {
        "values_block_0": (["a", "c", "b"], VALUES),
        "values_block_1": (["n"], np.arange(4)[:, None]),
        "label": (["label"], np.array([[1], [0], [1], [0]])),
    }
    return write_table(path, blocks, python=python, chunk=2)


@pytest.mark.parametrize("python", [2, 3])
def test_columns_are_found_by_their_names(tmp_path: Path, python: int) -> None:
    path = frame(tmp_path / "a.h5", python)
    with pandastable.opened(path, "table") as (file, table):
        assert pandastable.tables(file) == {"table": {"a", "b", "c", "n", "label"}}
        rows = table.read(1, 4)
        assert table.columns(rows, ["b", "label", "a", "n"]).tolist() == [
            [5, 0, 3, 1], [8, 1, 6, 2], [11, 0, 9, 3],
        ]  # fmt: skip
        assert table.columns(table.read(2, 2), ["a", "label"]).shape == (0, 2)
        assert list(table.slices(1, 4, 2)) == [(1, 2), (2, 4)]


def test_the_text_is_that_of_the_pickles_of_python() -> None:
    names = ["E_0", "PX_0", "is_signal_new"]
    assert pickled(names) == pickle.dumps(names, protocol=0)


def test_pandas_writes_such_tables(tmp_path: Path) -> None:
    pytest.importorskip("tables")
    import pandas as pd

    data = pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5], "label": [0, 1]})
    for columns, name in ((None, "a.h5"), (["label"], "b.h5")):
        data.to_hdf(tmp_path / name, key="table", format="table", data_columns=columns)
        with pandastable.opened(tmp_path / name, "table") as (_, table):
            found = table.columns(table.read(0, 2), ["label", "b"])
        assert found.tolist() == [[0, 3.5], [1, 4.5]]


EVIL = [
    pickle.dumps(print, protocol=0),
    b"cos\nsystem\n(S'true'\ntR.",
    b"(lp0\ncos\nsystem\n(S'true'\ntRa.",
    b"(lp0\nVa\np1\naVb\np2\naVc\np3\na.cos\nsystem\n(S'true'\ntR.",
    pickle.dumps(["a", "b", "c"], protocol=2),
    b"(lp0\nS'\\x61'\np1\na.",
    b"",
]


@pytest.mark.parametrize("text", EVIL)
def test_another_pickle_is_refused_and_not_executed(tmp_path: Path, text: bytes) -> None:
    path = frame(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["table/table"].attrs["values_block_0_kind"]
        file["table/table"].attrs["values_block_0_kind"] = np.void(text or b"\0")
    with h5py.File(path, "r+") as file:
        file["table/table"].attrs["values_block_1_kind"] = np.bytes_(text or b" ")
        assert "n" not in pandastable.tables(file)["table"]
    with (
        pytest.raises(BadFileError, match=r"names of its 3 columns are unknown\. Cure: store the"),
        pandastable.opened(path, "table"),
    ):
        pass


def test_another_number_of_names_is_refused(tmp_path: Path) -> None:
    path = frame(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["table/table"].attrs["values_block_0_kind"] = np.bytes_(pickled(["a", "b"]))
    with (
        pytest.raises(BadFileError, match=r"'table/table/values_block_0': .* 3 columns are 2\."),
        pandastable.opened(path, "table"),
    ):
        pass
