"""Which files are found, and by what they are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
import uproot
from tests.formats.test_jetclass2 import toy_jets2
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats import jetclass, jetclass2
from anomaly_hep.formats.files import find_files, format_of


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("place", ["val", "val_5M", "Pythia/val_5M"])
def test_files_are_found_in_every_layout_sorted_and_of_one_class(
    tmp_path: Path, place: str
) -> None:
    folder = tmp_path / place
    mine = [folder / f"TTBar_{i:03d}.root" for i in (0, 1, 10)]
    touch(*reversed(mine))
    others = ("TTBarLep_000.root", ".TTBar_002.root.77.part", "TTBar_notes.txt", "ZToQQ_000.root")
    touch(*(folder / name for name in others), tmp_path / "train" / "TTBar_005.root")
    assert find_files(tmp_path, "val", "TTBar") == mine


def test_files_may_be_numbered_twice_as_the_published_images_are(tmp_path: Path) -> None:
    names = ("svj_2100_34484_8.npz", "svj_2100_7.h5")
    touch(*(tmp_path / "test" / name for name in names), tmp_path / "test" / "svj_3100_1_2.npz")
    assert [path.name for path in find_files(tmp_path, "test", "svj_2100")] == list(names)


def test_no_files_says_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"ZToQQ_NNN.*'test'.*test_20M.*Cure: set") as e:
        find_files(tmp_path / "nowhere", "test", "ZToQQ")
    assert str(tmp_path / "nowhere" / "Pythia" / "test_20M") in str(e.value)


def test_simulated_and_published_files_are_not_mixed(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "ZToQQ_000.root", tmp_path / "train_100M" / "ZToQQ_000.root")
    with pytest.raises(ConfigError, match="separate directories"):
        find_files(tmp_path, "train", "ZToQQ")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose from train, val, test"):
        find_files(tmp_path, "training", "ZToQQ")


def test_the_content_not_the_name_says_the_format(tmp_path: Path) -> None:
    root, parquet = tmp_path / "jets.dat", tmp_path / "jets.root"
    jetclass.write(root, [toy_jets(2)])
    jetclass2.write(parquet, [toy_jets2(2)])
    assert format_of(root) is jetclass
    assert format_of(parquet) is jetclass2


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "jets.h5"
    path.write_bytes(b"BZh91AY&SY")
    with pytest.raises(BadFileError, match="JetClass ROOT or JetClass-II Parquet"):
        format_of(path)


def test_a_root_file_of_something_else_names_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": "float32"})
    with pytest.raises(BadFileError, match=r"no TTree 'tree'; the file holds TTree 'Events'"):
        format_of(path)
