"""Archives that lose, link or inflate files are refused before anything is written."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections import namedtuple

import pytest

from anomaly_hep.errors import DownloadError
from anomaly_hep.formats.published.unpack import unpack


def _member(name: str, content: bytes = b"root", **attributes: object) -> tuple:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def _write(path, *members, mode: str = "w"):
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}
CASES = {
    "two of one name": ([_member("a/x.root"), _member("b/x.root")], "two files x.root"),
    "the same twice": ([_member("x.root"), _member("x.root", b"other")], "two files x.root"),
    "folder": ([_member("x.root", type=tarfile.DIRTYPE, size=0)], "x.root is a folder"),
    "link": ([_member("x.root", **LINK)], "x.root is a link"),
    "hard link": (
        [_member("y.root"), _member("x.root", type=tarfile.LNKTYPE, linkname="y.root", size=0)],
        "x.root is a link",
    ),
    "fifo": ([_member("x.root", type=tarfile.FIFOTYPE, size=0)], "x.root is a special file"),
    "taken": ([_member("old.root")], "old.root is there already, from part0.tar"),
    "outside": ([_member("../../x.root")], "cannot be unpacked"),
    "nothing": ([_member("readme.txt")], "it holds no file .root or .csv"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_archive_that_would_lose_or_link_files_is_refused(tmp_path, case):
    members, said = CASES[case]
    archive = _write(tmp_path / "x.tar", *members)
    with pytest.raises(DownloadError, match=said) as caught:
        unpack(archive, tmp_path / "data", {"old.root": "part0.tar"})
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == [archive]


def test_members_larger_than_the_archive_allows_are_refused_before_they_are_read(tmp_path):
    archive = _write(tmp_path / "x.tar.gz", _member("x.root", bytes(10**7)), mode="w:gz")
    with pytest.raises(DownloadError, match=r"10,000,000 bytes or more, too many for its own size"):
        unpack(archive, tmp_path / "data", {})
    sparse = tmp_path / "y.tar"
    _write(sparse, _member("x.root"))
    content = bytearray(sparse.read_bytes())
    info = tarfile.TarInfo("x.root")
    info.size = 10**12
    content[:512] = info.tobuf()
    sparse.write_bytes(content)
    with pytest.raises(DownloadError, match=r"1,000,000,000,000 bytes or more"):
        unpack(sparse, tmp_path / "data", {})


def test_members_larger_than_the_disk_are_refused(tmp_path, monkeypatch):
    archive = _write(tmp_path / "x.tar", _member("x.root", bytes(5000)))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 4000))
    with pytest.raises(DownloadError, match="too many for the free space on the disk"):
        unpack(archive, tmp_path / "data", {})


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x1f\x8b" + bytes(50)])
def test_what_is_no_archive_is_said_in_one_line(tmp_path, content):
    archive = tmp_path / "x.tar"
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="cannot be unpacked") as caught:
        unpack(archive, tmp_path / "data", {})
    assert "\n" not in str(caught.value)


def test_files_of_folders_come_out_side_by_side(tmp_path):
    archive = _write(tmp_path / "x.tar", _member("a/x.root"), _member("b/y.root", b"yy"))
    assert unpack(archive, tmp_path / "data", {"z.root": "other.tar"}) == [
        tmp_path / "data" / "x.root",
        tmp_path / "data" / "y.root",
    ]
    assert (tmp_path / "data" / "y.root").read_bytes() == b"yy"
