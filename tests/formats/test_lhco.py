"""The LHC Olympics format: what is written and read, pandas' variants, masterkeys and bad files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly_hep.data.samples import sample_file
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, hdf5, lhco, pandasio
from anomaly_hep.types import Events, Sample

PARTICLES = ("part_pt", "part_eta", "part_phi")
TINY = "events_anomalydetection_tiny.h5"


def toys(number: int, seed: int = 0, *, truth: bool = True) -> Events:
    """Return events of 1 to 40 particles in no order; GeV."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 41, number)
    rows = int(lengths.sum())
    particles = {
        "part_pt": rng.uniform(20, 500, rows).astype(np.float32),
        "part_eta": rng.uniform(-3, 3, rows).astype(np.float32),
        "part_phi": rng.uniform(-3.1, 3.1, rows).astype(np.float32),
    }
    labels = rng.integers(0, 2, number)
    return Events(lengths, particles, {"truth": labels} if truth else {})


def put(path: Path, number: int = 20, *, truth: bool = True) -> Path:
    lhco.write(path, [toys(number, truth=truth)])
    return path


def read(path: Path, columns: list[str] | None = None) -> Events:
    described = files.format_of(path).describe(path)
    return files.read(path, 0, described.entries, columns or list(described.columns))


def change(path: Path, row: int, column: int, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file["df/block0_values"][row, column] = value


def by_pandas_layout(path: Path, rows: np.ndarray, blocks: list[list[int]]) -> Path:
    """Write a frame as pandas does where columns have several types: a block for each."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"], group.attrs["nblocks"] = np.bytes_(b"frame"), len(blocks)
        group["axis0"], group["axis1"] = np.arange(rows.shape[1]), np.arange(len(rows))
        for number, columns in enumerate(blocks):
            group[f"block{number}_items"] = np.array(columns)
            dtype = np.int64 if len(columns) == 1 else np.float64
            group[f"block{number}_values"] = rows[:, columns].astype(dtype)
    return path


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 300), st.integers(0, 100), st.booleans())
def test_what_is_written_is_read_back(
    tmp_path: Path, number: int, seed: int, labelled: bool
) -> None:
    path, events = tmp_path / "a.h5", toys(number, seed, truth=labelled)
    assert lhco.write(path, [events.take(np.arange(number // 2)),
                             events.take(np.arange(number // 2, number))]) == number  # fmt: skip
    found = read(path)
    assert np.array_equal(found.lengths, events.lengths)
    for name in PARTICLES:
        assert np.array_equal(found.particles[name], events.particles[name])
    assert ("truth" in found.events) == labelled
    if labelled:
        assert np.array_equal(found.events["truth"], events.events["truth"])
    start, stop = number // 3, number // 2 + 1
    part = files.read(path, start, stop, [*PARTICLES])
    expected = events.take(np.arange(start, stop))
    assert np.array_equal(part.particles["part_pt"], expected.particles["part_pt"])


def test_the_same_events_give_the_same_bytes_with_their_provenance(tmp_path: Path) -> None:
    about = {"origin": "simulated", "generator": "Pythia 8"}
    for name in ("a.h5", "b.h5"):
        lhco.write(tmp_path / name, [toys(30)], about)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    described = lhco.describe(tmp_path / "a.h5")
    assert (described.entries, described.provenance) == (30, about)
    with h5py.File(tmp_path / "a.h5") as file:
        values = file["df/block0_values"]
        assert (values.shape, values.dtype) == ((30, 2101), np.float64)
        assert values.id.get_create_plist().get_filter(0)[0] == 32001  # Blosc
        # pandas asks for these
        assert file["df"].attrs["pandas_type"] == b"frame"
        assert file["df/axis0"].attrs["kind"] == b"integer"
        assert file["df/axis1"][:].tolist() == list(range(30))


def test_pandas_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tables")
    import pandas as pd

    frame = pd.read_hdf(put(tmp_path / "a.h5"))
    assert frame.shape == (20, 2101)
    assert frame[2100].tolist() == toys(20).events["truth"].tolist()


def test_three_zeros_are_padding_wherever_they_stand(tmp_path: Path) -> None:
    rows = np.zeros((3, 2101))
    rows[0, :9] = [5, 0.1, 0.2, 0, 0, 0, 7, -0.1, -0.2]  # padding in the middle
    rows[1, 2097:2100] = [3, 1, 2]  # the last place
    rows[2, :3] = [4, 0, 0]  # a direction of zeros is no padding
    found = read(by_pandas_layout(tmp_path / "a.h5", rows, [list(range(2101))]), [*PARTICLES])
    assert found.lengths.tolist() == [2, 1, 1]
    assert found.particles["part_pt"].tolist() == [5, 7, 3, 4]
    assert found.particles["part_phi"] == pytest.approx([0.2, -0.2, 2, 0])


@pytest.mark.parametrize(
    "blocks",
    [
        [list(range(2101))],
        [list(range(2100)), [2100]],
        [[2100], list(range(2100))],
        [list(range(0, 2100, 2)), list(range(1, 2100, 2)), [2100]],
    ],
    ids=["one", "label apart", "label first", "interleaved"],
)
def test_blocks_of_pandas_are_put_together(tmp_path: Path, blocks: list[list[int]]) -> None:
    events = toys(12)
    lhco.write(tmp_path / "a.h5", [events])
    with h5py.File(tmp_path / "a.h5") as file:
        rows = file["df/block0_values"][:]
    found = read(by_pandas_layout(tmp_path / "b.h5", rows, blocks))
    assert np.array_equal(found.particles["part_eta"], events.particles["part_eta"])
    assert np.array_equal(found.events["truth"], events.events["truth"])


def test_event_columns_alone_agree_with_those_beside_particles(tmp_path: Path) -> None:
    events = toys(50)
    lhco.write(tmp_path / "a.h5", [events])
    own = ["truth", "ht", "n_particles"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lhco, "_BLOCK", 16)
        for start, stop in ((0, 50), (3, 40), (16, 32), (20, 21), (7, 7)):
            alone = files.read(tmp_path / "a.h5", start, stop, own)
            beside = files.read(tmp_path / "a.h5", start, stop, [*own, "part_pt"])
            assert np.array_equal(alone.lengths, beside.lengths)
            for name in own:
                assert np.array_equal(alone.events[name], beside.events[name])
        whole = read(tmp_path / "a.h5", own)
    sums = [e.sum() for e in np.split(events.particles["part_pt"], events.offsets[1:-1])]
    assert whole.events["ht"] == pytest.approx(sums, rel=1e-5)
    assert np.array_equal(whole.events["n_particles"], events.lengths)


def test_samples_are_parted_by_truth(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 40)
    signal = sample_file(lhco.describe(path), Sample("s", ("a.h5",), {"truth": {"min": 1}}))
    truth = toys(40).events["truth"]
    assert signal.entries is not None
    assert signal.entries.tolist() == np.flatnonzero(truth == 1).tolist()


# ---- masterkeys


def test_a_masterkey_gives_the_truth_of_a_black_box(tmp_path: Path) -> None:
    path = put(tmp_path / "events_LHCO2020_BlackBox3.h5", 6, truth=False)
    assert "truth" not in lhco.describe(path).columns
    labels = np.array([0, 1, 2, 0, 0, 1])
    lhco.write_masterkey(path, labels)
    assert (tmp_path / "events_LHCO2020_BlackBox3.masterkey").read_text() == "0\n1\n2\n0\n0\n1\n"
    assert read(path).events["truth"].tolist() == labels.tolist()
    assert files.read(path, 2, 4, ["truth", "part_pt"]).events["truth"].tolist() == [2, 0]


def test_numbers_of_a_masterkey_may_have_digits_and_windows_lines(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 3, truth=False)
    path.with_suffix(".masterkey").write_bytes(b"0.0\r\n1.000000000000000000e+00\r\n2\r\n\r\n")
    assert read(path, ["truth"]).events["truth"].tolist() == [0, 1, 2]


def test_a_black_box_without_masterkey_is_read_and_has_no_truth(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", truth=False)
    assert len(read(path, [*PARTICLES])) == 20
    with pytest.raises(BadFileError, match=r"branch 'truth'.*neither a label.* a\.masterkey.*Cure"):
        files.read(path, 0, 1, ["truth"])


MASTERKEYS = {
    "short": ("0\n1\n", "a.masterkey has 2 lines, the file has 3 events"),
    "long": ("0\n1\n1\n1\n", "a.masterkey has 4 lines, the file has 3 events"),
    "text": ("0\nx\n1\n", "line 2 of a.masterkey is 'x', not 0, 1 or 2"),
    "label": ("0\n1\n3\n", "line 3 of a.masterkey is '3', not 0, 1 or 2"),
    "blank": ("0\n\n1\n", "line 2 of a.masterkey is '', not 0, 1 or 2"),
    "half": ("0\n0.5\n1\n", "line 2 of a.masterkey is '0.5', not 0, 1 or 2"),
    "nan": ("0\nnan\n1\n", "line 2 of a.masterkey is 'nan', not 0, 1 or 2"),
    "page": ("<!DOCTYPE html><html><head><title>404</title>", "line 1 of a.masterkey is '<!DOC"),
    "empty": ("", "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", MASTERKEYS)
def test_a_bad_masterkey_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    content, said = MASTERKEYS[name]
    path = put(tmp_path / "a.h5", 3, truth=False)
    path.with_suffix(".masterkey").write_text(content)
    _refused(lambda: lhco.describe(path), said)


def test_labels_of_its_own_and_a_masterkey_contradict_each_other(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 3)
    lhco.write_masterkey(path, np.array([0, 1, 1]))
    _refused(lambda: lhco.describe(path), "it has labels of its own, and a.masterkey lies beside")


# ---- bad files


def _refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadFileError) as refused:
        call()
    message = str(refused.value)
    assert said in message
    assert "Cure: " in message
    assert "\n" not in message


def another_key(file: h5py.File) -> None:
    file.move("df", "events")


def no_frame(file: h5py.File) -> None:
    del file["df"]
    file["events"] = np.zeros((3, 2101))


def table(file: h5py.File) -> None:
    file["df"].attrs["pandas_type"] = np.bytes_(b"frame_table")


def pickled(file: h5py.File) -> None:
    del file["df/axis0"]
    file["df"].create_dataset("axis0", (1,), h5py.vlen_dtype(np.uint8))


def wide(file: h5py.File) -> None:
    for name in ("df/axis0", "df/block0_items", "df/block0_values"):
        del file[name]
    file["df/axis0"] = file["df/block0_items"] = np.arange(2102)
    file["df/block0_values"] = np.ones((3, 2102))


def lost_block(file: h5py.File) -> None:
    del file["df/block0_values"]


def other_items(file: h5py.File) -> None:
    del file["df/block0_items"]
    file["df/block0_items"] = np.arange(2100)


def twice(file: h5py.File) -> None:
    file["df/axis0"][1] = 0


def no_blocks(file: h5py.File) -> None:
    del file["df"].attrs["nblocks"]


def texts(file: h5py.File) -> None:
    del file["df/block0_values"]
    file["df/block0_values"] = np.full((3, 2101), b"1.5")


def never_written(file: h5py.File) -> None:
    del file["df/block0_values"]
    file.create_dataset("df/block0_values", (3, 2101), np.float64, chunks=(1, 2101))


BAD: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "another key": (another_key, "it has no key 'df'; its keys are events. Cure: if that holds"),
    "no frame": (no_frame, "the format is unknown: HDF5 with the keys events"),
    "table format": (table, "stored as frame_table, not in pandas' fixed format"),
    "pickled names": (pickled, "perhaps pickled Python objects"),
    "too many columns": (wide, "it has 2,102 columns, not 2100 or, with the label, 2101"),
    "a block is lost": (lost_block, "branch 'df/block0_values': the branch is missing"),
    "items of other columns": (other_items, "(3, 2101), type float64, for 2100 columns"),
    "two columns of one name": (twice, "several columns have one name"),
    "no number of blocks": (no_blocks, "the attribute nblocks is None"),
    "texts": (texts, "type |S3"),
    "never written": (never_written, "it declares 3 chunks and holds 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_another_frame_is_refused(tmp_path: Path, name: str) -> None:
    spoil, said = BAD[name]
    path = put(tmp_path / "a.h5", 3)
    with h5py.File(path, "r+") as file:
        spoil(file)
    _refused(lambda: files.format_of(path).describe(path), said)


def test_the_cure_for_another_key_works(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.move("df", "events")
    with h5py.File(path, "a") as file:
        file.move("events", "df")  # as the message says
    assert len(read(path)) == 20


def test_a_file_without_the_filter_says_which_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.h5")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32001)
    said = "compressed with filter 32001 (blosc), which is not installed. Cure: install the filter"
    _refused(lambda: lhco.describe(path), said)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = put(tmp_path / "a.h5", 200)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    _refused(lambda: read(path), "the file is damaged")


def test_a_damaged_chunk_is_refused_with_its_entries(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 200)
    with h5py.File(path) as file:
        where = file["df/block0_values"].id.get_chunk_info(1).byte_offset
    with path.open("rb+") as raw:
        raw.seek(where)
        raw.write(b"\xff" * 64)
    _refused(lambda: read(path), "damaged")


EVENTS = {
    "negative pT": ((1, 0, -5.0), "branch 'part_pt', entry 1: the value -5.0 must be above 0"),
    "NaN": ((2, 1, np.nan), "branch 'part_eta', entry 2: the value is nan"),
    "infinite": ((2, 2, np.inf), "branch 'part_phi', entry 2: the value is inf"),
    "too large": ((0, 0, 1e300), "branch 'part_pt', entry 0: the value is inf"),
    "MeV": ((1, 0, 2e6), "divide by 1000 if these are MeV"),
    "eta": ((0, 1, 12.0), "branch 'part_eta', entry 0: the value 12.0 must be -10 to 10"),
    "phi": ((0, 2, 4.0), "branch 'part_phi', entry 0"),
    "no pT": ((1, 0, 0.0), "branch 'part_pt', entry 1: the value 0.0 must be above 0"),
    "label": ((2, 2100, 3.0), "branch 'truth', entry 2: the value 3 must be 0 to 2"),
    "half a label": ((1, 2100, 0.5), "branch 'truth', entry 1: the label 0.5 is no whole number"),
    "no label": ((1, 2100, np.nan), "branch 'truth', entry 1: the label nan is no whole number"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_impossible_event_is_named(tmp_path: Path, name: str) -> None:
    (row, column, value), said = EVENTS[name]
    path = put(tmp_path / "a.h5", 3)
    change(path, row, column, value)
    _refused(lambda: read(path), said)


def test_events_without_particles_are_refused_or_counted(tmp_path: Path) -> None:
    rows = np.zeros((4, 2101))
    rows[::2, 0] = 50.0
    path = by_pandas_layout(tmp_path / "a.h5", rows, [list(range(2101))])
    _refused(lambda: read(path), "branch 'part_pt', entry 1: it has no particle")
    left = sample_file(lhco.describe(path), Sample("QCD", ("a.h5",)), [*PARTICLES])
    assert len(left) == 2
    assert left.left_out.events == 2
    assert list(left.left_out.reasons) == ["part_pt it has no particle"]


def test_momenta_in_tev_are_noticed(tmp_path: Path) -> None:
    events = toys(5)
    small = {**events.particles, "part_pt": events.particles["part_pt"] / 1e4}
    lhco.write(tmp_path / "a.h5", [Events(events.lengths, small, events.events)])
    _refused(lambda: read(tmp_path / "a.h5"), "multiply by 1000 if these are TeV")


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5")
    before, events = path.read_bytes(), toys(3)
    many = Events(np.array([701]), {n: np.ones(701, np.float32) for n in PARTICLES}, {})
    _refused(lambda: lhco.write(path, [many]), "it has more than 700 particles")
    negative = {**events.particles, "part_pt": -events.particles["part_pt"]}
    bad = Events(events.lengths, negative, events.events)
    _refused(lambda: lhco.write(path, [bad]), "must be above 0")
    without = Events(events.lengths, events.particles, {})
    _refused(lambda: lhco.write(path, [events, without]), "the column to write is missing")
    assert path.read_bytes() == before


def test_700_particles_fit(tmp_path: Path) -> None:
    full = Events(np.array([700]), {n: np.ones(700, np.float32) for n in PARTICLES}, {})
    lhco.write(tmp_path / "a.h5", [full])
    assert read(tmp_path / "a.h5").lengths.tolist() == [700]


def test_an_empty_list_of_events_is_a_file_without_rows(tmp_path: Path) -> None:
    assert lhco.write(tmp_path / "a.h5", []) == 0
    assert lhco.describe(tmp_path / "a.h5").entries == 0


def test_slices_are_whole_chunks(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 300)
    with pandasio.opened(path, "df") as (_, frame):
        slices = list(frame.slices(70, 290, 128))
    assert slices == [(70, 192), (192, 290)] or all(stop % 64 == 0 for _, stop in slices[:-1])
    assert [start for start, _ in slices[1:]] == [stop for _, stop in slices[:-1]]
    assert (slices[0][0], slices[-1][1]) == (70, 290)


# ---- the published excerpt


def test_the_published_excerpt(shared_data: Path, tmp_path: Path) -> None:
    """907 background and 93 two-prong events; 47 to 482 particles, half with more than 160."""
    path = shared_data / "lhco" / TINY
    found = read(path)
    assert np.bincount(found.events["truth"]).tolist() == [907, 93]
    assert (found.lengths.min(), found.lengths.max()) == (47, 482)
    assert found.lengths.mean() == pytest.approx(169.7, abs=0.1)
    assert (found.lengths > 160).mean() == pytest.approx(0.5, abs=0.01)
    assert found.particles["part_pt"].dtype == np.float32
    # slow and obvious
    with h5py.File(path) as file:
        row = file["df/block0_values"][17]
    triples = [row[i : i + 3] for i in range(0, 2100, 3) if row[i : i + 3].any()]
    first, last = found.offsets[17], found.offsets[18]
    for number, name in enumerate(PARTICLES):
        expected = np.array([triple[number] for triple in triples], np.float32)
        assert np.array_equal(found.particles[name][first:last], expected)
    # no particles in order of pT, which is allowed
    pt = found.particles["part_pt"][first:last]
    assert (np.diff(pt) > 0).any()


def test_a_copy_of_the_excerpt_without_compression_reads_alike(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shutil.copy(shared_data / "lhco" / TINY, tmp_path / "a.h5")
    Path(path).chmod(0o644)
    with h5py.File(path, "r+") as file:
        rows = file["df/block0_values"][:]
        del file["df/block0_values"]
        file["df/block0_values"] = rows
    one, other = read(shared_data / "lhco" / TINY), read(Path(path))
    assert np.array_equal(one.particles["part_phi"], other.particles["part_phi"])


def test_provenance_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[hdf5.PROVENANCE] = "{"
    _refused(lambda: lhco.describe(path), "the provenance is no JSON")
