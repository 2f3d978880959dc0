"""The frame of a jet: closed forms, a slow reference, and what must not change."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.jetframe import centred, four_momenta, in_jet_frame, relative, rotated
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.formats.jetkinematics import with_derived
from anomaly_hep.types import Events
from tests.data.test_features import DATA
from tests.toys import toy_boosted

FOUR = DATA.with_name("fourmomenta.yaml")


def of_polar(pt: list[float], eta: list[float], phi: list[float]) -> np.ndarray:
    pt_, eta_, phi_ = map(np.array, (pt, eta, phi))
    return np.stack([pt_ * np.cos(phi_), pt_ * np.sin(phi_), pt_ * np.sinh(eta_)]).astype(float)


def toys(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return momenta of jets of 0 to 8 constituents, anywhere in the detector."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, number)
    jet = np.repeat(np.arange(number), lengths)
    pt = rng.exponential(50, len(jet)) + 0.1
    eta = rng.uniform(-3, 3, number)[jet] + rng.normal(0, 0.4, len(jet))
    phi = rng.uniform(-4, 4, number)[jet] + rng.normal(0, 0.4, len(jet))
    return of_polar(pt, eta, phi), lengths


def sums(momenta: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return each jet's sum of (px, py, pz, E)."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    four = four_momenta(momenta)
    return np.array([four[:, a:b].sum(1) for a, b in pairwise(edges)])


def squared_masses(momenta: np.ndarray) -> np.ndarray:
    """Return the squared invariant mass of every pair."""
    px, py, pz, energy = four_momenta(momenta)
    outer = [np.add.outer(v, v) for v in (energy, px, py, pz)]
    return outer[0] ** 2 - outer[1] ** 2 - outer[2] ** 2 - outer[3] ** 2


JETS = st.builds(toys, st.integers(1, 12), st.integers(0, 10_000))


# ---- closed forms


def test_one_constituent_comes_to_lie_along_x() -> None:
    momenta = of_polar([50.0], [1.7], [2.5])
    found = in_jet_frame(momenta, np.array([1]), np.array([50.0]))
    assert found[:, 0] == pytest.approx([1, 0, 0, 1], abs=1e-12)


def test_a_boost_along_the_beam_changes_eta_alone() -> None:
    """Two of equal pT, at eta +- 0.3 around 1.2 and phi +- 0.2 around 3: by symmetry."""
    momenta = of_polar([40.0, 40.0], [1.5, 0.9], [3.2, 2.8])
    found = centred(momenta, np.array([2]))
    assert np.hypot(found[0], found[1]) == pytest.approx([40, 40])
    assert np.arctan2(found[1], found[0]) == pytest.approx([0.2, -0.2])
    assert np.arcsinh(found[2] / 40) == pytest.approx([0.3, -0.3])


def test_the_harder_of_two_turns_to_positive_y() -> None:
    # in the plane of y and z: 3 towards -z, and 1 towards +z
    momenta = np.array([[40.0, 10], [0, 0], [-3, 3]])
    found = rotated(momenta, np.array([2]))
    assert found[1] == pytest.approx([3, -3])
    assert found[2] == pytest.approx([0, 0], abs=1e-12)
    assert found[0].tolist() == [40, 10]


def test_two_of_one_energy_have_no_direction() -> None:
    momenta = np.array([[40.0, 40], [1, -1], [-3, 3]])
    assert np.array_equal(rotated(momenta, np.array([2])), momenta)


def test_relative_is_a_division() -> None:
    momenta = np.arange(9.0).reshape(3, 3)
    found = relative(momenta, np.array([2, 0, 1]), np.array([2.0, 9, 4], np.float32))
    assert found.tolist() == [[0, 0.5, 0.5], [1.5, 2, 1.25], [3, 3.5, 2]]


def test_a_sum_along_the_beam_stays_as_it_is() -> None:
    momenta = np.array([[3.0, -3], [0, 0], [50, 40]])
    assert np.array_equal(centred(momenta, np.array([2])), momenta)


def test_jets_without_constituents_stay_empty() -> None:
    for lengths in (np.zeros(0, np.int64), np.zeros(4, np.int64)):
        found = in_jet_frame(np.zeros((3, 0)), lengths, np.ones(len(lengths)))
        assert found.shape == (4, 0)


def test_slots_of_zeros_stay_zeros() -> None:
    momenta, lengths = of_polar([30.0, 20, 0, 0], [0.4, 0.9, 0, 0], [1, 1.2, 0, 0]), np.array([4])
    found = in_jet_frame(momenta, lengths, np.array([50.0]))
    assert np.array_equal(found[:, 2:], np.zeros((4, 2)))
    alone = in_jet_frame(momenta[:, :2], np.array([2]), np.array([50.0]))
    assert found[:, :2] == pytest.approx(alone, abs=1e-15)


# ---- what must not change


@given(JETS)
def test_sums_lie_along_x_after_centring(jets: tuple[np.ndarray, np.ndarray]) -> None:
    momenta, lengths = jets
    total = sums(centred(momenta, lengths), lengths)
    scale = np.maximum(total[:, 3], 1)
    assert np.abs(total[:, 1] / scale) == pytest.approx(0, abs=1e-12)
    assert np.abs(total[:, 2] / scale) == pytest.approx(0, abs=1e-12)
    assert (total[:, 0] >= 0).all()


@given(JETS)
def test_masses_of_all_pairs_of_a_jet_stay(jets: tuple[np.ndarray, np.ndarray]) -> None:
    momenta, lengths = jets
    once = centred(momenta, lengths)
    both = rotated(once, lengths)
    inside = np.equal.outer(*[np.repeat(np.arange(len(lengths)), lengths)] * 2)
    before = squared_masses(momenta)[inside]
    # energies of some TeV leave 1e-16 of their square
    for after in (squared_masses(once)[inside], squared_masses(both)[inside]):
        assert after == pytest.approx(before, rel=1e-6, abs=1e-7)


@given(JETS)
def test_transverse_momenta_stay_in_the_boost_and_energies_in_the_rotation(
    jets: tuple[np.ndarray, np.ndarray],
) -> None:
    momenta, lengths = jets
    once = centred(momenta, lengths)
    assert np.hypot(*once[:2]) == pytest.approx(np.hypot(*momenta[:2]))
    assert four_momenta(rotated(once, lengths))[3] == pytest.approx(four_momenta(once)[3])


@given(JETS)
def test_twice_is_once(jets: tuple[np.ndarray, np.ndarray]) -> None:
    momenta, lengths = jets
    once = centred(momenta, lengths)
    assert centred(once, lengths) == pytest.approx(once, rel=1e-9, abs=1e-9)
    turned = rotated(once, lengths)
    # two constituents have opposite directions, and a sum of nearly nothing where they are alike
    assert rotated(turned, lengths) == pytest.approx(turned, rel=1e-6, abs=1e-6)
    # and the frame of the frame is the frame
    assert rotated(centred(turned, lengths), lengths) == pytest.approx(turned, rel=1e-6, abs=1e-6)


@given(JETS, st.floats(-3, 3), st.floats(-2, 2))
def test_the_frame_forgets_where_the_jet_was(
    jets: tuple[np.ndarray, np.ndarray], angle: float, boost: float
) -> None:
    momenta, lengths = jets
    px, py, pz = momenta
    turned = np.stack([
        math.cos(angle) * px - math.sin(angle) * py, math.sin(angle) * px + math.cos(angle) * py,
        math.cosh(boost) * pz + math.sinh(boost) * four_momenta(momenta)[3],
    ])  # fmt: skip
    found = centred(turned, lengths)
    assert found == pytest.approx(centred(momenta, lengths), rel=1e-7, abs=1e-7)


@given(JETS)
def test_a_slow_reference_agrees(jets: tuple[np.ndarray, np.ndarray]) -> None:
    momenta, lengths = jets
    jet_pt = np.arange(1.0, len(lengths) + 1)
    found = in_jet_frame(momenta, lengths, jet_pt)
    edges = np.concatenate([[0], np.cumsum(lengths)])
    for jet, (first, last) in enumerate(pairwise(edges)):
        expected = _slow(momenta[:, first:last], jet_pt[jet])
        assert found[:, first:last] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def _slow(momenta: np.ndarray, jet_pt: float) -> np.ndarray:
    """The steps for one jet, as a textbook writes them."""
    particles = [(*map(float, p), math.hypot(*p)) for p in momenta.T]
    if not particles:
        return np.zeros((4, 0))
    total = [sum(p[i] for p in particles) for i in range(4)]
    phi, beta = math.atan2(total[1], total[0]), total[2] / total[3]
    gamma = 1 / math.sqrt(1 - beta**2)
    boosted = []
    for px, py, pz, energy in particles:
        x = px * math.cos(-phi) - py * math.sin(-phi)
        y = px * math.sin(-phi) + py * math.cos(-phi)
        boosted.append((x, y, gamma * (pz - beta * energy), gamma * (energy - beta * pz)))
    up, along = 0.0, 0.0
    for _, y, z, energy in boosted:
        if math.hypot(y, z) > 1e-9 * energy:
            up += energy * y / math.hypot(y, z)
            along += energy * z / math.hypot(y, z)
    some = math.hypot(up, along) > 1e-9 * sum(p[3] for p in boosted)
    angle = math.atan2(along, up) if some else 0.0
    return np.array([
        (x / jet_pt, (y * math.cos(angle) + z * math.sin(angle)) / jet_pt,
         (z * math.cos(angle) - y * math.sin(angle)) / jet_pt, energy / jet_pt)
        for x, y, z, energy in boosted
    ]).T  # fmt: skip


# ---- as features


def test_the_frame_as_features_is_that_of_the_hardest() -> None:
    jets = toy_boosted(40, mean_particles=30)
    reading = ParticleReading(
        features=yaml.safe_load(FOUR.read_text()),
        max_particles=20,
        particle_types=False,
        selection={},
    )
    events = with_derived(jets, reading.columns)
    batch, counts = reading.batch(events, np.arange(40), "toys")
    assert reading.feature_names == ["frame_px", "frame_py", "frame_pz", "frame_energy"]
    assert (batch.lengths.max(), counts.truncated) == (20, (jets.lengths > 20).sum())
    px, py, pz, energy = batch.features.double().T.numpy()
    assert energy == pytest.approx(np.sqrt(px**2 + py**2 + pz**2), rel=1e-6)
    jet = np.repeat(np.arange(40), batch.lengths)
    for values in (py, pz):  # the 20 hardest are the ones that are centred
        assert np.bincount(jet, values, 40) == pytest.approx(0, abs=1e-5)
    assert (np.bincount(jet, px, 40) < 1.01).all()
    # below the powers of two that the yaml gives for firmware
    limits = [keys["chip"] for keys in reading.features.values()]
    assert (batch.features.abs().amax(0).numpy() < limits).all()


def test_the_frame_is_computed_once_and_takes_any_order() -> None:
    jets = with_derived(toy_boosted(10), ["part_px", "part_py", "part_pz", "jet_pt"])
    listed = yaml.safe_load(FOUR.read_text())
    made = FeatureList(listed, types=False).compute(jets).features
    other = FeatureList(dict(reversed(listed.items())), types=False).compute(jets).features
    assert np.array_equal(made, other[:, ::-1])
    empty = Events(np.zeros(2, np.int64), {n: v[:0] for n, v in jets.particles.items()},
                   {"jet_pt": np.ones(2, np.float32)})  # fmt: skip
    assert FeatureList(listed, types=False).compute(empty).features.shape == (0, 4)
