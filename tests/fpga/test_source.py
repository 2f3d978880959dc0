"""A trained model as a source: its checkpoint, its events within limits, its own encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.plan import Slice
from anomaly_hep.errors import CheckpointError, ConfigError, ExportError
from anomaly_hep.fpga.source import Source, _limited
from tests.data.files import unread, write_toys
from tests.fpga.models import read_fpga_settings, write_checkpoint
from tests.models.jets import make_model
from tests.toys import CLASSES

BITS = "{weight_bits:5,activation_bits:6,input_bits:7,output_bits:8}"
TRIGGER = ("model/encoder=trigger", "model.encoder.constituents=5", "model.encoder.phi=[6,4]",
           "model.encoder.rho=[3]", "model.latent_dim=2")  # fmt: skip
SETTINGS = read_fpga_settings(
    "fpga.constituents=4", "fpga.inputs={pt_rel: 8, log_pt: 4}", "fpga.phi=[8]",
    "fpga.rho=[]", "fpga.latent_dim=3", "fpga.training_events=70", "fpga.test_events=7",
    "fpga.weight_bits=8", "fpga.score=kl", "fpga.outputs=[score,decision]",
)  # fmt: skip


@contextmanager
def _timed(name: str) -> Iterator[None]:
    yield


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_toys(tmp_path_factory.mktemp("toys"), train=120, test=12, files=3)
    write_checkpoint(directory / "deepset.ckpt", directory, "model.encoder.layers=1")
    write_checkpoint(directory / "trigger.ckpt", directory, *TRIGGER)
    write_checkpoint(
        directory / "quantized.ckpt", directory, *TRIGGER, f"model.quantization={BITS}"
    )
    return directory


def test_events_stay_within_their_limits(toys: Path, tmp_path: Path) -> None:
    source = Source.open(toys / "deepset.ckpt", None)
    assert source.background == "QCD"
    jets = {
        name: source.jets(name, SETTINGS, tmp_path, _timed)
        for name in ("training", "validation", "test")
    }
    # 120 training events of which 70 are asked for, 12 of validation, 7 of each class
    assert [len(part) for part in jets.values()] == [70, 12, 70]
    assert {*jets["training"].labels, *jets["validation"].labels} == {"QCD"}
    labels, counts = np.unique(jets["test"].labels, return_counts=True)
    assert set(labels) == set(CLASSES)
    assert set(counts) == {7}
    # shuffled: the first ten are not one class
    assert len(set(jets["test"].labels[:10])) > 2
    assert jets["training"].inputs.shape == (70, 4, 2 + 8)


def test_events_are_kept_for_the_next_run(toys: Path, tmp_path: Path) -> None:
    source = Source.open(toys / "deepset.ckpt", None)
    first = source.jets("validation", SETTINGS, tmp_path, _timed)

    def never(name: str) -> Any:
        raise AssertionError(name)

    again = source.jets("validation", SETTINGS, tmp_path, never)
    for name in ("labels", "inputs", "score", "score_of_hardest", "mass", "context"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert [path.name for path in (tmp_path / "events").iterdir()] == ["validation.npz"]


def test_events_that_an_earlier_version_kept_are_read_anew(toys: Path, tmp_path: Path) -> None:
    source = Source.open(toys / "deepset.ckpt", None)
    first = source.jets("validation", SETTINGS, tmp_path, _timed)
    path = tmp_path / "events" / "validation.npz"
    np.savez(path, **{n: v for n, v in vars(first).items() if n != "mass"})
    again = source.jets("validation", SETTINGS, tmp_path, _timed)
    np.testing.assert_array_equal(again.score, first.score)
    assert np.isnan(again.mass).all()
    with np.load(path) as kept:
        assert "mass" in kept


@pytest.fixture
def run(toys: Path, tmp_path: Path) -> Path:
    """The checkpoint of a run whose configuration names the mass."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    path.write_bytes((toys / "deepset.ckpt").read_bytes())
    (tmp_path / "run" / "config.yaml").write_text("data: {mass: jet_sdmass}\n")
    return path


