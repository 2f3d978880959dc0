"""What the footer of a Parquet file declares, beside what pyarrow says of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.faults.doors import DOORS, read_events

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files
from anomaly_hep.formats.parquetfooter import Declared, declared


def by_pyarrow(path: Path) -> list[Declared]:
    metadata = pq.ParquetFile(path).metadata
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return [
        Declared(column.path_in_schema.split(".")[0], group.num_rows, column.num_values)
        for group in groups
        for column in map(group.column, range(group.num_columns))
    ]


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"row_group_size": 7},
        {"compression": "zstd", "write_page_checksum": True, "write_page_index": True},
        {"use_dictionary": False, "store_schema": False, "write_statistics": False},
        {"data_page_version": "2.0", "sorting_columns": [pq.SortingColumn(0)]},
    ],
)
def test_rows_and_values_are_those_of_pyarrow(tmp_path: Path, choices: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    lists = [[1.0] * (number % 5) for number in range(40)]
    table = pa.table({
        "x": range(40), "flag": [True] * 40, "lists": lists, "text": ["a"] * 40,
        "nested": [{"a": 1, "b": [2, 3]}] * 40,
    })  # fmt: skip
    pq.write_table(table, path, **choices)
    assert declared(path) == by_pyarrow(path)


def test_published_files_are_read_alike(shared_data: Path) -> None:
    for path in (shared_data / "jetclass2").glob("*.parquet"):
        assert declared(path) == by_pyarrow(path)


def test_no_damage_of_a_footer_ends_the_process(tmp_path: Path) -> None:
    """pyarrow would: asked about some damaged columns, it ends in C++."""
    good = tmp_path / "good.parquet"
    DOORS["parquet"].good(good)
    content = good.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    draw, refused = random.Random(5), 0
    for number in range(80):
        data = bytearray(content)
        data[draw.randrange(len(data) - 8 - length, len(data))] ^= 1 << draw.randrange(8)
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(data)
        try:
            read_events(path)
        except BadFileError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x19\xf1" + b"\xff" * 8 + b"\x7f" * 30])
def test_a_footer_that_never_ends_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1")
    with pytest.raises((ValueError, IndexError)):
        declared(path)
    with pytest.raises(BadFileError):
        files.format_of(path)
