"""Every way to be wrong ends in one named error that says file, branch, entry and cure."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import uproot

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass, jetclass2
from tests.faults.campaign import BY_ROOT
from tests.faults.injections import FAULTS, PARQUET_COLUMNS, ROOT_COLUMNS, Fault, write_own


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_named(tmp_path: Path, fault: Fault) -> None:
    path = tmp_path / f"file{fault.suffix}"
    fault.inject(path)
    with pytest.raises(BadFileError) as caught:
        fault.read(path)
    error = caught.value
    assert error.path == path
    assert (error.branch, error.entry) == (fault.branch, fault.entry)
    assert fault.problem in error.problem
    assert fault.cure in error.cure
    assert "\n" not in str(error)
    copy = pickle.loads(pickle.dumps(error))  # as a worker process sends it
    assert str(copy) == str(error)


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_a_good_file_is_read(tmp_path: Path, suffix: str) -> None:
    """Without this the tests above could pass because everything is refused."""
    path = tmp_path / f"file{suffix}"
    write_own(path)
    assert len(Fault("none", write_own, "", "", suffix=suffix).read(path)) == 1200


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 1201), (7, 6), (1201, 1201)])
def test_a_range_that_the_file_does_not_have_is_refused(
    tmp_path: Path, suffix: str, start: int, stop: int
) -> None:
    path = tmp_path / f"file{suffix}"
    write_own(path)
    module = jetclass if suffix == ".root" else jetclass2
    with pytest.raises(BadFileError, match=rf"entries {start} to {stop} .* has 1200") as caught:
        module.read(path, start, stop, ["jet_pt"])
    assert "start <= stop" in caught.value.cure


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_a_file_without_entries_is_no_fault(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    module = jetclass if suffix == ".root" else jetclass2
    assert module.write(path, []) == 0
    assert module.describe(path).entries == 0
    columns = ROOT_COLUMNS if suffix == ".root" else PARQUET_COLUMNS
    assert len(module.read(path, 0, 0, columns)) == 0


def test_a_bad_entry_does_not_spoil_the_chunks_before_it(tmp_path: Path) -> None:
    fault = next(f for f in FAULTS if f.name == "NaN in a particle")
    path = tmp_path / "file.root"
    fault.inject(path)
    assert len(jetclass.read(path, 0, 1003, ROOT_COLUMNS)) == 1003
    assert len(jetclass.read(path, 1004, 1200, ROOT_COLUMNS)) == 196
    without = [name for name in ROOT_COLUMNS if name != "part_d0val"]
    assert len(jetclass.read(path, 0, 1200, without)) == 1200


def test_a_damaged_file_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A wrong version number of a ROOT class made uproot replace that class for all files."""
    path = tmp_path / "file.root"
    write_own(path)
    data = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        tree = file.key("tree").fSeekKey
    name = b"TBranch\x00"
    version = data.index(name, tree) + len(name) + 4  # after it 4 bytes of size, 2 of version
    assert data[version : version + 2] == b"\x00\x0d"
    data[version + 1] ^= 16
    path.write_bytes(data)
    assert len(jetclass.read(path, 0, 1, ROOT_COLUMNS)) == 1  # its values are still right
    assert len(jetclass.read(BY_ROOT, 0, 120, ROOT_COLUMNS)) == 120


@pytest.mark.parametrize("edge", [0, 1, 2])
def test_a_wrong_list_of_baskets_is_refused(tmp_path: Path, edge: int) -> None:
    """Baskets said to begin elsewhere must not give fewer or other jets."""
    path = tmp_path / "file.root"
    write_own(path)
    data = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        tree = file.key("tree").fSeekKey
    edges = b"".join(n.to_bytes(8, "big") for n in (0, 1000, 1200))
    data[data.index(edges, tree) + 8 * edge + 7] ^= 4
    path.write_bytes(data)
    with pytest.raises(BadFileError) as caught:
        jetclass.read(path, 0, 1200, ["npart", *ROOT_COLUMNS])
    assert caught.value.branch is not None
