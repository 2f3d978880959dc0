"""What a trigger sees of jets, against a slow reading of one jet at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_hep.data.features import PARTICLE_TYPES
from anomaly_hep.data.objects import OBJECT_TYPES, ObjectReading
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import BadFileError, ConfigError, NonFiniteError
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.formats import darkmachines
from anomaly_hep.fpga.integers import Port
from anomaly_hep.fpga.trigger_inputs import (
    Jets,
    context_ports,
    input_ports,
    read_jets,
    with_hardest,
)
from anomaly_hep.models.setvae import SetVAE
from anomaly_hep.types import Events
from tests.data.files import whole, write_toys
from tests.fpga.models import write_checkpoint
from tests.models.jets import make_model, random_batch, rows_of
from tests.modules import module_of
from tests.toys import toy_objects

RANGES = {"log_pt": 4.0, "pt_rel": 8.0}
NO_SIMULATION = {
    "simulation": None,
    "if_missing": "error",
    "title": "t",
    "directories": None,
    "samples": {s: {"SM": {"files": "background*"}} for s in ("train", "val", "test")},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[SetVAE, ParticleReading, SampleFile]:
    """A model, its reading, and a file of 60 jets of which some are too small."""
    directory = write_toys(tmp_path_factory.mktemp("toys"), train=60, test=10, files=1)
    write_checkpoint(
        directory / "best.ckpt", directory, "model.encoder.layers=1",
        "data.selection.jet_nparticles.min=9",
    )  # fmt: skip
    model, reading, _ = load_model(directory / "best.ckpt")
    assert isinstance(model, SetVAE)
    assert isinstance(reading, ParticleReading)
    return model, reading, whole(next((directory / "train").iterdir()))


def test_ports_are_the_chosen_features_and_a_flag_for_each_type(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    _, reading, _ = loaded
    found = input_ports(reading, RANGES, types=True)
    # conf/data/features/jet.yaml: center 1.7, scale 0.7; no center, scale 10
    assert found[:2] == (
        Port("log_pt", 4.0, False, 1.7, 0.7),
        Port("pt_rel", 8.0, False, 0.0, 10.0),
    )
    assert [port.name for port in found[2:]] == list(PARTICLE_TYPES)
    assert all(port.flag and port.range == 2.0 for port in found[2:])
    assert input_ports(reading, RANGES, types=False) == found[:2]


def test_a_feature_that_the_model_never_saw_is_refused(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    with pytest.raises(ConfigError, match=r"fpga\.inputs\.mass is no input.*Cure: .*pt_rel, delta"):
        input_ports(loaded[1], RANGES | {"mass": 1.0}, types=True)


def test_jets_are_collected_as_if_one_by_one(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    model, reading, file = loaded
    chosen = input_ports(reading, RANGES, types=True)
    jets = read_jets(model, reading, [("QCD", Slice(file, 5, 55, 0))], chosen, 4, None)
    events = reading.read(Slice(file, 0, 60, 0))
    row = 0
    for event in range(5, 55):
        one = events.take(np.array([event]))
        if one.lengths[0] < 9:
            continue
        batch, _ = reading.batch(one, np.array([event]), file.path)
        order = sorted(range(len(batch.types)), key=lambda i: -float(batch.features[i, 0]))[:4]
        for place, particle in enumerate(order):
            features = batch.features[particle]
            flags = [float(kind == batch.types[particle]) for kind in range(len(PARTICLE_TYPES))]
            expected = [float(features[3]), float(features[0]), *flags]
            np.testing.assert_array_equal(jets.inputs[row, place], np.float32(expected))
        few = replace(
            batch,
            lengths=torch.tensor([4]),
            features=batch.features[sorted(order)],
            types=batch.types[sorted(order)],
        )
        with torch.inference_mode():
            assert jets.score[row] == pytest.approx(float(model.encoder_score(batch)), rel=1e-4)
            few_score = float(model.encoder_score(few))
        assert jets.score_of_hardest[row] == pytest.approx(few_score, rel=1e-4)
        row += 1
    assert 5 < row == len(jets) < 50
    assert set(jets.labels) == {"QCD"}


def test_parts_keep_their_labels_and_their_order(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    model, reading, file = loaded
    chosen = input_ports(reading, RANGES, types=False)
    parts = [("QCD", Slice(file, 0, 20, 0)), ("Hbb", Slice(file, 20, 60, 0))]
    jets = read_jets(model, reading, parts, chosen, 3, None)
    whole = read_jets(model, reading, [("any", Slice(file, 0, 60, 0))], chosen, 3, None)
    np.testing.assert_array_equal(jets.inputs, whole.inputs)
    lengths = reading.read(Slice(file, 0, 60, 0)).lengths
    first = int((lengths[:20] >= 9).sum())
    assert jets.labels.tolist() == ["QCD"] * first + ["Hbb"] * (len(jets) - first)
    assert jets.inputs.shape[1:] == (3, 2)


def test_masses_are_those_of_the_column(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    model, reading, file = loaded
    chosen = input_ports(reading, RANGES, types=False)
    parts = [("QCD", Slice(file, 3, 50, 0))]
    jets = read_jets(model, reading, parts, chosen, 3, "jet_sdmass")
    events = file.read(3, 50, ["jet_sdmass"])
    lengths = reading.read(parts[0][1]).lengths
    np.testing.assert_array_equal(jets.mass, events.events["jet_sdmass"][lengths >= 9])
    assert np.isnan(read_jets(model, reading, parts, chosen, 3, None).mass).all()


def test_objects_bring_their_types_and_the_missing_momentum(tmp_path: Path) -> None:
    path = tmp_path / "background_chan1_000.csv"
    darkmachines.write(path, [toy_objects(30, seed=4)])
    reading = module_of("darkmachines", tmp_path, **NO_SIMULATION).reading
    assert isinstance(reading, ObjectReading)
    ranges = {"object_log10_pt": 4.0, "object_eta": 4.0}
    ports, context = input_ports(reading, ranges, types=True), context_ports(reading, ranges)
    assert [port.name for port in ports[2:]] == list(OBJECT_TYPES[:-1])
    assert context == (Port("missing_log10_pt", 4.0, False),)
    model = make_model("model=deepset_bvae", "model.beta=0.5").eval()
    parts = [("SM", Slice(whole(path), 0, 30, 0))]
    jets = read_jets(model, reading, parts, ports, 3, None, context=context, teacher="chamfer")
    events = whole(path).read(0, 30, list(reading.columns))
    np.testing.assert_allclose(jets.context[:, 0], np.log10(events.events["met"]), rtol=1e-6)
    for number, (start, stop) in enumerate(pairwise(events.offsets.tolist())):
        pt = events.particles["obj_pt"][start:stop]
        hardest = np.argsort(-pt, kind="stable")[:3]
        np.testing.assert_allclose(jets.inputs[number, :, 0], np.log10(pt[hardest]), rtol=1e-6)
        kinds = events.particles["obj_type"][start:stop][hardest] - 1
        np.testing.assert_array_equal(jets.inputs[number, :, 2:].argmax(1), kinds)
    batch, _ = reading.batch(events, np.arange(30), path)
    with torch.inference_mode():
        expected = model.scores(batch)["chamfer"].numpy()
        few = with_hardest(batch, reading, 3)
        hardest_alone = model.scores(few)["chamfer"].numpy()
    np.testing.assert_allclose(jets.score, expected, rtol=1e-5)
    np.testing.assert_allclose(jets.score_of_hardest, hardest_alone, rtol=1e-5)
    # the missing momentum is not one of the three, and stays
    assert few.lengths.tolist() == [4] * 30
    assert int((few.known_types == len(OBJECT_TYPES) - 1).sum()) == 30


def test_a_score_that_is_not_finite_is_refused_where_it_is(
    loaded: tuple[SetVAE, ParticleReading, SampleFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, reading, file = loaded
    chosen = input_ports(reading, RANGES, types=False)
    entry = int(np.flatnonzero(reading.read(Slice(file, 0, 60, 0)).lengths >= 9)[2])
    real = SetVAE.scores

    def damaged(self: SetVAE, batch: Any) -> Any:
        found = dict(real(self, batch))
        found["total"] = found["total"].clone()
        found["total"][2] = torch.inf
        return found

    monkeypatch.setattr(SetVAE, "scores", damaged)
    said = rf"the total score of .*, entry {entry} is inf.*\(1 of .*Cure: another fpga\.teacher"
    with pytest.raises(NonFiniteError, match=said):
        read_jets(
            model, reading, [("QCD", Slice(file, 0, 60, 0))], chosen, 3, None, teacher="total"
        )
    jets = read_jets(model, reading, [("QCD", Slice(file, 0, 60, 0))], chosen, 3, None)
    assert np.isfinite(jets.score).all()


def test_objects_without_their_momentum_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "background_chan1_000.csv"
    darkmachines.write(path, [toy_objects(5)])
    features = {"object_eta": {"clip": 5}}
    reading = ObjectReading(selection={}, features=features, max_particles=19)
    assert reading.event_features == {}
    ports = input_ports(reading, {"object_eta": 4.0}, types=True)
    model = make_model("model=deepset_bvae").eval()
    with pytest.raises(ConfigError, match=r"without object_log10_pt, by .*Cure: train it with"):
        read_jets(model, reading, [("SM", Slice(whole(path), 0, 5, 0))], ports, 3, None)


@pytest.mark.parametrize("mass", [np.nan, np.inf])
def test_a_mass_that_is_not_finite_is_refused_where_it_is(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
    monkeypatch: pytest.MonkeyPatch,
    mass: float,
) -> None:
    model, reading, file = loaded
    chosen = input_ports(reading, RANGES, types=False)
    lengths = reading.read(Slice(file, 0, 60, 0)).lengths
    # the third jet with enough particles
    entry = int(np.flatnonzero(lengths >= 9)[2])
    real = ParticleReading.read

    def damaged(*arguments: Any) -> Events:
        events = real(*arguments)
        events.events["jet_sdmass"][entry - 1] = mass
        return events

    monkeypatch.setattr(ParticleReading, "read", damaged)
    with pytest.raises(BadFileError, match=rf"jet_sdmass', entry {entry}: .*{mass}.*Cure: a fin"):
        read_jets(model, reading, [("QCD", Slice(file, 1, 60, 0))], chosen, 3, "jet_sdmass")


def test_no_events_are_refused(loaded: tuple[SetVAE, ParticleReading, SampleFile]) -> None:
    model, reading, _ = loaded
    with pytest.raises(
        ConfigError, match=r"Cure: fpga\.training_events and fpga\.test_events above"
    ):
        read_jets(model, reading, [], input_ports(reading, RANGES, types=True), 4, None)


def test_the_hardest_keep_their_order_in_the_jet(
    loaded: tuple[SetVAE, ParticleReading, SampleFile],
) -> None:
    lengths = [2, 0, 5, 3]
    batch = random_batch(lengths, seed=4)
    found = with_hardest(batch, loaded[1], 3)
    assert found.lengths.tolist() == [2, 0, 3, 3]
    kept = []
    for rows in rows_of(lengths):
        momenta = batch.features[rows, 0].tolist()
        least = sorted(momenta, reverse=True)[:3]
        kept += [rows.start + place for place, value in enumerate(momenta) if value in least]
    assert torch.equal(found.features, batch.features[kept])
    assert torch.equal(found.types, batch.types[kept])
    assert torch.equal(found.index, batch.index)


def test_shuffling_keeps_events_together() -> None:
    number = np.arange(300)
    jets = Jets(
        np.where(number < 200, "QCD", "Hbb"),
        np.tile(number[:, None, None], (1, 2, 3)).astype(np.float32),
        number * 2.0,
        number * 3.0,
        number * 5.0,
        np.stack([number, number * 7], axis=1).astype(np.float32),
    )
    found = jets.shuffled()
    order = found.score / 2
    assert sorted(order) == number.tolist() != order.tolist()
    np.testing.assert_array_equal(found.score_of_hardest, order * 3)
    np.testing.assert_array_equal(found.mass, order * 5)
    np.testing.assert_array_equal(found.context[:, 1], order * 7)
    np.testing.assert_array_equal(found.inputs[:, 1, 2], order)
    np.testing.assert_array_equal(found.labels == "QCD", order < 200)
    # always the same order, and any first part has both classes
    np.testing.assert_array_equal(jets.shuffled().score, found.score)
    assert 50 < (found.labels[:100] == "QCD").sum() < 85
