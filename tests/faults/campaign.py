"""The campaign of faults: `python -m tests.faults.campaign` injects them and counts the outcomes.

Allowed: the right result, the right result with a counted remark, or one line that names what is
wrong. The exit status is 1 where anything else occurred: other values without a word, an error that
is none of this package, an error of several lines.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.formats import jetclass2
from anomaly_hep.formats.judging import findings
from anomaly_hep.formats.ledger import file_sha256
from anomaly_hep.types import Events
from tests.faults import running
from tests.faults.doors import DOORS, read_events
from tests.faults.injections import FAULTS, write_foreign
from tests.faults.outcomes import CHANGED, NAMED, SILENT, Row
from tests.formats.test_jetrules import IMPOSSIBLE, spoilt

BY_ROOT = Path(__file__).parents[1] / "formats" / "by_root.root"


@dataclass(frozen=True)
class Source:
    """A good file; `whole` says whether its own checksums cover every value in it."""

    name: str
    make: Callable[[Path], object]
    suffix: str
    whole: bool = True
    read: Callable[[Path], Any] = read_events


def _foreign(path: Path) -> None:
    write_foreign(path, dict.copy)


def _by_root(path: Path) -> None:
    shutil.copy(BY_ROOT, path)


def _weights(path: Path) -> Any:
    model, reading, _ = load_model(path)
    return {name: value.numpy() for name, value in model.state_dict().items()}, reading


SOURCES = (
    Source("our ROOT", DOORS["root"].good, ".root"),
    Source("a user's ROOT", _foreign, ".root", whole=False),
    Source("ROOT's own ROOT", _by_root, ".root", whole=False),
    Source("our Parquet", DOORS["parquet"].good, ".parquet"),
    Source("a user's Parquet", _foreign, ".parquet", whole=False),
    Source("npz", DOORS["npz"].good, ".npz"),
    Source("HDF5", DOORS["hdf5"].good, ".h5", whole=False),
    Source("checkpoint", DOORS["checkpoint"].good, ".ckpt", read=_weights),
)


def flips(source: Source, directory: Path, number: int, seed: int = 0) -> Row:
    """Flip single bits."""

    def change(data: bytearray, draw: random.Random) -> bytearray:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return data

    return _changed("flipped bit", change, source, directory, number, seed)


def truncations(source: Source, directory: Path, number: int, seed: int = 0) -> Row:
    """Cut the end off."""

    def change(data: bytearray, draw: random.Random) -> bytearray:
        return data[: draw.randrange(len(data))]

    return _changed("cut short", change, source, directory, number, seed)


def zeros(source: Source, directory: Path, number: int, seed: int = 0) -> Row:
    """Replace a block by zeros, as a file system does that lost a page."""

    def change(data: bytearray, draw: random.Random) -> bytearray:
        start = draw.randrange(len(data))
        length = min(512, len(data) - start)
        data[start : start + length] = bytes(length)
        return data

    return _changed("block of zeros", change, source, directory, number, seed)


def appended(source: Source, directory: Path, number: int, seed: int = 0) -> Row:
    """Append bytes that do not belong there."""

    def change(data: bytearray, draw: random.Random) -> bytearray:
        return data + draw.randbytes(draw.randrange(1, 2000))

    return _changed("bytes appended", change, source, directory, number, seed)


def _changed(
    what: str,
    change: Callable[[bytearray, random.Random], bytearray],
    source: Source,
    directory: Path,
    number: int,
    seed: int,
) -> Row:
    row, draw = Row(f"{what}, {source.name}"), random.Random(seed)
    good = directory / f"good{source.suffix}"
    source.make(good)
    expected, content = source.read(good), good.read_bytes()
    written = file_sha256(good)
    for count in range(number):
        # another name each time: the caches know files by their names
        path = directory / f"{count}{source.suffix}"
        path.write_bytes(change(bytearray(content), draw))
        before = row.outcomes[SILENT]
        row.try_(lambda path=path: source.read(path), expected)
        if row.outcomes[SILENT] > before and not source.whole and file_sha256(path) != written:
            row.outcomes[SILENT] -= 1
            row.outcomes[CHANGED] += 1
        path.unlink()
    good.unlink()
    return row


def impossible_values() -> Row:
    """Put a value into one jet that no jet has."""
    row = Row("impossible value in one jet")
    for change, _ in IMPOSSIBLE.values():
        found = findings(jetclass2.LAYOUT, _as_parquet(spoilt(change)))
        named = bool(found) and "\n" not in str(found[0].error(Path("jets"), 7))
        row.outcomes[NAMED if named else SILENT] += 1
    return row


def _as_parquet(events: Events) -> Events:
    return Events(events.lengths, events.particles, events.events)


def wrong_content(directory: Path) -> Row:
    """Every way to be wrong that tests/faults/injections.py lists."""
    row = Row("wrong content (tests/faults/injections.py)")
    for number, fault in enumerate(FAULTS):
        path = directory / f"{number}{fault.suffix}"
        fault.inject(path)
        row.try_(lambda path=path, fault=fault: fault.read(path), None)
    return row


def strange_files(directory: Path) -> Row:
    """What a path may be instead of a file."""
    row = Row("no data file at the path")
    page = b"<!DOCTYPE html><title>404</title>"
    plain = {
        "html": page,
        "empty": b"",
        "magic": b"root",
        "zip": b"PK\x03\x04" + bytes(40),
        "hdf5": b"\x89HDF\r\n\x1a\n",
        "parquet": b"PAR1PAR1",
        "text": b"px,py,pz\n1,2,3\n",
    }
    for name, content in plain.items():
        (directory / f"{name}.root").write_bytes(content)
    (directory / "folder.root").mkdir()
    os.mkfifo(directory / "fifo.root")
    (directory / "loop.root").symlink_to("loop.root")
    (directory / "nowhere.root").symlink_to("/gone")
    (directory / "zero.root").symlink_to("/dev/zero")
    names = (*plain, "folder", "fifo", "loop", "nowhere", "zero", "missing", "n" * 300)
    for name in names:
        row.try_(lambda name=name: read_events(directory / f"{name}.root"), None)
    return row


def rows(directory: Path, flips_each: int, others_each: int) -> Iterator[Row]:
    """Yield the rows of the campaign, each as soon as it is done."""
    for source in SOURCES:
        yield flips(source, directory, flips_each)
        for kind in (truncations, zeros, appended):
            yield kind(source, directory, others_each)
    yield wrong_content(Path(tempfile.mkdtemp(dir=directory)))
    yield impossible_values()
    yield strange_files(Path(tempfile.mkdtemp(dir=directory)))
    yield from running.run_files(Path(tempfile.mkdtemp(dir=directory)), flips_each)
    yield running.options(1500)
    yield running.kills(Path(tempfile.mkdtemp(dir=directory)))
    yield running.full_disk()


def main(flips_each: int, others_each: int) -> int:
    """Print the campaign's counts; return how many outcomes are none of those promised."""
    torch.set_num_threads(1)
    begin, wrong, tries = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for row in rows(Path(directory), flips_each, others_each):
            counts = ", ".join(f"{number} {name}" for name, number in row.outcomes.most_common())
            print(f"{row.injection}: {row.outcomes.total()} tries: {counts}", flush=True)
            wrong, tries = wrong + row.wrong, tries + row.outcomes.total()
    minutes = (time.monotonic() - begin) / 60
    print(f"{tries} injections in {minutes:.1f} minutes, {wrong} with an outcome not promised")
    return wrong


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:3]] or [400, 20]
    sys.exit(1 if main(*given) else 0)
