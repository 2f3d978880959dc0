"""Which events train and validate: background alone, with some signal, or all with labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from anomaly_hep.data.batch import ImageBatch
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import reading_of
from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.formats import darkshowers, jetclass
from anomaly_hep.simulate.jetclass import PREFIXES
from tests.data.files import write_toy_images, write_toys
from tests.models.jets import make_model
from tests.modules import CONF, module_of
from tests.toys import toy_jets

SUEP = ["SUEP125", "SUEP200", "SUEP300", "SUEP400", "SUEP700", "SUEP1000"]
SVJ = ["SVJ2100", "SVJ3100", "SVJ4100"]
TRAIN, SIGNAL = 200, 12
ALL = ("*",)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("images")
    return write_toy_images(directory, train=TRAIN, signal=SIGNAL, test=2, val=20)


@pytest.fixture(scope="module")
def without_validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_images(tmp_path_factory.mktemp("images"), train=40, signal=8, test=2)


def _module(
    directory: Path, signal: Any = 0, labels: tuple[str, ...] = (), **choices: Any
) -> EventDataModule:
    chosen = {"signal_in_training": signal, "batch_size": 8, "chunk_events": 4, **choices}
    module = module_of("darkshowers", directory, **chosen)
    module.begin(labels, 0)
    return module


def _by_file(parts: list[Slice]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for part in parts:
        found.setdefault(part.path.stem, []).append((part.start, part.stop))
    return found


def _events_by_class(module: EventDataModule, split: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in module.parts(split):
        found[part.file.sample.label] += len(part)
    return found


def test_without_signal_only_background_files_are_opened(images: Path) -> None:
    module = _module(images, 0)
    module.setup("fit")
    assert _events_by_class(module, "train") == {"QCD": TRAIN}
    assert _events_by_class(module, "val") == {"QCD": 20}
    assert {label for _, label in module._opened._opened} == {"QCD"}


def test_a_share_is_of_the_background_for_each_group_in_equal_parts(images: Path) -> None:
    # 4 % of 200 are 8 of each group: 6 classes give 2, 2, 1, 1, 1, 1 and 3 give 3, 3, 2
    found = _events_by_class(_module(images, 0.04), "train")
    assert found.pop("QCD") == TRAIN
    assert [found[label] for label in SUEP] == [2, 2, 1, 1, 1, 1]
    assert [found[label] for label in SVJ] == [3, 3, 2]


def test_a_share_is_the_first_events_of_the_files_and_never_validates(images: Path) -> None:
    module = _module(images, 0.04)
    parts = module.parts("train")
    assert _by_file(parts)["svj_2100_0_7"] == [(0, 3)]
    assert _by_file(parts) == _by_file(_module(images, 0.04).parts("train"))
    assert _events_by_class(module, "val") == {"QCD": 20}
    numbers = [n for p in parts for n in range(p.first, p.first + p.stop - p.start)]
    assert numbers == list(range(TRAIN + 16))


def test_a_share_counts_training_background_alone(without_validation: Path) -> None:
    # a quarter of the 40 validates: 10 % of the other 30 are 3 of each group
    found = _events_by_class(_module(without_validation, 0.1), "train")
    assert found.pop("QCD") == 30
    assert sum(found[label] for label in SUEP) == sum(found[label] for label in SVJ) == 3


@pytest.mark.parametrize("signal", [0, 0.04])
def test_no_label_is_in_a_batch_of_a_phase_without_labels(images: Path, signal: float) -> None:
    module = _module(images, signal)
    module.setup("fit")
    for stream in (module.train_dataloader(), module.val_dataloader()):
        for batch in stream:
            assert type(batch) is ImageBatch
            assert batch.label is None


def test_all_gives_every_class_with_the_number_of_its_group(images: Path) -> None:
    module = _module(images, labels=ALL)
    module.setup("fit")
    labels = Counter()
    for batch in module.train_dataloader():
        assert batch.label is not None
        assert len(batch.label) == len(batch) == len(batch.lengths)
        labels.update(batch.label.tolist())
    # the 12 of each signal are cut like the background where there is no val file: a quarter
    assert labels == {0: TRAIN, 1: 6 * 9, 2: 3 * 9}
    validated = torch.cat([batch.label for batch in module.val_dataloader()])
    assert Counter(validated.tolist()) == {0: 20, 1: 6 * 3, 2: 3 * 3}


def test_labelled_validation_is_no_part_of_the_training(
    without_validation: Path,
) -> None:
    module = _module(without_validation, labels=ALL)
    train, val = _by_file(module.parts("train")), _by_file(module.parts("val"))
    assert train["svj_2100_0_7"] == [(0, 6)]
    assert val["svj_2100_0_7"] == [(6, 8)]
    assert _events_by_class(module, "val") == {"QCD": 10, **dict.fromkeys([*SUEP, *SVJ], 2)}


@pytest.mark.parametrize("workers", [0, 2])
def test_labels_stay_with_their_images(images: Path, workers: int) -> None:
    module = _module(images, labels=ALL, augmentation=False, num_workers=workers)
    module.setup("fit")
    # every image by its energies, with the label that its file says
    known = {}
    for path in (images / "train").glob("*.npz"):
        events = darkshowers.read(
            path, 0, darkshowers.describe(path).entries, ["hit_energy", "label"]
        )
        for start, stop, label in zip(
            events.offsets[:-1], events.offsets[1:], events.events["label"], strict=True
        ):
            known[events.particles["hit_energy"][start:stop].tobytes()] = int(label)
    seen = 0
    for batch in module.train_dataloader():
        energies = batch.energy.split(batch.lengths.tolist())
        for energy, label in zip(energies, batch.label.tolist(), strict=True):
            assert known[energy.numpy().tobytes()] == label
            seen += 1
    assert seen == TRAIN + 9 * 9


def test_events_are_numbered_once(images: Path) -> None:
    module = _module(images, labels=ALL)
    module.setup("fit")
    index = np.concatenate([batch.index.numpy() for batch in module.train_dataloader()])
    assert len(np.unique(index)) == len(index)


def test_scoring_reads_no_label_whatever_trained(images: Path) -> None:
    module = _module(images, labels=ALL)
    reading = reading_of(module.hparams["reading"], module.hparams["inputs"])
    assert "label" not in reading.columns
    assert type(module.reading) is type(reading)


def test_labels_of_some_classes_are_seen_and_no_others(images: Path) -> None:
    module = _module(images, labels=("SVJ2100", "SUEP400"))
    module.setup("fit")
    labels = torch.cat([batch.label for batch in module.train_dataloader()])
    assert Counter(labels.tolist()) == {0: TRAIN, 1: 9, 2: 9}
    assert {label for _, label in module._opened._opened} == {"QCD", "SUEP400", "SVJ2100"}


def test_the_next_phase_sees_labels_no_more_and_shuffles_otherwise(images: Path) -> None:
    module = _module(images, labels=ALL)
    orders = []
    for number, labels in enumerate((ALL, (), ())):
        module.begin(labels, number)
        module.setup("fit")
        batches = list(module.train_dataloader())
        assert all((batch.label is None) == (not labels) for batch in batches)
        orders.append(torch.cat([batch.index for batch in batches]).tolist())
    assert sorted(orders[1]) == sorted(orders[2]) == list(range(TRAIN))
    assert orders[1] != orders[2]


def test_a_model_that_takes_types_refuses_data_without(tmp_path: Path) -> None:
    module = module_of("jetclass", tmp_path, particle_types=False)
    with pytest.raises(ConfigError, match=r"Set-VAE takes types.*use_pid=false"):
        module.reading.check(make_model("model=setvae"))
    module.reading.check(make_model("model=setvae", "model.use_pid=false"))


def test_labelled_jets_without_groups_have_a_number_for_each_class(tmp_path: Path) -> None:
    """data.signal_in_training=all trained on jets without any label, and did not say so."""
    directory = write_toys(tmp_path, train=30, test=12)
    for label in ("Hbb", "Tbl"):
        for seed, split in enumerate(("train", "val")):
            events = toy_jets(5, label=label, seed=90 + seed)
            jetclass.write(directory / split / f"{PREFIXES[label]}_000.root", [events])
    module = module_of("jetclass", directory)
    module.begin(("Tbl", "Hbb"), 0)
    module.setup("fit")
    for loader, background in ((module.train_dataloader(), 30), (module.val_dataloader(), 12)):
        labels = torch.cat([batch.label for batch in loader])
        assert Counter(labels.tolist()) == {0: background, 1: 5, 2: 5}


def test_labels_of_no_class_are_refused(images: Path) -> None:
    with pytest.raises(ConfigError, match="SVJ1, which is no class"):
        _module(images, labels=("SVJ1",))


@pytest.mark.parametrize("signal", ["some", "all", -0.1, 1.5, True])
def test_other_values_are_refused(images: Path, signal: Any) -> None:
    with pytest.raises(ConfigError, match=r"signal_in_training=.*Cure"):
        _module(images, signal)


def test_too_few_signals_are_refused_with_their_number(images: Path) -> None:
    with pytest.raises(MissingDataError, match=r"33 training events of SUEP125, but there are 12"):
        _module(images, 0.98).parts("train")


def test_signals_without_a_group_are_refused(images: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs data\.groups"):
        _module(images, 0.01, groups=None).parts("train")
    with pytest.raises(ConfigError, match=r"SUEP125.* in none of data\.groups"):
        _module(images, labels=ALL, groups={"SVJ": SVJ}).setup("fit")
    with pytest.raises(ConfigError, match="is no class"):
        _module(images, 0.01, groups={"SVJ": ["SVJ1"]}).parts("train")
    with pytest.raises(ConfigError, match="another group"):
        _module(images, 0.01, groups={"a": SVJ, "b": SVJ}).parts("train")


def test_models_that_need_signals_ask_for_the_same_production() -> None:
    sizes = [
        yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())["data"]["simulation"]["sizes"]
        for name in ("cct", "dirichletvae")
    ]
    assert sizes[0] == sizes[1]
    assert set(sizes[0]["train"]) == {*SUEP, *SVJ}
