"""A ROOT file that leads uproot in a circle is refused, and good ones have the time they need."""

from __future__ import annotations

import signal
import struct
import threading
import time
from pathlib import Path

import pytest
import uproot
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, jetclass
from anomaly_hep.formats.rootio import patience


def endless(path: Path) -> None:
    """Let the list of keys have millions of entries, of which the first leads back to itself."""
    jetclass.write(path, [toy_jets(2)])
    data = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        start = file.file.root_directory.fSeekKeys
    header = struct.unpack(">iHiIHH", data[start : start + 18])
    first = start + header[4]  # behind the header's own key, the number of keys
    data[first : first + 4] = (2**30).to_bytes(4, "big")
    key = first + 4
    version = struct.unpack(">H", data[key + 4 : key + 6])[0]
    names = key + (34 if version > 1000 else 26)
    # class and name are empty, and the title has a length below zero
    back = (key - (names + 11)).to_bytes(4, "big", signed=True)
    data[names : names + 11] = b"\xff\x00\x00\x00\x00" + b"\x00" + b"\xff" + back
    path.write_bytes(data)


def test_reading_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    before = signal.getsignal(signal.SIGVTALRM)
    path = tmp_path / "a.root"
    endless(path)
    begin = time.monotonic()
    with pytest.raises(BadFileError, match=r"computed for 0\.5 s without an end"):
        files.format_of(path)
    assert time.monotonic() - begin < 30
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_waiting_is_no_computing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.2)
    with patience.limited(tmp_path):
        time.sleep(0.4)


def test_other_threads_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    jetclass.write(path, [toy_jets(2)])
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(jetclass.describe(path).entries))
    thread.start()
    thread.join()
    assert found == [2]
