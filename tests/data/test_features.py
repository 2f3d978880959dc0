from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from anomaly_hep.data.features import DEFINITIONS, PARTICLE_TYPES, FeatureList, particle_types
from anomaly_hep.errors import BadFileError, ConfigError
from anomaly_hep.types import Events
from tests.toys import toy_collisions, toy_jets

DATA = Path(__file__).resolve().parents[2] / "conf" / "data" / "features" / "jet.yaml"


def _weaver(value: float, center: float, scale: float) -> float:
    """The published preparation of a feature that has a centre: shift, scale, clip to [-5, 5]."""
    return min(max((value - center) * scale, -5.0), 5.0)


def _slow_features(events: Events, jet: int, particle: int) -> list[float]:
    """The eight inputs of arXiv:2311.17162 for one particle, one formula after the other."""

    def get(name: str) -> float:
        return float(events.particles[f"part_{name}"][particle])

    jet_pt, jet_energy = (float(events.events[f"jet_{n}"][jet]) for n in ("pt", "energy"))
    pt = math.hypot(get("px"), get("py"))
    return [
        _weaver(pt / jet_pt, 0, 10),
        get("deta"),
        get("dphi"),
        _weaver(math.log(pt), 1.7, 0.7),
        _weaver(math.log(get("energy")), 2.0, 0.7),
        _weaver(math.log(pt / jet_pt), -4.7, 0.7),
        _weaver(math.log(get("energy") / jet_energy), -4.7, 0.7),
        _weaver(math.hypot(get("deta"), get("dphi")), 0.2, 4),
    ]


def _published() -> FeatureList:
    return FeatureList(yaml.safe_load(DATA.read_text()))


def test_features_of_the_shipped_yaml_are_those_of_the_paper() -> None:
    events = toy_jets(20, seed=4)
    made = _published().compute(events)
    for jet, (start, stop) in enumerate(zip(events.offsets[:-1], events.offsets[1:], strict=True)):
        for particle in range(start, stop):
            expected = _slow_features(events, jet, particle)
            assert made.features[particle] == pytest.approx(expected, rel=2e-5, abs=2e-5)


def test_clipped_values_are_counted() -> None:
    events = toy_jets(50, seed=4, mean_particles=3.0)
    hard = np.hypot(events.particles["part_px"], events.particles["part_py"])
    expected = (hard / np.repeat(events.events["jet_pt"], events.lengths) > 0.5).sum()
    assert expected > 0
    features = _published()
    assert features.compute(events).clipped[features.names.index("pt_rel")] == expected


def test_types_follow_flags_and_charge() -> None:
    events = toy_jets(30, seed=1)
    made = particle_types(events)
    charged = {"ChargedHadron": ("charged_hadron_minus", "charged_hadron_plus")}
    charged |= {
        "Electron": ("electron_minus", "electron_plus"),
        "Muon": ("muon_minus", "muon_plus"),
    }
    neutral = {"NeutralHadron": "neutral_hadron", "Photon": "photon"}
    for particle, index in enumerate(made):
        (kind,) = (k for k in [*charged, *neutral] if events.particles[f"part_is{k}"][particle])
        positive = int(events.particles["part_charge"][particle] > 0)
        expected = charged[kind][positive] if kind in charged else neutral[kind]
        assert PARTICLE_TYPES[index] == expected


@pytest.mark.parametrize("value", [0, 1])
def test_a_particle_of_no_type_or_of_two_is_refused(value: int) -> None:
    events = toy_jets(3)
    for name in ("part_isChargedHadron", "part_isPhoton"):
        events.particles[name][5] = value
    events.particles["part_isNeutralHadron"][5] = 0
    with pytest.raises(BadFileError, match="type flags"):
        particle_types(events)


def test_an_unknown_feature_is_refused_with_the_list_of_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"part_size.*log_energy_rel"):
        FeatureList({"part_size": {}})
    with pytest.raises(ConfigError, match="center, scale, clip, column and chip"):
        FeatureList({"log_pt": {"centre": 1.0}})


def test_a_column_of_the_file_is_a_feature_as_it_is() -> None:
    events = toy_jets(5)
    features = FeatureList({"height": {"column": "part_d0val", "scale": 2}}, types=False)
    assert features.columns == ["part_d0val"]
    made = features.compute(events)
    assert made.types is None
    np.testing.assert_allclose(made.features[:, 0], 2 * events.particles["part_d0val"])


def test_an_infinite_feature_without_clip_is_refused() -> None:
    events = toy_jets(3)
    for name in ("part_px", "part_py"):
        events.particles[name][0] = 0.0
    with pytest.raises(BadFileError, match="entry 0: feature log_pt is not finite"):
        FeatureList({"log_pt": {}}).compute(events)
    clipped = FeatureList({"log_pt": {"clip": 5}}).compute(events)
    assert clipped.features[0, 0] == -5
    pt = np.hypot(events.particles["part_px"], events.particles["part_py"])
    assert clipped.clipped[0] == ((pt < np.exp(-5)) | (pt > np.exp(5))).sum()


def test_every_feature_reads_only_what_it_says_it_needs() -> None:
    for name, definition in DEFINITIONS.items():
        if any(column.startswith("obj_") for column in definition.needs):
            continue  # of the objects of events, tests/data/test_objects.py
        of_collisions = {*definition.needs} <= {"part_pt", "part_eta", "part_phi"}
        events = toy_collisions(5) if of_collisions else toy_jets(5)
        features = FeatureList({name: {}}, types=not of_collisions)
        particles = {n: v for n, v in events.particles.items() if n in features.columns}
        columns = {n: v for n, v in events.events.items() if n in features.columns}
        made = features.compute(Events(events.lengths, particles, columns))
        assert np.isfinite(made.features).all()
        assert not any(column.startswith("label") for column in features.columns)


def test_angles_from_the_hardest_particle_are_those_of_a_loop() -> None:
    events = toy_collisions(40, seed=3)
    made = FeatureList({"eta_from_hardest": {}, "phi_from_hardest": {}}, types=False)
    found = made.compute(events).features
    for first, last in pairwise(events.offsets.tolist()):
        columns = [events.particles[n][first:last] for n in ("part_pt", "part_eta", "part_phi")]
        hardest = int(np.argmax(columns[0]))
        eta = columns[1] - columns[1][hardest]
        phi = columns[2] - columns[2][hardest]
        np.testing.assert_allclose(found[first:last, 0], eta, atol=1e-6)
        np.testing.assert_allclose(
            found[first:last, 1], np.arctan2(np.sin(phi), np.cos(phi)), atol=1e-5
        )


def test_events_without_particles_have_no_hardest() -> None:
    events = toy_collisions(3)
    empty = Events(np.zeros(3, np.int64), {n: v[:0] for n, v in events.particles.items()}, {})
    made = FeatureList({"eta_from_hardest": {}}, types=False).compute(empty)
    assert made.features.shape == (0, 1)
