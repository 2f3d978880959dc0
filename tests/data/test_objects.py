"""Objects of events as batches, their order in splits, their weights and their processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anomaly_hep.commands.train import make_data
from anomaly_hep.data.inspection import event_hashes
from anomaly_hep.data.mixture import mixtures, uneven
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.objects import OBJECT_TYPES, ObjectReading, with_missing_momentum
from anomaly_hep.data.samples import SampleFile, share_of
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import darkmachines
from anomaly_hep.types import Events
from tests.modules import data_of
from tests.toys import toy_objects

FEATURES = {
    "object_log10_energy": {"clip": 4},
    "object_log10_pt": {"clip": 4},
    "object_eta": {"clip": 5},
    "object_phi": {},
}
SPLITS = {"train": [0, 0.8], "val": [0.8, 0.9], "test": [0.9, 1]}


def reading(most: int = 19) -> ObjectReading:
    return ObjectReading(selection={}, features=FEATURES, max_particles=most)


def module(directory: Path, **choices: object) -> EventDataModule:
    samples = {s: {"SM": {"files": "b_*", "entries": e}} for s, e in SPLITS.items()}
    common = {"samples": samples, "directories": None, "simulation": None, "batch_size": 50}
    data = data_of("darkmachines", directory, **{**common, "title": "t", **choices})
    return make_data(data, 1)


def write(path: Path, *parts: Events) -> Path:
    darkmachines.write(path, parts)
    return path


def test_missing_momentum_is_the_first_object() -> None:
    events = toy_objects(3)
    batch, _ = reading().batch(events, np.arange(3), "x")
    assert batch.lengths.tolist() == (events.lengths + 1).tolist()
    first = batch.lengths.cumsum(0) - batch.lengths
    assert batch.known_types[first].tolist() == [OBJECT_TYPES.index("missing_momentum")] * 3
    met = torch.from_numpy(events.events["met"])
    # E = 0 has the logarithm 0, as in the published code
    expected = torch.stack([0 * met, met.log10(), 0 * met], 1)
    torch.testing.assert_close(batch.features[first, :3], expected)
    torch.testing.assert_close(batch.features[first, 3], torch.from_numpy(events.events["met_phi"]))
    others = torch.ones(len(batch.features), dtype=torch.bool)
    others[first] = False
    pt = torch.from_numpy(events.particles["obj_pt"]).log10()
    torch.testing.assert_close(batch.features[others, 1], pt)
    assert batch.known_types[others].tolist() == (events.particles["obj_type"] - 1).tolist()


def test_a_trigger_is_told_of_types_and_of_missing_momentum() -> None:
    events = toy_objects(5, seed=2)
    batch, _ = reading().batch(events, np.arange(5), "x")
    rows = reading().constituents(batch)
    assert int((~rows).sum()) == len(events)
    met = torch.from_numpy(events.events["met"]).log10()
    own = reading().event_features
    assert own == {"missing_log10_pt": "object_log10_pt", "missing_phi": "object_phi"}
    column = reading().feature_names.index(own["missing_log10_pt"])
    torch.testing.assert_close(batch.features[~rows, column], met)
    assert reading().momentum == "object_log10_pt"
    assert int(batch.known_types[rows].max()) < len(reading().type_names) == len(OBJECT_TYPES) - 1


def test_the_hardest_objects_are_kept_and_the_cut_is_counted() -> None:
    events = toy_objects(20, seed=3)
    batch, counts = reading(5).batch(events, np.arange(20), "x")
    assert counts.truncated == int((events.lengths > 5).sum())
    assert int(batch.lengths.max()) == 6
    first = with_missing_momentum(events.take(np.array([0])))
    kept = np.sort(first.particles["obj_pt"][1:])[::-1][:5]
    found = 10 ** batch.features[1 : int(batch.lengths[0]), 1]
    assert sorted(found.tolist(), reverse=True) == pytest.approx(kept, rel=1e-5)


def test_values_beyond_all_physics_are_clipped_and_counted() -> None:
    events = toy_objects(10)
    events.particles["obj_energy"][0] = 4e4
    _, counts = reading().batch(events, np.arange(10), "x")
    assert reading().count_names(counts)["values_clipped"]["object_log10_energy"] == 1


def test_the_summary_has_the_momenta_and_numbers_of_the_event() -> None:
    events = toy_objects(4, seed=5)
    batch, _ = reading().batch(events, np.arange(4), "x")
    found = dict(zip(reading().summary_names, reading().summary(batch).T, strict=True))
    assert found["met"].numpy() == pytest.approx(np.log10(1 + events.events["met"]), rel=1e-5)
    edges = events.offsets
    for i in range(4):
        kinds = events.particles["obj_type"][edges[i] : edges[i + 1]]
        pt = events.particles["obj_pt"][edges[i] : edges[i + 1]]
        assert found["number_jet"][i] == (kinds == 1).sum()
        leptons = pt[(kinds >= 3) & (kinds <= 6)]
        assert found["sum_pt_lepton"][i] == pytest.approx(np.log10(1 + leptons.sum()), rel=1e-5)
        assert found["max_pt_jet"][i] == pytest.approx(
            np.log10(1 + pt[kinds == 1].max(initial=0)), rel=1e-5
        )


@pytest.mark.parametrize("order", ["file", "hash"])
def test_every_event_is_in_one_split(tmp_path: Path, order: str) -> None:
    for i in range(3):
        write(tmp_path / f"b_{i}.csv.gz", toy_objects(200, seed=i))
    data = module(tmp_path, order=order)
    seen: list[tuple[str, int]] = []
    sizes = {}
    for split in SPLITS:
        files = data.files(split, "SM")
        seen += [(str(f.path), int(n)) for f in files for n in f.numbers(0, len(f))]
        sizes[split] = sum(map(len, files))
    assert len(seen) == len(set(seen)) == 600
    if order == "file":
        assert sizes == {"train": 480, "val": 60, "test": 60}
    else:
        assert sizes["train"] == pytest.approx(480, abs=50)
    assert seen[0] == (str(tmp_path / "b_0.csv.gz"), 0) or order == "hash"


def test_the_hash_mixes_what_stands_in_blocks(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b_0.csv.gz",
        toy_objects(900, seed=1, processes=("ttbar",)),
        toy_objects(300, seed=2, processes=("wjets",)),
    )
    by_file = mixtures(module(tmp_path))
    assert by_file["test"] == {"wjets": 120}
    (said,) = uneven(by_file)
    assert "ttbar is 0.0% of test and 75.0% of all" in said
    assert "data.order=hash" in said
    by_hash = mixtures(module(tmp_path, order="hash"))
    assert by_hash["test"]["ttbar"] > by_hash["test"]["wjets"] > 10
    assert list(uneven(by_hash)) == []
    described = darkmachines.describe(path)
    whole = [SampleFile.whole(described)]
    assert sum(map(len, share_of(whole, (0.0, 1.0), "hash"))) == 1200


def test_hashes_are_even_and_follow_from_the_values() -> None:
    events = toy_objects(4000)
    numeric = {n: v for n, v in events.events.items() if v.dtype.kind != "U"}
    some = Events(events.lengths, {}, numeric)
    hashes = event_hashes(some)
    assert np.array_equal(hashes, event_hashes(some))
    assert len(np.unique(hashes)) == 4000
    tenths = np.bincount((hashes / 2.0**64 * 10).astype(int), minlength=10)
    assert (np.abs(tenths - 400) < 5 * 20).all()


def test_an_unknown_column_of_processes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b_0.csv.gz", toy_objects(50))
    with pytest.raises(ConfigError, match=r"data\.process=nope is no column"):
        mixtures(module(tmp_path, process="nope"))


def test_resampled_events_are_as_frequent_as_their_weights(tmp_path: Path) -> None:
    events = toy_objects(4000, seed=4)
    events.events["weight"][:] = np.where(np.arange(4000) % 4 == 0, 5.0, 1.0)
    write(tmp_path / "b_0.csv.gz", events)
    data = module(tmp_path, weighting="resample", pool_batches=4)
    data.setup("fit")
    batches = list(data.train_dataloader())
    index = torch.cat([batch.index for batch in batches])
    weight = torch.cat([batch.weight for batch in batches])
    assert len(index) == 3200
    heavy = (index % 4 == 0).double().mean()
    # 5 of 8 parts of the weight are in every fourth event
    assert heavy == pytest.approx(5 / 8, abs=0.02)
    assert float(weight.sum()) == pytest.approx(3200 * 2.0, rel=0.02)
    assert torch.cat([b.weight for b in data.val_dataloader()]).unique().tolist() == [1.0, 5.0]


def test_negative_weights_are_refused_for_resampling_alone(tmp_path: Path) -> None:
    events = toy_objects(200)
    events.events["weight"][3] = -1.0
    write(tmp_path / "b_0.csv.gz", events)
    module(tmp_path).setup("fit")
    with pytest.raises(ConfigError, match="1 events of SM have negative weights"):
        module(tmp_path, weighting="resample").setup("fit")
