"""The record of which files gave what."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from anomaly_hep.errors import BadFileError, TooManyBadFilesError
from anomaly_hep.formats.ledger import Ledger, file_sha256
from anomaly_hep.types import FileDescription


def described(path: Path, content: bytes = b"jets", entries: int = 100) -> FileDescription:
    path.write_bytes(content)
    return FileDescription(path, "toy", entries, {"seed": 3, "task": {"jets": 7, "card": {}}})


def bad(name: str) -> BadFileError:
    return BadFileError(name, "is broken", branch="part_px", entry=4, cure="mend it")


def test_what_was_accepted_and_refused_is_written_sorted(tmp_path: Path) -> None:
    ledger = Ledger()
    second, first = described(tmp_path / "b.root"), described(tmp_path / "a.root", b"others")
    ledger.accept(second, events=60)
    ledger.accept(first, events=100, sha256="given")
    ledger.accept(second, events=30)
    ledger.refuse(bad("z.root"))
    ledger.refuse(bad("y.root"))
    ledger.write(tmp_path / "ledger.json")
    written = json.loads((tmp_path / "ledger.json").read_text())
    assert written == ledger.to_json()
    assert written["events"] == 190
    assert written["files"][1] == {
        "path": str(tmp_path / "b.root"),
        "format": "toy",
        "bytes": 4,
        "sha256": hashlib.sha256(b"jets").hexdigest(),
        "entries": 100,
        "events": 90,
        "provenance": {"seed": 3, "task": {"jets": 7}},
    }
    assert written["files"][0]["sha256"] == "given"
    assert written["refused"] == [
        {"path": n, "problem": "is broken", "branch": "part_px", "entry": 4, "cure": "mend it"}
        for n in ("y.root", "z.root")
    ]


def test_the_order_of_the_notes_does_not_matter(tmp_path: Path) -> None:
    descriptions = [described(tmp_path / f"{i}.root") for i in range(3)]
    ledgers = Ledger(), Ledger()
    for ledger, order in zip(ledgers, ((0, 1, 2), (2, 0, 1)), strict=True):
        for i in order:
            ledger.accept(descriptions[i], events=i)
            ledger.refuse(bad(f"bad{i}"))
    assert json.dumps(ledgers[0].to_json()) == json.dumps(ledgers[1].to_json())


@pytest.mark.parametrize(
    ("accepted", "refused", "allowed", "fine"),
    [
        (3, 0, 0.0, True),
        (3, 1, 0.0, False),
        (3, 1, 0.24, False),
        (3, 1, 0.25, True),
        (0, 2, 1.0, False),  # nothing is left
        (0, 0, 0.0, True),
    ],
)
def test_the_refused_fraction_is_bounded(
    tmp_path: Path, accepted: int, refused: int, allowed: float, fine: bool
) -> None:
    ledger = Ledger()
    for i in range(accepted):
        ledger.accept(described(tmp_path / str(i)), events=1)
    for i in range(refused):
        ledger.refuse(bad(f"bad{i}"))
    if fine:
        ledger.check(allowed)
        return
    with pytest.raises(TooManyBadFilesError, match=r"max_bad_fraction") as caught:
        ledger.check(allowed)
    assert "bad0, branch 'part_px', entry 4: is broken. Cure: mend it" in str(caught.value)


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        path.write_bytes(content)
        for _ in range(2):
            assert file_sha256(path) == hashlib.sha256(content).hexdigest()
