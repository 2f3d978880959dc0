"""The doors through which bytes of others come in, and a small good file for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomaly_hep.arguments import split
from anomaly_hep.configuration import read_override
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.formats import darkshowers, darkshowers_raw, files, jetclass, jetclass2
from anomaly_hep.formats.judging import findings
from anomaly_hep.types import Events
from tests.data.files import write_toys
from tests.formats.test_darkshowers_raw import sparse
from tests.formats.test_jetclass2 import toy_jets2
from tests.fpga.models import write_checkpoint
from tests.toys import toy_jets


@dataclass(frozen=True)
class Door:
    """How bytes come in: a good example, and what reads them.

    enter raises an AnomalyHepError, or returns what was understood.
    """

    suffix: str
    good: Callable[[Path], object]
    enter: Callable[[Path], object]


def read_events(path: Path) -> Events:
    """Read a file as `score` does: all columns of its format, judged."""
    module = files.format_of(path)
    described = module.describe(path)
    known = [name for name in module.LAYOUT.names if name in described.columns]
    if module is jetclass2:
        known = [name for name in known if name in jetclass2.WRITTEN.names]
    events = files.read(path, 0, described.entries, known)
    files.stored(path, 0, described.entries, described.columns)
    assert findings(module.LAYOUT, events) == []
    return events


def read_overrides(path: Path) -> object:
    """Take each line of the file as an argument of a training, as far as the grammar."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    options, overrides = split(lines)
    return options, [read_override(override) for override in overrides]


def _images(path: Path) -> None:
    rng = np.random.default_rng(3)
    dense = np.where(rng.random((2, 72, 58, 3)) < 0.003, 1.5, 0).astype(np.float32)
    events = darkshowers.as_events(dense)
    own = {"label": np.zeros(2, np.int64), "mass": np.zeros(2, np.float32)}
    own["n_tracks"] = events.events["hits"].astype(np.float32)
    darkshowers.write(path, [Events(events.lengths, events.particles, events.events | own)])


def _checkpoint(path: Path) -> None:
    toys = write_toys(path.parent / "toys", train=30, test=10, files=1)
    small = ("layers=1", "decoder_layers=1", "d_model=4", "d_ff=4")
    write_checkpoint(path, toys, *(f"model.encoder.{choice}" for choice in small))


DOORS: dict[str, Door] = {
    "root": Door(
        ".root", lambda path: jetclass.write(path, [toy_jets(3, mean_particles=3)]), read_events
    ),
    "parquet": Door(
        ".parquet", lambda p: jetclass2.write(p, [toy_jets2(3, mean_particles=3)]), read_events
    ),
    "npz": Door(".npz", _images, read_events),
    "hdf5": Door(
        ".h5", lambda p: darkshowers_raw.write(p, [sparse().take(np.arange(1))]), read_events
    ),
    "checkpoint": Door(".ckpt", _checkpoint, load_model),
    "overrides": Door(
        ".txt",
        lambda p: p.write_text(
            "model=setvae\nmodel.beta=0.1\ndata.dir=a b\n~data.samples.test.Tbl\n"
            "+trainer.max_steps=3\nmodel.phases.train.optimizer.lr=1e-3\nseed=12\n"
        ),
        read_overrides,
    ),
}
