"""The JetClass ROOT format: what goes in comes out, whoever wrote the file."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.test_chunks import assert_same
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass
from anomaly_hep.types import Events

BY_ROOT = Path(__file__).with_name("by_root.root")
ALL = list(jetclass.LAYOUT.names)


def by_uproot(path: Path, columns: list[str]) -> Events:
    """The same file through uproot's own decoding and awkward: slow, and known to be right."""
    arrays = uproot.open(path)["tree"].arrays(columns)
    particles = {c: np.asarray(ak.flatten(arrays[c])) for c in columns if c.startswith("part_")}
    events = {c: np.asarray(arrays[c]) for c in columns if not c.startswith("part_")}
    return Events(np.asarray(ak.num(arrays["part_px"]), np.int64), particles, events)


@pytest.fixture(scope="module")
def two_baskets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Events]:
    path = tmp_path_factory.mktemp("jets") / "toy_000.root"
    jets = toy_jets(1300, seed=1, mean_particles=5)
    jetclass.write(path, [jets])
    return path, jets


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(0, 40), max_size=4))
def test_what_is_written_is_read(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "jets.root"
    parts = [toy_jets(n, seed=i, mean_particles=4) for i, n in enumerate(sizes)]
    assert jetclass.write(path, parts) == sum(sizes)
    assert jetclass.describe(path).entries == sum(sizes)
    read = jetclass.read(path, 0, sum(sizes), ALL)
    assert_same(read, Events.concatenate([*parts, toy_jets(0)]))
    columns = {**read.particles, **read.events}
    assert {name: column.dtype for name, column in columns.items()} == {
        name: jetclass.LAYOUT[name].dtype for name in ALL
    }


def test_the_tree_has_the_41_published_branches_and_one_counter(
    two_baskets: tuple[Path, Events],
) -> None:
    tree = uproot.open(two_baskets[0])["tree"]
    assert len(jetclass.LAYOUT.names) == 41
    assert set(tree.keys()) == {*jetclass.LAYOUT.names, "npart"}
    published = uproot.open(BY_ROOT)["tree"]
    for name in ALL:
        assert tree[name].interpretation.numpy_dtype == published[name].interpretation.numpy_dtype
    assert tree["part_px"].entry_offsets == [0, 1000, 1300]
    assert tree.file.compression == uproot.LZ4(4)


@pytest.mark.parametrize("source", ["std::vector", "counted arrays"])
def test_uproot_decodes_the_same(source: str, two_baskets: tuple[Path, Events]) -> None:
    path = BY_ROOT if source == "std::vector" else two_baskets[0]
    entries = jetclass.describe(path).entries
    assert_same(jetclass.read(path, 0, entries, ALL), by_uproot(path, ALL))


def test_root_wrote_vectors_in_several_baskets() -> None:
    branch = uproot.open(BY_ROOT)["tree"]["part_px"]
    assert branch.typename == "std::vector<float>"
    assert branch.num_baskets > 2


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(source=st.sampled_from(["std::vector", "counted arrays"]), data=st.data())
def test_any_range_is_that_range_of_the_whole(
    two_baskets: tuple[Path, Events], source: str, data: st.DataObject
) -> None:
    path = BY_ROOT if source == "std::vector" else two_baskets[0]
    entries = jetclass.describe(path).entries
    start = data.draw(st.integers(0, entries))
    stop = data.draw(st.integers(start, entries))
    columns = ["part_energy", "part_isMuon", "jet_pt", "label_QCD", "label_Hbb"]
    whole = jetclass.read(path, 0, entries, columns)
    assert_same(jetclass.read(path, start, stop, columns), whole.take(np.arange(start, stop)))


def test_counted_arrays_without_offsets_take_their_lengths_from_the_counter() -> None:
    """The counter's baskets have other edges than the array's: uproot 5.7 mixes them up."""
    path = Path(__file__).with_name("by_root_counted.root")
    tree = uproot.open(path)["tree"]
    assert tree["part_px"].basket(0).byte_offsets is None
    assert tree["part_px"].num_baskets != tree["npart"].num_baskets
    for start, stop in ((0, 100), (7, 90), (50, 51)):
        read = jetclass.read(path, start, stop, ["part_px"])
        lengths = [i % 6 for i in range(start, stop)]
        assert read.lengths.tolist() == lengths
        expected = [
            i + np.arange(n) / 100 for i, n in zip(range(start, stop), lengths, strict=True)
        ]
        np.testing.assert_array_equal(
            read.particles["part_px"], np.concatenate(expected).astype(np.float32)
        )


def test_only_the_named_columns_come_and_lengths_always(two_baskets: tuple[Path, Events]) -> None:
    path, jets = two_baskets
    read = jetclass.read(path, 990, 1010, ["jet_pt"])
    assert not read.particles
    assert list(read.events) == ["jet_pt"]
    np.testing.assert_array_equal(read.lengths, jets.lengths[990:1010])


def test_what_was_read_may_be_changed(two_baskets: tuple[Path, Events]) -> None:
    path, jets = two_baskets
    for _ in range(2):
        read = jetclass.read(path, 0, 1000, ["part_px", "jet_pt"])
        np.testing.assert_array_equal(
            read.particles["part_px"], jets.particles["part_px"][: read.lengths.sum()]
        )
        np.testing.assert_array_equal(read.events["jet_pt"], jets.events["jet_pt"][:1000])
        read.particles["part_px"][:] = 0
        read.events["jet_pt"][:] = 0


def test_a_branch_that_only_this_file_has_keeps_its_type(tmp_path: Path) -> None:
    path = tmp_path / "user.root"
    with uproot.recreate(path) as file:
        file.mktree(
            "tree", {"part_px": "var * float32", "part_weight": "var * float64", "run": "int64"}
        )
        file["tree"].extend(
            {"part_px": ak.Array([[1.0, 2.0], []]), "part_weight": ak.Array([[3.0, 4.0], []]),
             "run": np.array([5, 2**40])}
        )  # fmt: skip
    read = jetclass.read(path, 0, 2, ["part_weight", "run"])
    np.testing.assert_array_equal(read.lengths, [2, 0])
    np.testing.assert_array_equal(read.particles["part_weight"], [3.0, 4.0])
    np.testing.assert_array_equal(read.events["run"], [5, 2**40])


def test_provenance_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    said = {"generator": "toy", "seed": 3, "settings": {"ptmin": 500.0, "notes": ["a", None]}}
    jetclass.write(path, [toy_jets(2)], said)
    assert jetclass.describe(path).provenance == said
    assert jetclass.describe(BY_ROOT).provenance is None


def test_a_description_names_all_columns(tmp_path: Path) -> None:
    jetclass.write(tmp_path / "jets.root", [])
    assert set(jetclass.describe(tmp_path / "jets.root").columns) == {*ALL, "npart"}
    assert set(jetclass.describe(BY_ROOT).columns) == set(ALL)


class TestWriteRefuses:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "jets.root"
        jetclass.write(path, [toy_jets(3)])
        return path

    def refused(self, path: Path, parts: list[Events]) -> BadFileError:
        with pytest.raises(BadFileError) as caught:
            jetclass.write(path, parts)
        assert jetclass.describe(path).entries == 3, "the old file must be as it was"
        assert list(path.parent.iterdir()) == [path], "no temporary file may stay"
        return caught.value

    @staticmethod
    def changed(column: str, values: np.ndarray | None) -> Events:
        jets = toy_jets(5)
        particles, events = dict(jets.particles), dict(jets.events)
        columns = particles if column.startswith("part_") else events
        columns.pop(column, None)
        if values is not None:
            columns[column] = values
        return Events(jets.lengths, particles, events)

    @pytest.mark.parametrize("column", ["part_dzerr", "label_Tbl", "aux_truth_match"])
    def test_a_missing_column(self, path: Path, column: str) -> None:
        error = self.refused(path, [self.changed(column, None)])
        assert error.branch == column
        assert "missing" in error.problem

    def test_an_unknown_column(self, path: Path) -> None:
        error = self.refused(path, [self.changed("jet_mass", np.zeros(5, np.float32))])
        assert error.branch == "jet_mass"

    def test_another_kind_of_number(self, path: Path) -> None:
        error = self.refused(path, [self.changed("label_Hbb", np.zeros(5, np.int32))])
        assert error.branch == "label_Hbb"
        assert "int32" in error.problem

    @pytest.mark.parametrize("column", ["part_px", "jet_eta"])
    def test_columns_of_another_length(self, path: Path, column: str) -> None:
        error = self.refused(path, [self.changed(column, np.ones(4, np.float32))])
        assert error.branch == column
        assert "(4,)" in error.problem

    def test_a_negative_number_of_particles(self, path: Path) -> None:
        jets = toy_jets(5)
        lengths = jets.lengths.copy()
        lengths[3:] = lengths[3:].sum() + 1, -1
        error = self.refused(path, [toy_jets(2), Events(lengths, jets.particles, jets.events)])
        assert error.entry == 6

    def test_values_that_reading_would_refuse_in_a_later_part(self, path: Path) -> None:
        eta = np.zeros(5, np.float32)
        eta[2] = np.nan
        error = self.refused(path, [toy_jets(7), self.changed("jet_eta", eta)])
        assert (error.branch, error.entry) == ("jet_eta", 9)
