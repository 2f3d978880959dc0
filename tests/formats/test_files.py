"""Which files are found, and by what they are recognised."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from tests.formats.test_jetclass2 import toy_jets2
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats import jetclass, jetclass2
from anomaly_hep.formats.files import find_files, format_of, formats


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_come_sorted_by_pattern_and_name_each_once(tmp_path: Path) -> None:
    mine = [tmp_path / "val" / f"TTBar_{i:03d}.root" for i in (0, 1, 10)]
    touch(*reversed(mine))
    others = ("TTBarLep_000.root", ".TTBar_002.root.77.part", "ZToQQ_000.root")
    touch(*(tmp_path / "val" / name for name in others), tmp_path / "train" / "TTBar_005.root")
    assert find_files([tmp_path / "val"], ["TTBar_*"]) == mine
    patterns = ["TTBar_01*", "TTBar_*", "*/nothing"]
    assert find_files([tmp_path / "val"], patterns) == [mine[2], *mine[:2]]
    assert find_files([tmp_path], ["val/TTBar_*.root"]) == mine


def test_files_may_be_in_one_of_several_places(tmp_path: Path) -> None:
    places = [tmp_path / "val", tmp_path / "val_5M"]
    touch(tmp_path / "val_5M" / "ZToQQ_000.root")
    assert find_files(places, ["ZToQQ_*"]) == [tmp_path / "val_5M" / "ZToQQ_000.root"]
    touch(tmp_path / "val" / "ZToQQ_000.root")
    with pytest.raises(ConfigError, match="separate directories"):
        find_files(places, ["ZToQQ_*"])


def test_no_files_says_where_they_were_looked_for(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(MissingDataError, match=r"no file ZToQQ_\*; looked in .*Cure: set") as e:
        find_files([nowhere / "test", nowhere / "test_20M"], ["ZToQQ_*"])
    assert str(nowhere / "test_20M") in str(e.value)


def test_the_content_not_the_name_says_the_format(tmp_path: Path) -> None:
    root, parquet = tmp_path / "jets.dat", tmp_path / "jets.root"
    jetclass.write(root, [toy_jets(2)])
    jetclass2.write(parquet, [toy_jets2(2)])
    assert format_of(root) is jetclass
    assert format_of(parquet) is jetclass2


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "jets.h5"
    path.write_bytes(b"BZh91AY&SY")
    known = r"begins with b'BZh9'.*JetClass ROOT \(a TTree 'tree'\), JetClass-II Parquet"
    with pytest.raises(BadFileError, match=known):
        format_of(path)


def _other_root(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": "float32"})


def _other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["df/block0_values"] = np.zeros((3, 5))


def _other_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, X=np.zeros(3), y=np.zeros(3))


OTHERS = {
    "ROOT": _other_root,
    "HDF5": _other_hdf5,
    "npz": _other_npz,
    "Parquet": lambda path: pq.write_table(pa.table({"score_kl": [1.0]}), path),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_a_known_kind_that_holds_something_else_is_unknown(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    OTHERS[kind](path)
    with pytest.raises(BadFileError, match="the format is unknown"):
        format_of(path)


def test_a_damaged_file_is_damaged_and_not_unknown(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    jetclass.write(path, [toy_jets(50)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFileError, match="truncated"):
        format_of(path)


def test_a_file_that_becomes_another_is_recognised_anew(tmp_path: Path) -> None:
    path = tmp_path / "jets"
    jetclass.write(path, [toy_jets(2)])
    assert format_of(path) is jetclass
    jetclass2.write(path, [toy_jets2(2)])
    assert format_of(path) is jetclass2


# ---- an experiment's own format

CSV = """
from anomaly_hep.formats.layout import Layout

FORMAT, SIGN, EVENT_NOUN, SUFFIXES = "events in lines", "lines of fields", "events", (".csv",)
PUBLISHED, LAYOUT = frozenset(), Layout({}, {})


def recognises(path, head):
    return head.split(b"\\n")[0].count(b"|") > 4


def describe(path): ...
def read(path, start, stop, columns): ...
def write(path, parts, provenance=None): ...
"""


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a package with a format of its own."""
    (tmp_path / "mine.py").write_text(CSV)
    metadata = tmp_path / "mine-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[anomaly_hep.data]\nlines = mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    formats.cache_clear()
    yield tmp_path
    sys.modules.pop("mine", None)
    formats.cache_clear()


def test_a_format_without_magic_is_recognised_by_its_content(private: Path) -> None:
    path = private / "chan1"
    path.write_text("94|ttbar|1|112288|1.74766|331927\n")
    assert format_of(path).FORMAT == "events in lines"
    jetclass.write(private / "jets.root", [toy_jets(2)])
    assert format_of(private / "jets.root") is jetclass


def test_a_format_that_lacks_something_is_named(private: Path) -> None:
    (private / "mine.py").write_text(CSV.replace("def read", "def write"))
    with pytest.raises(ConfigError, match="mine recognises files but has no read"):
        formats()


def test_a_file_that_two_formats_claim_is_refused(private: Path) -> None:
    (private / "mine.py").write_text(CSV.replace("head.split", "head[:4] == b'root' or head.split"))
    jetclass.write(private / "jets.root", [toy_jets(2)])
    with pytest.raises(BadFileError, match="is taken for JetClass ROOT and events in lines"):
        format_of(private / "jets.root")