def test_the_mass_is_the_column_that_the_run_names(toys: Path, run: Path, tmp_path: Path) -> None:
    source = Source.open(run, str(toys))
    assert source.mass == "jet_sdmass"
    chosen = source.settings(replace(SETTINGS, decorrelate="mass"))
    jets = source.jets("training", chosen, tmp_path / "a", _timed)
    # tests.toys: uniform between 10 and 200 GeV
    assert 10 < jets.mass.min() < 60
    assert 150 < jets.mass.max() < 200
    # who does not ask for it reads none
    assert np.isnan(source.jets("training", SETTINGS, tmp_path / "b", _timed).mass).all()


def test_without_a_mass_nothing_depends_on_it(toys: Path, run: Path) -> None:
    asked = replace(SETTINGS, decorrelate="mass")
    alone = Source.open(toys / "deepset.ckpt", None)
    assert alone.mass is None
    with pytest.raises(ConfigError, match=r"no data\.mass is known of .*Cure: train with data\.m"):
        alone.settings(asked)
    (run.parent.parent / "config.yaml").write_text("data: {mass: null}\n")
    with pytest.raises(ConfigError, match=r"no data\.mass is known of .*Cure: train with data\.m"):
        Source.open(run, str(toys)).settings(asked)


def test_a_teacher_is_one_of_the_models_scores(toys: Path, run: Path, tmp_path: Path) -> None:
    source = Source.open(run, str(toys))
    named = source.settings(replace(SETTINGS, teacher="total"))
    summary = source.summary(named)
    assert (summary.score, summary.learned) == ("total", "total loss")
    assert source.summary(SETTINGS).learned == "encoder's score"
    found = source.jets("validation", named, tmp_path / "a", _timed)
    own = source.jets("validation", SETTINGS, tmp_path / "b", _timed)
    np.testing.assert_array_equal(found.inputs, own.inputs)
    assert (found.score > own.score).all()  # the total adds the reconstruction
    said = r"fpga\.teacher=emd is no score of the CLIP-VAE in .*Cure: one of .*kl.*or null"
    with pytest.raises(ConfigError, match=said):
        source.settings(replace(SETTINGS, teacher="emd"))
    trained = Source.open(toys / "trigger.ckpt", None)
    with pytest.raises(ConfigError, match=r"goes to the chip as it is.*Cure: fpga\.teacher=null"):
        trained.settings(replace(SETTINGS, teacher="total"))


def test_more_constituents_than_there_can_be_are_refused(toys: Path) -> None:
    source = Source.open(toys / "deepset.ckpt", None)
    assert source.settings(replace(SETTINGS, constituents=128)).constituents == 128
    said = r"constituents=129, but the model was trained on at most 128 .*Cure: no more"
    with pytest.raises(ConfigError, match=said):
        source.settings(replace(SETTINGS, constituents=129))


def test_outputs_that_are_not_named_are_all_that_there_are(toys: Path, run: Path) -> None:
    source = Source.open(run, str(toys))
    open_ = replace(SETTINGS, outputs=None)
    assert source.settings(open_).outputs == ("score", "decision")
    found = source.settings(replace(open_, decorrelate="mass"))
    assert found.outputs == ("score", "quantile", "decision")
    with pytest.raises(ConfigError, match=r"fpga\.outputs: a quantile .*Cure: fpga\.decorr"):
        source.settings(replace(SETTINGS, outputs=("quantile",)))


def test_events_may_be_in_another_place(toys: Path, tmp_path: Path) -> None:
    write_toys(tmp_path, train=12, test=2, files=1)
    moved = Source.open(toys / "deepset.ckpt", str(tmp_path))
    assert len(moved.jets("training", SETTINGS, tmp_path / "run", _timed)) == 12
    assert moved.summary(SETTINGS).events == str(tmp_path)
    assert Source.open(toys / "deepset.ckpt", None).summary(SETTINGS).events == str(toys)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5), st.integers(0, 60))
