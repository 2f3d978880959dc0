"""The JetClass-II Parquet format, on files of our own; the published excerpt has its own tests."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.test_chunks import assert_same
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass2
from anomaly_hep.types import Events

WRITTEN = list(jetclass2.WRITTEN.names)

# The fixtures' files are overwritten or only read: examples may share them.
SHARED_FIXTURES = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def toy_jets2(n: int, *, seed: int = 0, mean_particles: float = 4) -> Events:
    """Toy jets with the columns and types of JetClass-II."""
    jets = toy_jets(n, seed=seed, mean_particles=mean_particles)
    columns = {**jets.particles, **jets.events, "jet_label": np.arange(n) % 188}
    return Events(
        jets.lengths,
        {name: columns[name].astype(c.dtype) for name, c in jetclass2.WRITTEN.particles.items()},
        {name: columns[name].astype(c.dtype) for name, c in jetclass2.WRITTEN.events.items()},
    )


@pytest.fixture(scope="module")
def three_groups(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Events]:
    path = tmp_path_factory.mktemp("jets") / "toy.parquet"
    jets = toy_jets2(5300, seed=1)
    jetclass2.write(path, [jets])
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=2000)
    return path, jets


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(0, 40), max_size=4))
def test_what_is_written_is_read(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "jets.parquet"
    parts = [toy_jets2(n, seed=i) for i, n in enumerate(sizes)]
    assert jetclass2.write(path, parts, {"generator": "toy"}) == sum(sizes)
    description = jetclass2.describe(path)
    assert (description.entries, description.provenance) == (sum(sizes), {"generator": "toy"})
    read = jetclass2.read(path, 0, sum(sizes), WRITTEN)
    assert_same(read, Events.concatenate([*parts, toy_jets2(0)]))
    columns = {**read.particles, **read.events}
    for name, column in columns.items():
        assert column.dtype == jetclass2.LAYOUT[name].dtype, name


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.integers(0, 5300), length=st.integers(0, 5300))
def test_any_range_is_that_range_of_the_whole(
    three_groups: tuple[Path, Events], start: int, length: int
) -> None:
    path, jets = three_groups
    stop = min(start + length, 5300)
    columns = ["part_px", "part_isMuon", "jet_label"]
    read = jetclass2.read(path, start, stop, columns)
    part = jets.take(np.arange(start, stop))
    assert_same(
        read,
        Events(
            part.lengths,
            {name: part.particles[name] for name in columns[:2]},
            {"jet_label": part.events["jet_label"]},
        ),
    )


def test_only_the_named_columns_come_and_lengths_always(three_groups: tuple[Path, Events]) -> None:
    path, jets = three_groups
    read = jetclass2.read(path, 10, 20, ["jet_pt"])
    assert not read.particles
    assert list(read.events) == ["jet_pt"]
    np.testing.assert_array_equal(read.lengths, jets.lengths[10:20])


def test_there_are_the_54_published_columns() -> None:
    assert len(jetclass2.LAYOUT.names) == 54


@pytest.mark.parametrize("broken", ["value", "list"])
def test_a_null_is_refused_with_its_row(tmp_path: Path, broken: str) -> None:
    lists: list[list[float | None]] = [[1.0], [2.0, 3.0], [4.0]]
    scalars: list[float | None] = [1.0, 2.0, 3.0]
    if broken == "value":
        lists[1][1] = None
        where = ("part_px", 1)
    else:
        scalars[2] = None
        where = ("jet_eta", 2)
    path = tmp_path / "null.parquet"
    pq.write_table(pa.table({"part_px": lists, "jet_eta": scalars}), path)
    with pytest.raises(BadFileError, match="null") as caught:
        jetclass2.read(path, 0, 3, ["part_px", "jet_eta"])
    assert (caught.value.branch, caught.value.entry) == where


def test_lists_of_different_lengths_are_not_read_together(
    three_groups: tuple[Path, Events],
) -> None:
    with pytest.raises(BadFileError, match=r"part_\*, genpart_\* have different lengths"):
        jetclass2.read(three_groups[0], 0, 1, ["part_px", "genpart_px"])


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux only")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """One row group of 110 MB, read in small chunks, must not be held as a whole."""
    path = tmp_path / "large.parquet"
    table = pa.concat_tables([_table(toy_jets2(3000, mean_particles=40))] * 20)
    options = {"compression": "none", "use_dictionary": False}
    pq.write_table(table, path, row_group_size=len(table), **options)
    assert path.stat().st_size > 100e6
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_memory_growth, (path, len(table))) < 30e6


def _memory_growth(path: Path, rows: int) -> float:
    """Bytes by which this process's peak memory grows after the first of many chunks."""
    peaks = []
    for start in range(0, rows, 1000):
        jetclass2.read(path, start, start + 1000, list(jetclass2.WRITTEN.particles))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1e3)
    return peaks[-1] - peaks[0]


def _table(jets: Events) -> pa.Table:
    lists = {
        name: pa.ListArray.from_arrays(jets.offsets.astype(np.int32), column)
        for name, column in jets.particles.items()
    }
    return pa.table({**lists, **jets.events})
