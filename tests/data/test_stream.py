from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.selection import Selection
from anomaly_hep.data.stream import EventStream
from anomaly_hep.errors import BadFileError, ConfigError
from tests.data.files import numbered, unread

FEATURES = {"pt_rel": {}, "log_pt_rel": {"clip": 5}}
SIZES = [50, 0, 33, 21]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Slice]:
    return numbered(tmp_path_factory.mktemp("numbered"), SIZES)


def _stream(files: list[Slice], **choices: Any) -> EventStream:
    workers, restart = choices.pop("workers", 0), choices.pop("restart", False)
    reading = ParticleReading(
        features=FEATURES,
        selection=choices.pop("selection", {}),
        max_particles=choices.pop("max_particles", 128),
    )
    settings = {"batch_size": 8, "chunk_events": 7, "pool_batches": 3, "seed": 1, "shuffle": True}
    return EventStream(Plan(files, **settings | choices), reading, workers=workers, restart=restart)


def _indices(stream: EventStream) -> list[list[int]]:
    return [batch.index.tolist() for batch in stream]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_for_any_number_of_workers(files: list[Slice], workers: int) -> None:
    stream, alone = _stream(files, workers=workers), _stream(files)
    for _ in range(2):
        batches = _indices(stream)
        assert batches == _indices(alone)
        assert sorted(chain.from_iterable(batches)) == list(range(sum(SIZES)))


def test_events_keep_their_particles(files: list[Slice]) -> None:
    # jet_pt is 500 + event number, so pt_rel and log(pt_rel) say which jet a particle is from
    for batch in _stream(files):
        assert int(batch.lengths.sum()) == len(batch.features) == len(batch.types)
        torch.testing.assert_close(
            batch.features[:, 1].exp(),
            batch.features[:, 0].clamp(min=np.exp(-5)),
            rtol=1e-4,
            atol=0,
        )
    plain = next(iter(_stream(files, shuffle=False)))
    assert plain.index.tolist() == list(range(8))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop_at", [0, 1, 4, 12, 13])
def test_a_stream_goes_on_where_its_state_was_taken(
    files: list[Slice], workers: int, stop_at: int
) -> None:
    whole = _stream(files)
    expected = [_indices(whole), _indices(whole)]
    broken = _stream(files, workers=workers)
    iterator = iter(broken)
    first = [next(iterator).index.tolist() for _ in range(stop_at)]
    resumed = _stream(files, workers=workers)
    resumed.load_state_dict(broken.state_dict())
    rest = _indices(resumed)
    if stop_at == len(broken):
        # a state taken at the end of an epoch begins the next one
        assert [first, rest] == expected
    else:
        assert first + rest == expected[0]
        assert _indices(resumed) == expected[1]


def test_a_restarting_stream_begins_anew(files: list[Slice]) -> None:
    stream = _stream(files, restart=True, shuffle=False)
    next(iter(stream))
    assert next(iter(stream)).index.tolist() == list(range(8))


def test_rejected_truncated_and_clipped_are_counted_once(files: list[Slice]) -> None:
    stream = _stream(files, selection={"jet_pt": {"min": 510}}, max_particles=4)
    for _ in range(2):
        batches = list(stream)
        seen = chain.from_iterable(batch.index.tolist() for batch in batches)
        assert sorted(seen) == list(range(10, sum(SIZES)))
        assert max(int(b.lengths.max()) for b in batches) == 4
    counts = stream.reading.count_names(stream.counts)
    assert counts["events"] == sum(SIZES)
    assert counts["rejected_by_selection"] == 10
    assert counts["jets_truncated"] > 0
    assert set(counts["values_clipped"]) == {"pt_rel", "log_pt_rel"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_stops_the_stream_with_its_name(
    files: list[Slice], tmp_path: Path, workers: int
) -> None:
    broken = tmp_path / "ZJetsToNuNu_000.root"
    content = files[0].path.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadFileError, match="ZJetsToNuNu_000"):
        list(_stream([Slice(unread(str(broken)), 0, 50, 0)], workers=workers))


def test_a_cut_without_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="min, max or both"):
        Selection({"jet_pt": {"above": 3.0}})
