"""Faults of what runs, for the campaign: files of a run, options, kills, and a full disk."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from anomaly_hep.atomic import atomic_path, write_text
from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.errors import of_the_machine
from anomaly_hep.evaluate.tablefiles import WRITERS
from anomaly_hep.settings import COMMANDS
from tests.faults.outcomes import KEPT, NAMED, SAME, SILENT, TRACEBACK, Row
from tests.faults.run_flips import READERS, count_flips, finished_run
from tests.faults.test_every_step import assert_same, every_state, last_of_each_position
from tests.trainings import fit, toy_data, two_phases

POISON = ("abc", "-1", "0", "nan", "null", "[]", "{}", "{a: 1}", "1e400", "''", "true", "1.5",
          "9999999999999999999", "'../x'", "[1, 2]", "1e-300", "'a b'", "???")  # fmt: skip
# what a command cannot be composed without
NEEDED: Mapping[str, list[str]] = {
    "score": ["checkpoint=a", "input=b", "output=c.csv"],
    "evaluate": ["run_dir=a"],
    "curve": ["run_dir=a"],
    "fetch": ["to=a"],
    "dashboard": ["run_dir=a", "entity=b"],
    "cluster": ["files=a"],
    "search": ["run=a"],
    "rate": ["run=a", "rate_hz=1", "input_rate_hz=2"],
}


def run_files(directory: Path, number: int) -> Iterator[Row]:
    """Yield flipped bits in each file of a finished run that is read back."""
    run = finished_run(directory)
    for name in READERS:
        counts = count_flips(run, name, number, seed=0)
        row = Row(f"flipped bit, {name} of a run")
        found = {NAMED: counts.refused, SAME: counts.same, SILENT: counts.other,
                 TRACEBACK: counts.traceback}  # fmt: skip
        row.outcomes.update({name: count for name, count in found.items() if count})
        yield row


def leaves(config: Any, key: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, of sections too."""
    if key:
        yield key
    if isinstance(config, Mapping):
        for name, inner in config.items():
            if str(name).replace("_", "").isalnum():
                yield from leaves(inner, f"{key}.{name}" if key else str(name))


def options(number: int | None = None) -> Row:
    """Give keys of all commands values that they may not have; None: every key every value."""
    row = Row("option: a key with a strange value")
    cases = [
        (name, f"{key}={value}")
        for name in COMMANDS
        for key in leaves(compose(name, NEEDED.get(name, [])))
        for value in POISON
    ]
    draw = random.Random(0)
    for name, override in cases if number is None else draw.sample(cases, number):
        row.try_(lambda name=name, o=override: _settings(name, o), "settings")
    return row


def _settings(name: str, override: str) -> str:
    needed = [
        o for o in NEEDED.get(name, []) if o.split("=")[0] != override.split("=", maxsplit=1)[0]
    ]
    settings_of(name, compose(name, [*needed, override]))
    return "settings"


def kills(directory: Path) -> Row:
    """Kill a training behind each write, and go on; all its files are then compared, bit by bit."""
    row = Row("training killed behind a write, and gone on")
    data, phases = toy_data(directory / "toys"), two_phases("one-cycle")
    with every_state(directory / "whole", directory / "states") as states:
        fit(directory / "whole", data, phases)
    with mock.patch("os.fsync"):
        for state in last_of_each_position(states):
            fit(state, data, phases)
            try:
                assert_same(directory / "whole", state)
            except AssertionError:
                row.outcomes[SILENT] += 1
            else:
                row.outcomes[SAME] += 1
    return row


@contextlib.contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """Yield a directory of a disk that holds so much; None where none may be mounted."""
    place = Path(tempfile.mkdtemp())
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def full_disk() -> Row:
    """Write tables and a text to a disk that becomes full: no half file stays."""
    row = Row("disk full in writing")
    table = pa.table({"score": np.random.default_rng(0).random(100_000)})
    writes: dict[str, Callable[[Path], None]] = {
        suffix: partial(_write_table, table, suffix) for suffix in WRITERS
    }
    for suffix, write in {**writes, ".txt": lambda path: write_text(path, "x" * 10**6)}.items():
        with small_disk(64) as place:
            if place is not None:
                row.outcomes[_written(place, write, suffix)] += 1
    return row


def _write_table(table: pa.Table, suffix: str, path: Path) -> None:
    with atomic_path(path) as temporary:
        writer = WRITERS[suffix](temporary, table.schema)
        writer.write(table)
        writer.close()


def _written(place: Path, write: Callable[[Path], None], suffix: str) -> str:
    (place / "before.txt").write_text("kept")
    try:
        write(place / f"out{suffix}")
    except Exception as error:
        rest = [path.name for path in place.iterdir()]
        return KEPT if of_the_machine(error) and rest == ["before.txt"] else TRACEBACK
    return SILENT
