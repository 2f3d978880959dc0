"""What is kept between reads: of changed and removed files, too much of it, and in a child."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.formats.test_chunks import assert_same
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.rootio.tree import Tree

ALL = list(jetclass.LAYOUT.names)


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    for n in (4, 9):
        jets = toy_jets(n, seed=n)
        jetclass.write(path, [jets])
        assert_same(jetclass.read(path, 0, n, ALL), jets)


def test_a_file_cut_short_while_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    jetclass.write(path, [toy_jets(50)])
    jetclass.read(path, 0, 10, ["part_px"])
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(BadFileError, match="truncated"):
        jetclass.read(path, 10, 20, ["part_px"])


def test_a_removed_file_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    jetclass.write(path, [toy_jets(5)])
    jetclass.read(path, 0, 5, ["part_px"])
    path.unlink()
    with pytest.raises(BadFileError, match="no such file"):
        jetclass.read(path, 0, 5, ["part_px"])


def test_damage_in_one_read_does_not_last(tmp_path: Path) -> None:
    """What stopped half-way is closed: the next read starts afresh."""
    path = tmp_path / "jets.root"
    jetclass.write(path, [toy_jets(5)])
    with pytest.raises(BadFileError):
        jetclass.read(path, 0, 5, ["part_px", "no_such_branch"])
    assert_same(jetclass.read(path, 0, 5, ALL), toy_jets(5))


def test_a_bounded_number_of_files_is_open(tmp_path: Path) -> None:
    def open_here() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(os.path.realpath(link).startswith(str(tmp_path)) for link in links)

    files = Kept[Tree](3, close=Tree.close)
    jetclass.write(tmp_path / "0.root", [toy_jets(2)])
    for i in range(8):
        path = Path(shutil.copy(tmp_path / "0.root", tmp_path / f"copy_{i}.root"))
        with files.use(path, make=partial(Tree, path, "tree")) as tree:
            assert tree.entries == 2
        assert open_here() <= 3
    assert open_here() == 3


def test_the_size_of_what_is_kept_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    made, closed = [], []
    kept = Kept[bytes](30, size=len, close=closed.append)

    def use(name: str, size: int = 10) -> None:
        with kept.use(path, name, make=lambda: made.append(name) or name.encode() * size) as thing:
            assert thing == name.encode() * size
        assert kept.size <= 30

    for name in "abcadab":
        use(name)
    # b was used longest ago when d came, then c when b came again
    assert made == ["a", "b", "c", "d", "b"]
    assert closed == [b"b" * 10, b"c" * 10]
    assert kept.size == 30
    use("large", 40)  # never kept, and drives nothing out
    use("a")
    assert made[-1] == "large"


def test_what_fails_is_closed_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    made, closed = [], []
    kept = Kept[str](3, close=closed.append)

    def make() -> str:
        made.append("thing")
        return "thing"

    with pytest.raises(ZeroDivisionError), kept.use(path, make=make):
        raise ZeroDivisionError
    assert closed == ["thing"]
    with kept.use(path, make=make):
        pass
    assert made == ["thing", "thing"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parent_and_child_read_the_same_file(tmp_path: Path, method: str) -> None:
    path, jets = tmp_path / "jets.root", toy_jets(1300, seed=1, mean_particles=5)
    jetclass.write(path, [jets])
    jetclass.read(path, 0, 100, ["part_px"])
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        child = pool.apply_async(_sums, (path,))
        parent = _sums(path)
        assert child.get(60) == parent
    expected = [
        jets.take(np.arange(i, i + 100)).particles["part_px"].sum() for i in range(0, 1300, 100)
    ]
    assert parent == expected


def _sums(path: Path) -> list[float]:
    return [
        jetclass.read(path, i, i + 100, ["part_px"]).particles["part_px"].sum()
        for i in range(0, 1300, 100)
    ]
