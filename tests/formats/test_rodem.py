"""The RODEM format: what is written and read, wider published files, and bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.toys import toy_boosted

from anomaly_hep.data.samples import sample_file
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, jetkinematics, rodem
from anomaly_hep.types import Events, Sample

ALL = list(rodem.LAYOUT.names)
WRITTEN = [*jetkinematics.PARTICLES, *jetkinematics.JETS]


def put(path: Path, number: int = 20) -> Path:
    rodem.write(path, [toy_boosted(number)])
    return path


def read(path: Path, columns: list[str] | None = None) -> Events:
    described = files.format_of(path).describe(path)
    return files.read(path, 0, described.entries, columns or ALL)


def store(path: Path, jets: np.ndarray, constituents: np.ndarray, **how: object) -> Path:
    """Write both data sets as another program would."""
    with h5py.File(path, "w") as file:
        file.create_dataset(rodem.JETS, data=jets, **how)
        file.create_dataset(rodem.CONSTITUENTS, data=constituents, **how)
    return path


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file[rodem.JETS][:], file[rodem.CONSTITUENTS][:]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 300), st.integers(0, 100))
def test_what_is_written_is_read_back(tmp_path: Path, number: int, seed: int) -> None:
    path, events = tmp_path / "a.h5", toy_boosted(number, seed=seed)
    half = number // 2
    parts = [events.take(np.arange(half)), events.take(np.arange(half, number))]
    assert rodem.write(path, parts) == number
    found = read(path)
    assert np.array_equal(found.lengths, events.lengths)
    for name in WRITTEN:
        expected = events.particles.get(name, events.events.get(name))
        assert np.array_equal(found.particles.get(name, found.events.get(name)), expected)
    start, stop = number // 3, number // 2 + 1
    part = files.read(path, start, stop, ["part_phi"])
    assert np.array_equal(
        part.particles["part_phi"], events.take(np.arange(start, stop)).particles["part_phi"]
    )


def test_slices_in_any_chunks_are_those_of_the_whole(tmp_path: Path) -> None:
    jets, constituents = stored(put(tmp_path / "a.h5", 3000))
    expected = read(tmp_path / "a.h5", ["part_px", "jet_mass"])
    for number, how in enumerate(
        ({}, {"chunks": True}, {"chunks": True, "compression": "gzip", "shuffle": True})
    ):
        path = store(tmp_path / f"{number}.h5", jets, constituents, **how)
        for start, stop in ((0, 3000), (1, 2), (1000, 2049), (2999, 3000), (7, 7)):
            found = files.read(path, start, stop, ["part_px", "jet_mass"])
            wanted = expected.take(np.arange(start, stop))
            assert np.array_equal(found.lengths, wanted.lengths)
            assert np.array_equal(found.particles["part_px"], wanted.particles["part_px"])
            assert np.array_equal(found.events["jet_mass"], wanted.events["jet_mass"])


def test_the_same_jets_give_the_same_bytes_with_their_provenance(tmp_path: Path) -> None:
    about = {"origin": "simulated", "generator": "Pythia 8"}
    for name in ("a.h5", "b.h5"):
        rodem.write(tmp_path / name, [toy_boosted(30)], about)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    described = rodem.describe(tmp_path / "a.h5")
    assert (described.entries, described.provenance) == (30, about)
    assert described.columns == rodem.LAYOUT.names
    jets, constituents = stored(tmp_path / "a.h5")
    assert (jets.shape, jets.dtype) == ((30, 4), np.float32)
    assert (constituents.shape, constituents.dtype) == ((30, 100, 3), np.float32)


def test_pt_zero_is_padding_wherever_it_stands(tmp_path: Path) -> None:
    constituents = np.zeros((2, 5, 3))
    constituents[0, 0], constituents[0, 3] = (300, 0.1, 0.2), (200, 0.0, 0.1)
    constituents[1, 4] = (500, -1, 3)
    constituents[1, 2] = (0, 0.5, 0.5)  # a direction without a momentum
    jets = np.array([[500, 0.06, 0.16, 30], [500, -1, 3, 0]], np.float64)
    found = read(store(tmp_path / "a.h5", jets, constituents))
    assert found.lengths.tolist() == [2, 1]
    assert found.particles["part_pt"].tolist() == [300, 200, 500]
    assert found.particles["part_pt"].dtype == np.float32
    assert found.events["jet_nparticles"].tolist() == [2, 1]


def test_more_columns_and_the_second_jet_are_left_alone(tmp_path: Path) -> None:
    jets, constituents = stored(put(tmp_path / "a.h5"))
    more = np.full((20, 7), np.nan, np.float32)
    path = store(
        tmp_path / "b.h5",
        np.concatenate([jets, more], 1),
        np.concatenate([constituents, np.full((20, 100, 4), np.nan, np.float32)], 2),
    )
    with h5py.File(path, "r+") as file:
        file["objects/jets/jet2_obs"] = np.full((20, 11), np.nan)
        file["objects/jets/jet2_cnsts"] = np.zeros((20, 100, 7))
    one, other = read(tmp_path / "a.h5"), read(path)
    assert np.array_equal(one.particles["part_energy"], other.particles["part_energy"])
    assert np.array_equal(one.events["jet_energy"], other.events["jet_energy"])


def test_fewer_or_more_slots_are_read(tmp_path: Path) -> None:
    jets, constituents = stored(put(tmp_path / "a.h5"))
    wide = np.concatenate([constituents, np.zeros_like(constituents)], 1)
    for name, slots in (("b.h5", constituents[:, :60]), ("c.h5", wide)):
        assert np.array_equal(
            read(store(tmp_path / name, jets, slots)).lengths, read(tmp_path / "a.h5").lengths
        )


def test_a_jet_of_few_constituents_is_normal_and_one_without_is_counted(tmp_path: Path) -> None:
    jets, constituents = stored(put(tmp_path / "a.h5", 4))
    constituents[1, 2:] = constituents[2] = 0
    path = store(tmp_path / "b.h5", jets, constituents)
    assert read(tmp_path / "a.h5").lengths.max() < 40
    refused(lambda: read(path, ["part_pt"]), "branch 'part_pt', entry 2: it has no particle")
    left = sample_file(rodem.describe(path), Sample("QCD", ("b.h5",)), ["part_pt"])
    assert (len(left), left.left_out.events) == (3, 1)
    assert list(left.left_out.reasons) == ["part_pt it has no particle"]


# ---- bad files


def refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadFileError) as error:
        call()
    message = str(error.value)
    assert said in message
    assert "Cure: " in message
    assert "\n" not in message


def no_constituents(file: h5py.File) -> None:
    del file[rodem.CONSTITUENTS]


def no_jets(file: h5py.File) -> None:
    del file[rodem.JETS]


def other_group(file: h5py.File) -> None:
    file.move("objects", "things")


def fewer_rows(file: h5py.File) -> None:
    file[rodem.CONSTITUENTS].resize(2, axis=0)


def replaced(key: str, values: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[key]
        file[key] = values

    return change


def never_written(file: h5py.File) -> None:
    del file[rodem.CONSTITUENTS]
    file.create_dataset(rodem.CONSTITUENTS, (3, 100, 3), np.float32, chunks=(1, 100, 3))


def linked(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        for key in (rodem.JETS, rodem.CONSTITUENTS):
            other[key] = file[key][:]
    del file["objects"]
    file["objects"] = h5py.ExternalLink("other.h5", "objects")


BAD: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no constituents": (
        no_constituents,
        "no key 'objects/jets/jet1_cnsts'; its keys in objects/jets are jet1_obs. Cure: give",
    ),
    "no jets": (no_jets, "no key 'objects/jets/jet1_obs'; its keys in objects/jets are jet1_cnsts"),
    "another group": (other_group, "the format is unknown: HDF5 with the keys things"),
    "constituents of other jets": (
        fewer_rows,
        "branch 'objects/jets/jet1_cnsts': it has 2 rows, objects/jets/jet1_obs has 3",
    ),
    "no mass": (replaced(rodem.JETS, np.ones((3, 3))), "the shape is (3, 3), type float64. Cure"),
    "flat constituents": (replaced(rodem.CONSTITUENTS, np.ones((3, 300))), "the shape is (3, 300)"),
    "texts": (replaced(rodem.JETS, np.full((3, 4), b"1.5")), "type |S3"),
    "one number": (replaced(rodem.JETS, np.array(1.0)), "the shape is ()"),
    "never written": (never_written, "it declares 3 chunks and holds 0"),
    "a group elsewhere": (linked, "it is a link to another file"),
}


@pytest.mark.parametrize("name", BAD)
def test_another_layout_is_refused(tmp_path: Path, name: str) -> None:
    spoil, said = BAD[name]
    path = put(tmp_path / "a.h5", 3)
    with h5py.File(path, "r+") as file:
        spoil(file)
    refused(lambda: files.format_of(path).describe(path), said)


JET, PARTICLE = rodem.JETS, rodem.CONSTITUENTS
VALUES = {
    "negative pT": (PARTICLE, (1, 0, 0), -5.0, "'part_pt', entry 1: the value -5.0 must be above"),
    "NaN pT": (PARTICLE, (1, 0, 0), np.nan, "branch 'part_pt', entry 1: the value is nan"),
    "NaN": (PARTICLE, (2, 1, 1), np.nan, "branch 'part_eta', entry 2: the value is nan"),
    "infinite": (PARTICLE, (2, 1, 2), np.inf, "branch 'part_phi', entry 2: the value is inf"),
    "eta": (PARTICLE, (0, 1, 1), 12.0, "'part_eta', entry 0: the value 12.0 must be -10 to 10"),
    "phi": (PARTICLE, (0, 1, 2), 4.0, "branch 'part_phi', entry 0: the value 4.0 must be"),
    "MeV": (PARTICLE, (1, 0, 0), 6e5, "divide by 1000 if these are MeV"),
    "negative mass": (JET, (1, 3), -7.0, "'jet_mass', entry 1: the value -7.0 must be 0 to 50000"),
    "NaN mass": (JET, (2, 3), np.nan, "branch 'jet_mass', entry 2: the value is nan"),
    "no jet": (JET, (2, 0), 0.0, "branch 'jet_pt', entry 2: the value 0.0 must be above 0"),
    "negative jet pT": (JET, (2, 0), -1.0, "branch 'jet_pt', entry 2: the value -1.0 must be"),
    "TeV": (JET, (0, 0), 0.6, "multiply by 1000 if these are TeV"),
    "energy for mass": (JET, (0, 3), 3e3, "branch 'jet_mass', entry 0: it is above the jet's pT"),
    "another jet": (JET, (0, 0), 5e3, "branch 'jet_pt', entry 0: it is not near the pT of the"),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_impossible_jet_is_named(tmp_path: Path, name: str) -> None:
    key, place, value, said = VALUES[name]
    path = put(tmp_path / "a.h5", 3)
    with h5py.File(path, "r+") as file:
        file[key][place] = value
    refused(lambda: read(path), said)


def test_constituents_that_are_relative_to_the_jet_are_noticed(tmp_path: Path) -> None:
    jets, constituents = stored(put(tmp_path / "a.h5"))
    filled = constituents[:, :, :1] > 0
    constituents[:, :, 1:] -= np.where(filled, jets[:, None, 1:3], 0)
    angle = constituents[:, :, 2]
    constituents[:, :, 2] = (angle + np.pi) % (2 * np.pi) - np.pi
    path = store(tmp_path / "b.h5", jets, constituents)
    refused(lambda: read(path, ["part_deta", "part_dphi", "part_px", "part_py"]), "from the axis")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = put(tmp_path / "a.h5", 600)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(lambda: read(path), "the file is damaged")


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 600)
    with h5py.File(path) as file:
        where = file[rodem.CONSTITUENTS].id.get_chunk_info(1).byte_offset
    with path.open("rb+") as raw:
        raw.seek(where)
        raw.write(b"\xff" * 64)
    refused(lambda: read(path), "branch 'objects/jets': entries 0 to 600 are damaged")


def test_a_column_or_an_entry_that_is_not_there(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 3)
    refused(lambda: files.read(path, 0, 1, ["part_charge"]), "branch 'part_charge': the branch is")
    refused(lambda: files.read(path, 0, 4, ["part_pt"]), "entries 0 to 4 were asked")


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5")
    before, jets = path.read_bytes(), toy_boosted(3)
    one = toy_boosted(1)
    many = Events(
        np.array([101]),
        {name: np.repeat(column[:1], 101) for name, column in one.particles.items()},
        one.events,
    )
    refused(lambda: rodem.write(path, [many]), "more than 100 particles. Cure: keep the hardest")
    empty = Events(
        np.zeros(3, np.int64), {n: v[:0] for n, v in jets.particles.items()}, jets.events
    )
    refused(lambda: rodem.write(path, [empty]), "it has no particle")
    light = Events(
        jets.lengths, jets.particles, {**jets.events, "jet_mass": -jets.events["jet_pt"]}
    )
    refused(lambda: rodem.write(path, [light]), "must be 0 to 50000 GeV")
    without = Events(jets.lengths, jets.particles, {})
    refused(lambda: rodem.write(path, [jets, without]), "the column to write is missing")
    assert path.read_bytes() == before


def test_an_empty_list_is_a_file_without_jets(tmp_path: Path) -> None:
    assert rodem.write(tmp_path / "a.h5", []) == 0
    assert rodem.describe(tmp_path / "a.h5").entries == 0
    assert len(read(tmp_path / "a.h5")) == 0
