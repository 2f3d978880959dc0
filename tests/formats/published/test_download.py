"""Fetching from a local server that can drop connections, ignore ranges, or send something else."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from anomaly_hep.errors import ConfigError, DownloadError
from anomaly_hep.formats.published import download, resume
from anomaly_hep.formats.published.download import Archives, archives_of
from anomaly_hep.formats.published.marks import published_files

JETCLASS = Path(__file__).resolve().parents[3] / "conf" / "data" / "jetclass.yaml"
NAMES = ("part0.tar", "test.tar")


def archive(prefix: str, *names: str) -> bytes:
    """A tar of incompressible 'ROOT files', bare or in a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            content = hashlib.sha256(name.encode()).digest() * 10_000
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Server:
    """What the server has, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes]
    drop_after: int | None = None  # bytes per answer
    knows_ranges: bool = True
    served: list[tuple[str, int]] = field(default_factory=list)  # file, first byte
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server(
        {"part0.tar": archive("", "ZToQQ_000.root"), "test.tar": archive("test_20M/", "a.root")}
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            name = self.path.strip("/")
            if name not in state.files:
                self.send_error(404)
                return
            content, first = state.files[name], 0
            asked = self.headers.get("Range")
            if asked and state.knows_ranges:
                first = int(asked.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            if body:
                state.served.append((name, first))
                stop = None if state.drop_after is None else first + state.drop_after
                self.wfile.write(content[first:stop])
                if stop is not None and stop < len(content):
                    self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in http.server
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}/"
        yield state
        http.shutdown()


@pytest.fixture
def toy_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> Archives:
    places = ("train_100M", "test_20M")
    archives = {
        name: (hashlib.md5(server.files[name]).hexdigest(), place)
        for name, place in zip(NAMES, places, strict=True)
    }
    monkeypatch.setattr(resume, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(resume, "BLOCK_BYTES", 2**14)
    return Archives("Zenodo 0", server.url, archives)


def assert_complete(directory: Path, server: Server) -> None:
    files = {directory / "train_100M" / "ZToQQ_000.root", directory / "test_20M" / "a.root"}
    assert published_files(directory) == files
    for file in files:
        assert file.read_bytes() == hashlib.sha256(file.name.encode()).digest() * 10_000
    here = {path for path in directory.rglob("*") if path.is_file()}
    assert here == files | {directory / "published.json"}, "nothing else may stay"


def test_archives_are_fetched_verified_unpacked_and_marked(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    files = download.fetch([toy_set], tmp_path)
    assert files == sorted(published_files(tmp_path))
    assert_complete(tmp_path, server)
    mark = json.loads((tmp_path / "published.json").read_text())
    assert mark["record"] == "Zenodo 0"
    assert (
        mark["archives"]["part0.tar"]["md5"] == hashlib.md5(server.files["part0.tar"]).hexdigest()
    )


def test_what_is_complete_is_not_fetched_again(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    download.fetch([toy_set], tmp_path, archives=["test.tar"])
    server.served.clear()
    download.fetch([toy_set], tmp_path)
    assert server.served == [("part0.tar", 0)]
    assert_complete(tmp_path, server)


def test_a_lost_file_is_fetched_again(tmp_path: Path, toy_set: Archives, server: Server) -> None:
    download.fetch([toy_set], tmp_path)
    (tmp_path / "test_20M" / "a.root").unlink()
    server.served.clear()
    download.fetch([toy_set], tmp_path)
    assert server.served == [("test.tar", 0)]
    assert_complete(tmp_path, server)


def test_a_dropped_connection_is_continued(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    server.drop_after = 100_000
    download.fetch([toy_set], tmp_path, base_url=server.url.rstrip("/"))
    starts = [first for name, first in server.served if name == "part0.tar"]
    assert len(starts) == -(-len(server.files["part0.tar"]) // 100_000)
    assert starts == sorted(set(starts)), "no byte may be fetched twice"
    assert_complete(tmp_path, server)


def test_a_killed_fetch_is_continued(tmp_path: Path, toy_set: Archives, server: Server) -> None:
    part = tmp_path / ".fetching" / "part0.tar.part"
    part.parent.mkdir()
    part.write_bytes(server.files["part0.tar"][:70_001])
    (part.parent / "tmp_of_a_killed_run").symlink_to(part)
    download.fetch([toy_set], tmp_path)
    assert server.served == [("part0.tar", 70_001), ("test.tar", 0)]
    assert_complete(tmp_path, server)


@pytest.mark.parametrize("linked", [False, True])
def test_a_fetch_killed_before_unpacking_fetches_nothing_more(
    tmp_path: Path, toy_set: Archives, server: Server, linked: bool
) -> None:
    work = tmp_path / ".fetching"
    work.mkdir()
    held = work / ("part0.tar.part" if linked else "part0.tar")
    held.write_bytes(server.files["part0.tar"])
    if linked:
        (work / "part0.tar").symlink_to(held)
    (work / "part0.unpacked").mkdir()
    (work / "part0.unpacked" / "half.root").touch()
    download.fetch([toy_set], tmp_path)
    assert server.served == [("test.tar", 0)]
    assert_complete(tmp_path, server)


def test_a_server_without_ranges_starts_again(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    server.knows_ranges = False
    part = tmp_path / ".fetching" / "part0.tar.part"
    part.parent.mkdir()
    part.write_bytes(b"?" * 70_001)
    download.fetch([toy_set], tmp_path)
    assert_complete(tmp_path, server)


def test_a_server_that_never_gets_further_is_given_up(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    server.drop_after = 0
    with pytest.raises(DownloadError, match="run the same command again"):
        download.fetch([toy_set], tmp_path)
    assert len(server.served) == resume.FRUITLESS_ATTEMPTS


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_another_md5_is_refused_and_the_file_removed(
    tmp_path: Path, toy_set: Archives, server: Server, extra: bytes
) -> None:
    server.files["part0.tar"] = server.files["part0.tar"][:-5] + b"wrong" + extra
    with pytest.raises(DownloadError, match=r"the MD5 is not [0-9a-f]{32}, the file was removed"):
        download.fetch([toy_set], tmp_path)
    assert published_files(tmp_path) == set()
    assert not list(tmp_path.rglob("*.tar*"))


def test_a_part_longer_than_the_archive_is_dropped(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    part = tmp_path / ".fetching" / "part0.tar.part"
    part.parent.mkdir()
    part.write_bytes(server.files["part0.tar"] + b"more")
    download.fetch([toy_set], tmp_path)
    assert_complete(tmp_path, server)


def test_too_little_space_is_said_before_anything_is_fetched(
    tmp_path: Path, toy_set: Archives, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(map(len, server.files.values())) + max(map(len, server.files.values()))
    usage = namedtuple("usage", "total used free")
    for free, enough in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(0, 0, free))
        if enough:
            download.fetch([toy_set], tmp_path)
            continue
        with pytest.raises(DownloadError, match=r"GB are needed .* GB are free"):
            download.fetch([toy_set], tmp_path)
        assert server.served == []


def test_what_is_already_there_counts_as_space(
    tmp_path: Path, toy_set: Archives, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    size = len(server.files["test.tar"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2 * size - 1000))
    part = tmp_path / ".fetching" / "test.tar.part"
    part.parent.mkdir()
    part.write_bytes(server.files["test.tar"][:1000])
    download.fetch([toy_set], tmp_path, archives=["test.tar"])


def test_an_archive_that_reaches_outside_is_refused(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    evil = archive("../../", "evil.root")
    server.files["part0.tar"] = evil
    toy_set = replace(
        toy_set,
        files={**toy_set.files, "part0.tar": (hashlib.md5(evil).hexdigest(), "train_100M")},
    )
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        download.fetch([toy_set], tmp_path / "data")
    assert not list(tmp_path.rglob("evil.root"))


def test_unknown_archives_are_refused(tmp_path: Path, toy_set: Archives) -> None:
    with pytest.raises(DownloadError, match=r"Zenodo 0: choose from part0.tar, test.tar"):
        download.fetch([toy_set], tmp_path, archives=["val"])


def test_data_without_published_archives_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data=mine names no published archives\. Cure"):
        archives_of("mine", None)


def test_a_missing_file_on_the_server_is_said(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    del server.files["test.tar"]
    with pytest.raises(DownloadError, match="404"):
        download.fetch([toy_set], tmp_path)


def test_two_fetches_into_one_directory_are_refused(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    with (
        download._working(tmp_path, NAMES),
        pytest.raises(DownloadError, match="another process is fetching"),
    ):
        download.fetch([toy_set], tmp_path)


def test_the_published_archives_cover_the_three_splits() -> None:
    """Zenodo record 6619768: ten training parts, one archive each to validate and test."""
    (record,) = archives_of("jetclass", yaml.safe_load(JETCLASS.read_text())["download"])
    files = record.files
    assert [place for _, place in files.values()] == ["train_100M"] * 10 + ["val_5M", "test_20M"]
    hashes = {md5 for md5, _ in files.values()}
    assert len(hashes) == 12
    assert all(len(md5) == 32 for md5 in hashes)


def test_checksums_may_come_from_the_records_own_description(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    unknown = replace(toy_set, files={n: (None, place) for n, (_, place) in toy_set.files.items()})
    with pytest.raises(DownloadError, match="does not say the checksums of Zenodo 0"):
        download.fetch([unknown], tmp_path, base_url=server.url)
    listed = [{"key": n, "checksum": f"md5:{md5}"} for n, (md5, _) in toy_set.files.items()]
    server.files["record.json"] = json.dumps({"files": listed[:1]}).encode()
    with pytest.raises(DownloadError, match=f"has no {NAMES[1]}: it has {NAMES[0]}"):
        download.fetch([unknown], tmp_path, base_url=server.url)
    server.files["record.json"] = json.dumps({"files": listed}).encode()
    download.fetch([unknown], tmp_path, base_url=server.url)
    assert_complete(tmp_path, server)


def test_a_wrong_checksum_of_the_description_is_refused(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    unknown = replace(toy_set, files={n: (None, place) for n, (_, place) in toy_set.files.items()})
    listed = [{"key": n, "checksum": "md5:" + 32 * "0"} for n in toy_set.files]
    server.files["record.json"] = json.dumps({"files": listed}).encode()
    with pytest.raises(DownloadError, match="the MD5 is not 000"):
        download.fetch([unknown], tmp_path, base_url=server.url)


def test_files_of_two_records_are_stored_as_they_are(
    tmp_path: Path, toy_set: Archives, server: Server
) -> None:
    server.files |= {"events.h5": b"\x89HDF" * 1000, "box.masterkey": b"0\n1\n"}
    records = archives_of(
        "toys",
        {"records": [
            {"record": f"Zenodo {i}", "url": server.url,
             "archives": {name: [hashlib.md5(server.files[name]).hexdigest(), "."]}}
            for i, name in enumerate(("events.h5", "box.masterkey"))
        ]},
    )  # fmt: skip
    for _ in range(2):
        download.fetch(records, tmp_path)
    assert published_files(tmp_path) == {tmp_path / "events.h5", tmp_path / "box.masterkey"}
    assert (tmp_path / "events.h5").read_bytes() == server.files["events.h5"]
    assert [name for name, _ in server.served] == ["events.h5", "box.masterkey"]
    mark = json.loads((tmp_path / "published.json").read_text())
    assert mark["record"] == "Zenodo 0, Zenodo 1"
    assert mark["archives"]["box.masterkey"]["record"] == "Zenodo 1"
    assert not (tmp_path / ".fetching").exists()


def test_a_fetch_killed_before_a_file_has_its_place_fetches_nothing_more(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["events.h5"] = b"\x89HDF" * 1000
    md5 = hashlib.md5(server.files["events.h5"]).hexdigest()
    toy = Archives("Zenodo 0", server.url, {"events.h5": (md5, "below")})

    def killed(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "_placed", killed)
        with pytest.raises(KeyboardInterrupt):
            download.fetch([toy], tmp_path)
    server.served.clear()
    download.fetch([toy], tmp_path)
    assert server.served == []
    assert (tmp_path / "below" / "events.h5").read_bytes() == server.files["events.h5"]
