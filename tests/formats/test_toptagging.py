"""The top-tagging reference format: jets as the sums of their constituents, and bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.formats.pandastables import write_table
from tests.formats.test_rodem import refused
from tests.toys import toy_jets

from anomaly_hep.data.samples import sample_file
from anomaly_hep.formats import files, toptagging
from anomaly_hep.types import Events, Sample

KINDS = ("E", "PX", "PY", "PZ")
SLOTS = 60


def names(slots: int = SLOTS) -> list[str]:
    """The published order: the four of a constituent beside each other."""
    return [f"{kind}_{slot}" for slot in range(slots) for kind in KINDS]


def rows_of(jets: Events, slots: int = SLOTS) -> np.ndarray:
    rows = np.zeros((len(jets), slots, 4), np.float32)
    filled = np.arange(slots) < jets.lengths[:, None]
    rows[filled] = np.stack([jets.particles[f"part_{n}"] for n in ("energy", "px", "py", "pz")], 1)
    return rows


def put(
    path: Path,
    number: int = 20,
    *,
    change: Callable[[np.ndarray], None] | None = None,
    labels: np.ndarray | None = None,
    columns: list[str] | None = None,
    seed: int = 0,
    **how: object,
) -> Path:
    rows = rows_of(toy_jets(number, seed=seed, mean_particles=15))
    if change is not None:
        change(rows)
    flat = rows.reshape(number, -1)
    truth = np.zeros((number, 4), np.float32)
    labels = np.arange(number) % 2 if labels is None else labels
    order = columns or names()
    blocks = {
        "values_block_0": (
            [*order, "truthE", "truthPX", "truthPY", "truthPZ"],
            np.concatenate([flat[:, [names().index(name) for name in order]], truth], 1),
        ),
        "values_block_1": (
            ["ttv", "is_signal_new"],
            np.stack([np.zeros(number, labels.dtype), labels], 1),
        ),
    }
    return write_table(path, blocks, **how)  # type: ignore[arg-type]


def read(path: Path, columns: list[str] | None = None) -> Events:
    described = files.format_of(path).describe(path)
    return files.read(path, 0, described.entries, columns or list(described.columns))


@pytest.mark.parametrize("python", [2, 3])
def test_jets_are_the_sums_of_their_constituents(tmp_path: Path, python: int) -> None:
    jets, found = toy_jets(20, mean_particles=15), read(put(tmp_path / "a.h5", python=python))
    assert found.lengths.tolist() == jets.lengths.tolist()
    for name in ("part_px", "part_py", "part_pz", "part_energy"):
        assert np.array_equal(found.particles[name], jets.particles[name])
    for name in ("part_deta", "part_dphi"):
        assert found.particles[name] == pytest.approx(jets.particles[name], abs=2e-6)
    for name in ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles"):
        assert found.events[name] == pytest.approx(jets.events[name], rel=1e-5, abs=1e-5)
    assert found.events["truth"].tolist() == [0, 1] * 10


def test_columns_in_another_order_give_the_same(tmp_path: Path) -> None:
    """Pandas sorts them by name where some columns are fields of their own."""
    one = read(put(tmp_path / "a.h5"))
    other = read(put(tmp_path / "b.h5", columns=sorted(names())))
    for name, values in one.particles.items():
        assert np.array_equal(values, other.particles[name]), name


def test_slices_are_those_of_the_whole(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 300)
    whole = read(path)
    for start, stop in ((0, 300), (39, 41), (255, 300), (7, 7)):
        for columns in (["truth"], ["part_phi", "truth", "jet_mass"]):
            part, expected = (
                files.read(path, start, stop, columns),
                whole.take(np.arange(start, stop)),
            )
            assert np.array_equal(part.lengths, expected.lengths)
            for name, values in (*part.particles.items(), *part.events.items()):
                wanted = {**expected.particles, **expected.events}[name]
                assert np.array_equal(values, wanted)
            assert {*part.particles, *part.events} == {*columns}


def test_four_zeros_are_padding_wherever_they_stand(tmp_path: Path) -> None:
    def shift(rows: np.ndarray) -> None:
        rows[:] = rows[:, ::-1].copy()

    one, other = read(put(tmp_path / "a.h5")), read(put(tmp_path / "b.h5", change=shift))
    assert one.lengths.tolist() == other.lengths.tolist()
    assert one.events["jet_pt"] == pytest.approx(other.events["jet_pt"])


def test_classes_are_parted_by_truth(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 40)
    top = sample_file(toptagging.describe(path), Sample("top", ("a.h5",), {"truth": {"min": 1}}))
    assert top.entries is not None
    assert top.entries.tolist() == list(range(1, 40, 2))


def test_a_jet_without_constituents_is_refused_or_counted(tmp_path: Path) -> None:
    def empty(rows: np.ndarray) -> None:
        rows[2] = 0

    path = put(tmp_path / "a.h5", 4, change=empty)
    refused(lambda: read(path, ["part_pt"]), "branch 'part_pt', entry 2: it has no particle")
    left = sample_file(toptagging.describe(path), Sample("QCD", ("a.h5",)), ["part_pt"])
    assert (len(left), left.left_out.events) == (3, 1)


def value(row: int, slot: int, kind: int, number: float) -> Callable[[np.ndarray], None]:
    def change(rows: np.ndarray) -> None:
        rows[row, slot, kind] = number

    return change


VALUES = {
    "negative energy": (value(1, 0, 0, -50), "'part_energy', entry 1: the value -50.0 must be 0"),
    "NaN": (value(2, 0, 1, np.nan), "entry 2: the value is nan"),
    "infinite": (value(0, 0, 3, np.inf), "branch 'part_eta', entry 0"),
    "MeV": (lambda rows: rows.__imul__(1000), "divide by 1000 if these are MeV"),
    "TeV": (lambda rows: rows.__imul__(1e-6), "multiply by 1000 if these are TeV"),
    "below its momentum": (value(1, 0, 0, 1), "the energy of a particle is below its momentum"),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_impossible_jet_is_named(tmp_path: Path, name: str) -> None:
    change, said = VALUES[name]
    refused(lambda: read(put(tmp_path / "a.h5", 3, change=change)), said)


LABELS = {
    "another label": (
        np.array([0, 2, 1]),
        "branch 'is_signal_new', entry 1: the value 2 must be 0",
    ),
    "half a label": (np.array([0, 1, 0.5]), "'is_signal_new', entry 2: the label 0.5 is no whole"),
    "no label": (np.array([np.nan, 1, 0]), "'is_signal_new', entry 0: the label nan is no whole"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_bad_label_is_named(tmp_path: Path, name: str) -> None:
    labels, said = LABELS[name]
    refused(lambda: read(put(tmp_path / "a.h5", 3, labels=labels), ["truth"]), said)


def test_without_labels_there_is_no_truth(tmp_path: Path) -> None:
    flat = rows_of(toy_jets(3, mean_particles=15)).reshape(3, -1)
    path = write_table(tmp_path / "a.h5", {"values_block_0": (names(), flat)})
    assert "truth" not in toptagging.describe(path).columns
    assert len(read(path)) == 3
    refused(lambda: files.read(path, 0, 1, ["truth"]), "branch 'truth': the branch is missing")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 3, columns=[name for name in names() if name != "PY_3"])
    refused(lambda: toptagging.describe(path), "branch 'PY_3': the branch is missing")
    path = put(tmp_path / "b.h5", 3, key="jets")
    said = "it has no key 'table'; its keys are jets. Cure: if that holds the events: h5py.File"
    refused(lambda: files.format_of(path).describe(path), said)
    with h5py.File(put(tmp_path / "c.h5", 3), "r+") as file:
        file["table"].attrs["pandas_type"] = np.bytes_(b"frame")
    refused(lambda: toptagging.describe(tmp_path / "c.h5"), "not in pandas' table format. Cure: ")
    with h5py.File(put(tmp_path / "d.h5", 3), "r+") as file:
        del file["table/table"]
    refused(lambda: toptagging.describe(tmp_path / "d.h5"), "'table/table': the branch is missing")


@pytest.mark.parametrize("kept", [0.3, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = put(tmp_path / "a.h5", 200)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(lambda: read(path), "the file is damaged")
