"""The energy mover's distance against closed forms, exact matching and a linear programme."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from anomaly_hep.models.layers import operators, transport
from anomaly_hep.models.layers.transport import energy_movers_distance

Event = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert operators.ready(), "the suite needs a C++ compiler"


def _jets(events: int, particles: int, seed: int, absent: float = 0.2) -> Event:
    """Return weights that fall steeply, some of them 0, and points within a jet of radius 1."""
    generator = np.random.default_rng(seed)
    weights = generator.exponential(1, (events, particles)) ** 2
    weights *= generator.random((events, particles)) >= absent
    points = generator.normal(0, 0.3, (events, particles, 2))
    return torch.from_numpy(weights), torch.from_numpy(points)


def _one(event: Event) -> Event:
    return event[0][None].double(), event[1][None].double()


def _distance(one: Event, other: Event, radius: float = 1.0) -> float:
    return float(energy_movers_distance(*_one(one), *_one(other), radius))


def _matched(one: Event, other: Event) -> float:
    """Return the distance of whole weights: the best matching of particles cut into units."""
    units = [np.repeat(points.double().numpy(), weights.numpy().astype(int), axis=0)
             for weights, points in (one, other)]  # fmt: skip
    if not (len(units[0]) and len(units[1])):
        return float(abs(len(units[0]) - len(units[1])))
    costs = np.linalg.norm(units[0][:, None] - units[1][None], axis=-1)
    rows, columns = linear_sum_assignment(costs)
    return float(costs[rows, columns].sum() + abs(len(units[0]) - len(units[1])))


# a few places and small whole weights: most distances and partial sums are equal to others
_particle = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
_events = st.lists(_particle, min_size=1, max_size=12).map(
    lambda particles: (
        torch.tensor([float(w) for w, _, _ in particles]),
        torch.tensor([[float(x), float(y)] for _, x, y in particles]),
    )
)


@given(_events, _events)
def test_whole_weights_are_matched_unit_by_unit(one: Event, other: Event) -> None:
    assert _distance(one, other) == pytest.approx(_matched(one, other), abs=1e-12)


@pytest.mark.parametrize("places", [1, 2, 3, 20])
@pytest.mark.parametrize("heaviest", [2, 3, 9])
def test_thousands_of_degenerate_events_end_at_the_optimum(places: int, heaviest: int) -> None:
    generator = np.random.default_rng(places)
    weights = torch.from_numpy(generator.integers(0, heaviest, (2, 1500, 20))).double()
    points = torch.from_numpy(generator.integers(0, places, (2, 1500, 20, 2))).double()
    found = energy_movers_distance(weights[0], points[0], weights[1], points[1])
    for e in range(0, 1500, 50):
        true = _matched((weights[0, e], points[0, e]), (weights[1, e], points[1, e]))
        assert found[e] == pytest.approx(true, abs=1e-11)


@pytest.mark.parametrize("sizes", [(20, 20), (1, 64), (64, 1), (64, 64), (3, 50)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_equals_a_linear_programme(sizes: tuple[int, int], scale: float) -> None:
    one, other = (_jets(6, size, seed) for seed, size in enumerate(sizes))
    given = (one[0] * scale, one[1], other[0] * scale, other[1])
    found = energy_movers_distance(*given, 0.8)
    torch.testing.assert_close(found, transport.plain(*given, 0.8), rtol=1e-6, atol=1e-7 * scale)


def test_a_particle_each_is_its_way_and_the_difference() -> None:
    one = (torch.tensor([3.0]), torch.tensor([[0.0, 0.0]]))
    other = (torch.tensor([5.0]), torch.tensor([[0.3, 0.4]]))
    assert _distance(one, other, radius=2.0) == pytest.approx(3 * 0.5 / 2 + 2)
    assert _distance(other, one, radius=2.0) == pytest.approx(3 * 0.5 / 2 + 2)


def test_a_moved_jet_is_as_far_as_it_was_moved() -> None:
    weights, points = _jets(100, 20, 1)
    found = energy_movers_distance(weights, points, weights, points + torch.tensor([0.3, -0.4]))
    torch.testing.assert_close(found, 0.5 * weights.sum(1))


def test_events_without_particles() -> None:
    nothing, something = (torch.zeros(4), torch.zeros(4, 2)), (torch.ones(3), torch.rand(3, 2))
    assert _distance(nothing, nothing) == 0
    assert _distance(nothing, something) == _distance(something, nothing) == 3
    none = (torch.zeros(0), torch.zeros(0, 2))
    assert _distance(none, something) == 3
    empty = energy_movers_distance(
        torch.zeros(0, 3), torch.zeros(0, 3, 2), torch.zeros(0, 2), torch.zeros(0, 2, 2)
    )
    assert empty.shape == (0,)


def test_absent_particles_and_their_order_do_not_matter() -> None:
    (w, p), (v, q) = _jets(50, 20, 1), _jets(50, 20, 2)
    expected = energy_movers_distance(w, p, v, q)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(energy_movers_distance(w[:, order], p[:, order], v, q), expected)
    nowhere = torch.full((50, 3, 2), math.nan)
    padded = energy_movers_distance(
        torch.cat([w, torch.zeros(50, 3)], 1), torch.cat([p, nowhere], 1), v, q
    )
    assert torch.equal(padded, expected)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_it_is_a_metric(seed: int, particles: int) -> None:
    a, b, c = (_jets(20, particles, 3 * seed + k) for k in range(3))
    radius = max(float(torch.cdist(x[1], y[1]).max()) for x in (a, b, c) for y in (a, b, c)) / 2
    ab, bc, ac = (energy_movers_distance(*x, *y, radius) for x, y in ((a, b), (b, c), (a, c)))
    assert (ac <= ab + bc + 1e-12 * (1 + ac)).all()
    torch.testing.assert_close(ab, energy_movers_distance(*b, *a, radius), rtol=1e-12, atol=1e-12)
    same = energy_movers_distance(*a, *a, radius)
    assert (same <= 1e-12 * (1 + a[0].sum(1))).all()
    assert (ab[(a[0].sum(1) + b[0].sum(1)) > 0] > 1e-9).all()


def test_the_same_bits_for_any_number_of_threads_and_batch() -> None:
    (w, p), (v, q) = _jets(500, 20, 1), _jets(500, 20, 2)
    expected = energy_movers_distance(w, p, v, q)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(energy_movers_distance(w, p, v, q), expected)
    finally:
        torch.set_num_threads(before)
    parts = [energy_movers_distance(w[k::7], p[k::7], v[k::7], q[k::7]) for k in range(7)]
    for k in range(7):
        assert torch.equal(parts[k], expected[k::7])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("argument", range(4))
def test_one_number_that_is_not_finite_spoils_its_event_alone(bad: float, argument: int) -> None:
    given = [*_jets(9, 20, 1, absent=0), *_jets(9, 20, 2, absent=0)]
    expected = energy_movers_distance(*given)
    given[argument] = given[argument].clone()
    given[argument][4].view(-1)[3] = bad
    for found in (energy_movers_distance(*given), transport.plain(*given, 1.0)):
        assert found.isnan().nonzero().flatten().tolist() == [4]
        torch.testing.assert_close(found[:4], expected[:4], rtol=1e-6, atol=1e-6)


def test_points_too_far_apart_for_a_distance_give_nan() -> None:
    far = (torch.ones(1), torch.full((1, 2), 1e300, dtype=torch.float64))
    assert math.isnan(_distance(far, (torch.ones(1), torch.zeros(1, 2))))


@pytest.mark.parametrize("argument", [0, 2])
def test_a_negative_weight_is_refused(argument: int) -> None:
    given = [*_jets(9, 20, 1), *_jets(9, 20, 2)]
    given[argument][4, 3] = -1.0
    with pytest.raises(ValueError, match="event 4 has a particle of negative weight"):
        energy_movers_distance(*given)


def test_float32_with_gradient_is_summed_in_float64() -> None:
    given = [value.float() for value in (*_jets(9, 20, 1), *_jets(9, 20, 2))]
    exact = energy_movers_distance(*(value.double() for value in given))
    found = energy_movers_distance(*(value.requires_grad_() for value in given))
    assert torch.equal(found, exact)
    assert not found.requires_grad


def test_without_the_compiled_operator_the_linear_programme_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = (*_jets(5, 20, 1), *_jets(5, 20, 2))
    expected = energy_movers_distance(*given)
    monkeypatch.setattr(operators, "ready", lambda: False)
    torch.testing.assert_close(energy_movers_distance(*given), expected, rtol=1e-6, atol=1e-6)
    nothing = torch.zeros(1, 20)
    assert energy_movers_distance(nothing, given[1][:1], nothing, given[3][:1]).item() == 0


def test_shapes_are_known_to_torch_compile() -> None:
    given = (*_jets(5, 20, 1), *_jets(5, 20, 2))
    torch.library.opcheck(torch.ops.anomaly_hep.energy_movers_distance.default, (*given, 1.0))
