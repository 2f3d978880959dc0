"""Samples: one file of two classes, splits by file order, and weights from file to batch."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch
import uproot
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.samples import SampleFile, sample_file, samples_of, share_of
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats import jetclass
from anomaly_hep.types import Events, FileDescription, Sample
from tests.data.files import unread, whole
from tests.modules import module_of
from tests.toys import toy_jets

BACKGROUND, SIGNAL = {"label_QCD": {"min": 0.5}}, {"label_Hbb": {"min": 1}}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Events]:
    """A file of 300 QCD and 100 Hbb jets in random order, as the LHC Olympics have one."""
    parts = [toy_jets(300, seed=1, mean_particles=6), toy_jets(100, label="Hbb", seed=2)]
    events = Events.concatenate(parts).take(np.random.default_rng(3).permutation(400))
    np.copyto(events.events["jet_pt"], 500 + np.arange(400), casting="same_kind")
    path = tmp_path_factory.mktemp("mixed") / "events.root"
    jetclass.write(path, [events])
    return path, events


def module(directory: Path, samples: dict[str, Any], **choices: Any) -> EventDataModule:
    chosen = {"samples": samples, "directories": {}, "batch_size": 16, "pool_batches": 2}
    return module_of("jetclass", directory, **(chosen | {"chunk_events": 30} | choices))


def one_file(**keys: Any) -> dict[str, Any]:
    """A data set of one file: background and signal by their truth, splits by file order."""
    split = {"train": [0, 0.5], "val": [0.5, 0.75], "test": [0.75, 1]}
    return {
        name: {
            "QCD": {"files": "events.root", "where": BACKGROUND, "entries": entries, **keys},
            "Hbb": {"files": "events.root", "where": SIGNAL, "entries": entries, **keys},
        }
        for name, entries in split.items()
    }


# ---- which events


def test_a_truth_column_says_which_events_are_of_the_class(mixed: tuple[Path, Events]) -> None:
    path, events = mixed
    for where, column in ((BACKGROUND, "label_QCD"), (SIGNAL, "label_Hbb")):
        found = sample_file(jetclass.describe(path), Sample("any", (), where))
        expected = [entry for entry in range(400) if events.events[column][entry]]
        assert found.numbers(0, len(found)).tolist() == expected
        read = found.read(7, 60, ["jet_pt", "part_px"])
        assert read.events["jet_pt"].tolist() == [500 + entry for entry in expected[7:60]]
        truth = events.take(np.array(expected[7:60]))
        np.testing.assert_array_equal(read.particles["part_px"], truth.particles["part_px"])
        assert len(found.read(5, 5, ["jet_pt"])) == 0


def test_events_far_apart_are_read_without_what_lies_between(tmp_path: Path) -> None:
    path = tmp_path / "events.root"
    jets = toy_jets(20_000, mean_particles=3)
    np.copyto(jets.events["jet_sdmass"], np.arange(20_000), casting="same_kind")
    jetclass.write(path, [jets])
    entries = np.array([3, 4095, 4096, 4097, 19_999])
    found = SampleFile(jetclass.describe(path), Sample("rare", ()), entries)
    assert found.read(0, 5, ["jet_sdmass"]).events["jet_sdmass"].tolist() == entries.tolist()
    assert found.read(1, 4, ["jet_sdmass"]).lengths.tolist() == jets.lengths[entries[1:4]].tolist()


SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=5)


@given(SIZES, st.lists(st.floats(0, 1), max_size=3), st.data())
def test_shares_of_the_events_are_a_partition(
    sizes: list[int], cuts: list[float], data: st.DataObject
) -> None:
    chosen = [
        None if data.draw(st.booleans()) else np.sort(np.random.default_rng(n).permutation(50)[:n])
        for n in sizes
    ]
    files = [
        SampleFile(unread(f"{i}", n).description, Sample("any", ()), entries)
        for i, (n, entries) in enumerate(zip(sizes, chosen, strict=True))
    ]

    def events(files: list[SampleFile]) -> list[tuple[Path, int]]:
        return [(f.path, int(entry)) for f in files for entry in f.numbers(0, len(f))]

    edges = sorted({0.0, 1.0, *cuts})
    parts = [share_of(files, (a, b)) for a, b in pairwise(edges)]
    assert [event for part in parts for event in events(part)] == events(files)
    for part, first, last in zip(parts, edges[:-1], edges[1:], strict=True):
        assert abs(sum(map(len, part)) - (last - first) * sum(sizes)) <= 1


def test_one_file_gives_both_classes_of_every_split(mixed: tuple[Path, Events]) -> None:
    path, events = mixed
    data = module(path.parent, one_file())
    data.begin(("Hbb",), 0)
    data.setup("fit")
    truth = events.events["label_Hbb"]
    background, signal = np.flatnonzero(~truth), np.flatnonzero(truth)
    seen = {
        "train": [*background[:150], *signal[:50]],
        "val": [*background[150:225], *signal[50:75]],
    }
    # the first particle's distance in eta tells which jet a jet is
    angle = events.particles["part_deta"][events.offsets[:-1]]
    for loader, split in ((data.train_dataloader(), "train"), (data.val_dataloader(), "val")):
        found = {}
        for batch in loader:
            first = batch.lengths.cumsum(0) - batch.lengths
            angles = batch.features[first, 1].tolist()
            found |= dict(zip(angles, batch.label.tolist(), strict=True))
        assert found == {float(angle[entry]): int(truth[entry]) for entry in seen[split]}
    (tests,) = data.files("test", "Hbb")
    assert tests.numbers(0, len(tests)).tolist() == signal[75:].tolist()
    # each event is counted for the split and class that it belongs to
    data.files("test", "QCD")
    assert data.ledger.to_json()["events"] == 400


def test_a_class_that_is_not_listed_is_named(mixed: tuple[Path, Events]) -> None:
    samples = one_file()
    del samples["train"]["Hbb"]
    with pytest.raises(MissingDataError, match=r"data\.samples\.train has no Hbb"):
        module(mixed[0].parent, samples).files("train", "Hbb")
    del samples["train"]["QCD"]
    with pytest.raises(ConfigError, match=r"background=QCD is no class of data\.samples\.train"):
        module(mixed[0].parent, samples)


def test_two_patterns_and_absolute_names_are_found(mixed: tuple[Path, Events]) -> None:
    samples = one_file()
    samples["test"]["QCD"] = {"files": ["*.parquet", "ev*.root", "events.*"]}
    (found,) = module(mixed[0].parent, samples).files("test", "QCD")
    assert (found.path, len(found)) == (mixed[0], 400)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"file": "a"}, r"data.samples.test.QCD.file does not exist. Cure: a sample has files"),
        ({}, r"data.samples.test.QCD.files=\(\). Cure: give a pattern"),
        ({"files": [3]}, r"data.samples.test.QCD.files=\[3\]"),
        ({"files": "a", "entries": [0.5, 0.2]}, r"entries=\[0.5, 0.2\]. Cure: give two shares"),
        ({"files": "a", "entries": [0, 1.5]}, r"entries=\[0, 1.5\]"),
        ({"files": "a", "entries": [0.1]}, r"entries=\[0.1\]. Cure: give two shares"),
        ({"files": "a", "where": {"truth": {"above": 3}}}, r"QCD.where.truth has above"),
    ],
)
def test_samples_that_cannot_be_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        samples_of({"test": {"QCD": keys}}, None)
    with pytest.raises(ConfigError, match=r"data.samples.tests does not exist"):
        samples_of({"tests": {}}, None)


# ---- weights


def test_weights_go_with_their_events_into_batches(mixed: tuple[Path, Events]) -> None:
    data = module(mixed[0].parent, one_file(weight="jet_pt"))
    data.setup("fit")
    truth = np.flatnonzero(mixed[1].events["label_QCD"])
    for loader, first in ((data.train_dataloader(), 0), (data.val_dataloader(), 150)):
        for batch in loader:
            assert batch.weight.dtype == torch.float32
            np.testing.assert_array_equal(batch.weight, 500 + truth[first + batch.index.numpy()])


def test_a_weight_of_all_samples_holds_where_none_is_named() -> None:
    listed = {"test": {"QCD": {"files": "a"}, "Hbb": {"files": "b", "weight": "own"}}}
    samples = samples_of(listed, "common")
    assert [sample.weight for sample in samples["test"].values()] == ["common", "own"]
    assert samples_of(listed, None)["test"]["QCD"].weight is None


def write_user(path: Path, weights: list[float]) -> Path:
    """Jets with a branch of weights that the format does not know."""
    jets = toy_jets(len(weights), seed=zlib.crc32(path.name.encode()))
    lists = {n: ak.unflatten(v, jets.lengths) for n, v in jets.particles.items()}
    columns = {**lists, **jets.events, "w": np.array(weights)}
    with uproot.recreate(path) as file:
        types = {
            n: c.type.content if isinstance(c, ak.Array) else c.dtype for n, c in columns.items()
        }
        file.mktree("tree", types)
        file["tree"].extend(columns)
    return path


@pytest.mark.parametrize(
    ("weights", "column", "said"),
    [
        ([1.0, 2.0, np.inf, 1.0], "w", r"branch 'w', entry 2: the value is inf"),
        ([1.0, np.nan, 1.0, 1.0], "w", r"branch 'w', entry 1: the value is nan"),
        ([1.0] * 4, "weight", r"branch 'weight': the branch is missing"),
        ([1.0] * 4, "part_px", r"branch 'part_px': it holds a list per event"),
    ],
)
def test_bad_weights_are_refused_before_any_batch(
    tmp_path: Path, weights: list[float], column: str, said: str
) -> None:
    write_user(tmp_path / "a.root", weights)
    listed = {"QCD": {"files": "a.root", "weight": column}}
    data = module(tmp_path, {"train": listed, "val": listed, "test": listed})
    with pytest.raises(BadFileError, match=said):
        data.setup("fit")


def test_a_file_with_bad_weights_may_be_skipped(tmp_path: Path) -> None:
    samples = {}
    for split in ("train", "val", "test"):
        write_user(tmp_path / f"{split}_a.root", [1.0, float("inf")])
        write_user(tmp_path / f"{split}_b.root", [1.0, 3.0])
        samples[split] = {"QCD": {"files": f"{split}_*.root", "weight": "w"}}
    data = module(tmp_path, samples, on_bad_file="skip", max_bad_fraction=0.5)
    data.setup("fit")
    (batch,) = data.val_dataloader()
    assert batch.weight.tolist() == [1.0, 3.0]
    assert [entry["branch"] for entry in data.ledger.to_json()["refused"]] == ["w"] * 3


def test_events_without_weights_count_as_one(mixed: tuple[Path, Events]) -> None:
    data = module(mixed[0].parent, one_file())
    data.setup("fit")
    assert all((batch.weight == 1).all() for batch in data.train_dataloader())


def test_all_events_of_a_file_are_a_sample_too(mixed: tuple[Path, Events]) -> None:
    file = whole(mixed[0])
    assert isinstance(file.description, FileDescription)
    assert len(file) == 400
    assert file.numbers(3, 6).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"test": {"QCD": {"entries": [0.5, 1]}}}, "QCD and to .*test.QCD"),
        ({"val": {"QCD": {"entries": [0, 0.1]}}}, "data.samples.train.QCD and to .*val.QCD"),
        ({"test": {"Hbb": {"where": BACKGROUND}}}, "data.samples.train.QCD and to .*test.Hbb"),
        ({"test": {"Hbb": {"where": {"jet_pt": {"min": 1e9}}}}}, "test.Hbb holds no event"),
        ({"test": {"Hbb": {"entries": [0, 0.001]}}}, "test.Hbb holds no event"),
        ({"train": {"QCD": {"weight": "label_Tbl"}}}, "train.QCD have the weight 0"),
    ],
)
def test_samples_that_are_empty_or_share_events_are_refused_before_the_training(
    mixed: tuple[Path, Events], changed: dict[str, dict[str, Any]], said: str
) -> None:
    path, _ = mixed
    samples = one_file()
    for split in ("train", "val"):
        del samples[split]["Hbb"]
    samples["test"]["Hbb"]["entries"] = [0, 1]
    module(path.parent, samples).setup("fit")
    for split, classes in changed.items():
        for label, keys in classes.items():
            samples[split][label] = {**samples[split][label], **keys}
    with pytest.raises((ConfigError, MissingDataError), match=said):
        module(path.parent, samples).setup("fit")