def test_a_limit_takes_the_first_events(ranges: list[tuple[int, int]], limit: int) -> None:
    parts = [Slice(unread(str(n)), min(pair), max(pair), 7 * n) for n, pair in enumerate(ranges)]
    every = [(p.path, entry) for p in parts for entry in range(p.start, p.stop)]
    kept = _limited(parts, limit)
    assert [(p.path, entry) for p in kept for entry in range(p.start, p.stop)] == every[:limit]
    assert all(p.stop > p.start for p in kept)


def test_a_model_without_an_encoder_for_a_trigger_takes_what_is_asked(toys: Path) -> None:
    source = Source.open(toys / "deepset.ckpt", None)
    assert source.trigger is None
    assert source.settings(SETTINGS) == SETTINGS
    names = [port.name for port in source.ports(SETTINGS)]
    assert names[:2] == ["pt_rel", "log_pt"]
    assert len(names) == 10
    assert len(source.ports(replace(SETTINGS, types=False))) == 2


def test_types_that_the_model_never_saw_are_no_inputs(toys: Path, tmp_path: Path) -> None:
    path = tmp_path / "without.ckpt"
    write_checkpoint(path, toys, "model.encoder.layers=1", "model.use_pid=false")
    assert len(Source.open(path, None).ports(SETTINGS)) == 2


@pytest.mark.parametrize(("name", "bits"), [("trigger", 8), ("quantized", 5)])
def test_a_models_own_encoder_decides_its_shape(toys: Path, name: str, bits: int) -> None:
    source = Source.open(toys / f"{name}.ckpt", None)
    assert source.trigger is not None
    found = source.settings(SETTINGS)
    # conf/model/encoder/trigger.yaml
    assert found.inputs == {"pt_rel": 8, "delta_eta": 1, "delta_phi": 1, "log_pt": 4}
    assert (found.constituents, found.latent_dim) == (5, 2)
    assert (found.phi, found.rho, found.types) == ((6, 4), (3,), True)
    assert found.weight_bits == bits
    assert (found.score, found.test_events) == ("kl", 7)
    # the ports are those of the network, in its order
    limits = [port.range for port in source.ports(found)]
    assert limits == source.trigger.ranges.tolist()


def test_a_truncated_checkpoint_is_refused(toys: Path, tmp_path: Path) -> None:
    content = (toys / "deepset.ckpt").read_bytes()
    path = tmp_path / "cut.ckpt"
    for size in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt.*Cure: use a whole one"):
            Source.open(path, None)
    with pytest.raises(CheckpointError, match=r"none\.ckpt does not exist\. Cure: give"):
        Source.open(tmp_path / "none.ckpt", None)


def test_a_checkpoint_of_another_version_is_refused(toys: Path, tmp_path: Path) -> None:
    content = torch.load(toys / "deepset.ckpt", weights_only=True)
    del content["datamodule_hyper_parameters"]["pool_batches"]
    torch.save(content, tmp_path / "new.ckpt")
    with pytest.raises(
        CheckpointError,
        match=r"new\.ckpt was written by another version .*pool_batches.*Cure: train",
    ):
        Source.open(tmp_path / "new.ckpt", None)


def test_models_of_sets_of_particles_can_become_firmware(toys: Path, tmp_path: Path) -> None:
    for name in ("setvae", "clipvae"):
        path = tmp_path / f"{name}.ckpt"
        write_checkpoint(path, toys, f"model={name}", "model.encoder.layers=1")
        described = Source.open(path, None).summary(SETTINGS)
        assert described.name == name
        assert described.title == {"setvae": "Set-VAE", "clipvae": "CLIP-VAE"}[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("codae", "CoDAE, .*standard deviation"), ("imageae", ".*no constituents for a trigger")],
)
def test_other_models_say_why_they_cannot(
    monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    model = make_model("data=darkshowers", f"model={name}")
    monkeypatch.setattr("anomaly_hep.fpga.source.load_model", lambda _: (model, None, None))
    with pytest.raises(
        ExportError, match=rf"best\.ckpt holds {reason}.*Cure: leave checkpoint out"
    ):
        Source.open(Path("best.ckpt"), None)
