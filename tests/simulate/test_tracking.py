from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anomaly_hep.simulate import impact_parameters, tracking
from anomaly_hep.simulate.vectors import direction


def propagate(
    pt: float, eta: float, phi: float, vertex: tuple[float, float, float], charge: float
) -> tuple[float, float, float, float]:
    p = np.array([[pt * math.cos(phi)], [pt * math.sin(phi)], [pt * math.sinh(eta)], [0.0]])
    paths = tracking.propagate(p, np.array(vertex)[:, None], np.array([charge]))
    return (
        float(paths.end.eta[0]), float(paths.end.phi[0]), float(paths.d0[0]), float(paths.dz[0]),
    )  # fmt: skip


def stepped(
    pt: float, eta: float, phi: float, vertex: tuple[float, float, float], charge: float
) -> tuple[float, float]:
    """Follow the Lorentz force in small steps until the cylinder is left."""
    # dp/ds = 0.2998 q v x B: the transverse momentum turns by this angle per mm of transverse path
    per_mm = -0.299792458 * charge * tracking.FIELD / (1e3 * pt)
    step = 0.1
    x, y, z = vertex
    while math.hypot(x, y) < tracking.RADIUS and abs(z) < tracking.HALF_LENGTH:
        x += step * math.cos(phi + per_mm * step / 2)
        y += step * math.sin(phi + per_mm * step / 2)
        z += step * math.sinh(eta)
        phi += per_mm * step
    return math.asinh(z / math.hypot(x, y)), math.atan2(y, x)


@pytest.mark.parametrize("charge", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("pt", "eta", "phi", "vertex"),
    [
        (50.0, 0.4, 1.0, (0.0, 0.0, 0.0)),
        (1.2, -1.1, -3.0, (0.0, 0.0, 0.0)),
        (0.5, 0.6, 2.0, (0.0, 0.0, 0.0)),  # curls, leaves through the end
        (0.9, 0.1, 0.3, (300.0, -200.0, 150.0)),
        (5.0, -2.0, 0.0, (-20.0, 40.0, 900.0)),
        (0.8, 0.2, 2.5, (900.0, 700.0, -100.0)),
    ],
)
def test_paths_are_those_of_small_steps(
    pt: float, eta: float, phi: float, vertex: tuple[float, float, float], charge: float
) -> None:
    expected_eta, expected_phi = stepped(pt, eta, phi, vertex, charge)
    found_eta, found_phi, _, _ = propagate(pt, eta, phi, vertex, charge)
    assert found_eta == pytest.approx(expected_eta, abs=2e-3)
    assert math.remainder(found_phi - expected_phi, 2 * math.pi) == pytest.approx(0, abs=2e-3)


@given(st.floats(1.0, 1000), st.floats(-0.5, 0.5), st.floats(-3, 3), st.sampled_from([-1.0, 1.0]))
def test_from_the_origin_the_turn_has_a_closed_form(
    pt: float, eta: float, phi: float, charge: float
) -> None:
    radius = pt * 1e3 / (0.299792458 * 3.8)
    _, found, d0, dz = propagate(pt, eta, phi, (0.0, 0.0, 0.0), charge)
    expected = phi - charge * math.asin(1290.0 / (2 * radius))
    assert math.remainder(found - expected, 2 * math.pi) == pytest.approx(0, abs=1e-6)
    assert d0 == pytest.approx(0, abs=1e-6)
    assert dz == pytest.approx(0, abs=1e-6)


@settings(max_examples=60)
@given(
    st.floats(0.3, 50),
    st.floats(-2, 2),
    st.floats(-3, 3),
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.sampled_from([-1.0, 0.0, 1.0]),
)
def test_impact_parameters_are_those_of_the_closest_point(
    pt: float, eta: float, phi: float, x: float, y: float, charge: float
) -> None:
    # more than a turn away there are several candidates; tracks like these are not
    assume(math.hypot(x, y) < 200 * pt)
    per_mm = -0.299792458 * charge * tracking.FIELD / (1e3 * pt)
    path = np.linspace(-250, 250, 100_001)
    turned = per_mm * path
    # exact positions on the circle, or the line
    along = np.sinc(turned / 2 / np.pi) * path
    xs, ys = x + along * np.cos(phi + turned / 2), y + along * np.sin(phi + turned / 2)
    nearest = np.hypot(xs, ys).argmin()
    assume(0 < nearest < len(path) - 1)
    px, py = math.cos(phi + turned[nearest]), math.sin(phi + turned[nearest])
    _, _, d0, dz = propagate(pt, eta, phi, (x, y, 10.0), charge)
    assert d0 == pytest.approx(xs[nearest] * py - ys[nearest] * px, abs=5e-3)
    assert dz == pytest.approx(10.0 + path[nearest] * math.sinh(eta), abs=2e-2 * math.cosh(eta))


def test_vertices_outside_the_tracker_are_not_seen() -> None:
    points = np.array(
        [[0.0, 1280.0, 1000.0, 0.0], [0.0, 0.0, 1000.0, 0.0], [0.0, 0.0, 0.0, 3100.0]]
    )
    assert tracking.inside(points).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "expected"),
    [
        # delphes_card_CMS.tcl, one line of each formula
        (211, 0.05, 0.0, 0.0), (211, 0.5, 1.0, 0.70), (-211, 5.0, -1.0, 0.95),
        (321, 0.5, 2.0, 0.60), (2212, 5.0, -2.0, 0.85), (211, 5.0, 2.6, 0.0),
        (11, 0.5, 0.0, 0.73), (-11, 50.0, 0.0, 0.95), (11, 200.0, 0.0, 0.99),
        (11, 0.5, 2.0, 0.50), (11, 50.0, 2.0, 0.83), (11, 200.0, -2.0, 0.90),
        (13, 0.5, 0.0, 0.75), (13, 50.0, 0.0, 0.99), (13, 0.5, 2.0, 0.70), (-13, 50.0, 2.0, 0.98),
    ],
)  # fmt: skip
def test_efficiencies_of_the_card(pid: int, pt: float, eta: float, expected: float) -> None:
    found = tracking.efficiency(np.array([pt]), np.array([eta]), np.array([pid]))
    assert found[0] == expected


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "expected"),
    [
        (211, 100.0, 0.3, math.hypot(0.01, 100 * 1.5e-4)),
        (211, 10.0, -1.0, math.hypot(0.015, 10 * 2.5e-4)),
        (211, 10.0, 2.0, math.hypot(0.025, 10 * 5.5e-4)),
        (11, 10.0, 0.3, math.hypot(0.03, 10 * 1.3e-3)),
        (11, 10.0, 1.0, math.hypot(0.05, 10 * 1.7e-3)),
        (-11, 10.0, 2.0, math.hypot(0.15, 10 * 3.1e-3)),
        (13, 10.0, 0.3, math.hypot(0.01, 10 * 1.0e-4)),
        (13, 10.0, 2.0, math.hypot(0.025, 10 * 3.5e-4)),
        (11, 1e6, 2.0, 1.0),
    ],
)
def test_resolutions_of_the_card(pid: int, pt: float, eta: float, expected: float) -> None:
    found = tracking.momentum_resolution(np.array([pt]), np.array([eta]), np.array([pid]))
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pid", "pt", "eta", "expected"),
    [
        (211, 1.0, 0.3, 0.0600), (-321, 100.0, 1.0, 0.1972), (2212, 50.0, -2.0, 0.2942),
        (11, 10.0, 0.3, 0.0327), (13, 10.0, 1.0, 0.0151),
    ],
)  # fmt: skip
def test_resolutions_of_the_pile_up_card(pid: int, pt: float, eta: float, expected: float) -> None:
    found = tracking.momentum_resolution(
        np.array([pt]), np.array([eta]), np.array([pid]), "CMS_PileUp"
    )
    assert found[0] == pytest.approx(expected, abs=1e-4)


def test_impact_parameter_resolution_of_known_bins() -> None:
    pt, eta = np.array([1.0, 3.0, 200.0, 0.05, 0.5]), np.array([0.0, -1.2, 0.5, 2.0, -2.4])
    d0, dz = impact_parameters.resolution(pt, eta)
    np.testing.assert_array_equal(d0, [0.0753, 0.0431, 0.0110, 0.6970, 0.2788])
    np.testing.assert_array_equal(dz, [0.1113, 0.0967, 0.0318, 2.1717, 1.1997])


def test_resolution_gets_better_with_momentum_and_worse_forward() -> None:
    pt = np.geomspace(0.2, 30, 60)
    for i in (0, 1):
        central = impact_parameters.resolution(pt, np.zeros(60))[i]
        forward = impact_parameters.resolution(pt, np.full(60, 2.0))[i]
        assert central[0] > 10 * central[-1]
        assert (forward > central).all()


def test_published_jets_have_the_same_resolutions(shared_data: object) -> None:
    """Regression: JetClass-II's 100 example jets were made with this table."""
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(f"{shared_data}/jetclass2/JetClassII_example.parquet")
    columns = ("part_px", "part_py", "part_pz", "part_charge", "part_d0err", "part_dzerr")
    flat = {n: np.concatenate([np.array(v, float) for v in table[n].to_pylist()]) for n in columns}
    track = flat["part_charge"] != 0
    momentum = np.stack([flat[n][track] for n in ("part_px", "part_py", "part_pz")])
    # Its energy flow changes pT after the resolution was looked up, so only most bins agree; but
    # every value is one of the table's.
    d0, dz = impact_parameters.resolution(np.hypot(*momentum[:2]), direction(momentum).eta)
    for name, expected in (("part_d0err", d0), ("part_dzerr", dz)):
        everything = impact_parameters.resolution(
            np.tile(np.geomspace(0.15, 200, 2000), 3), np.repeat([0.0, 1.0, 2.0], 2000)
        )[name == "part_dzerr"]
        distance = np.abs(flat[name][track][:, None] - np.unique(everything)).min(axis=1)
        assert distance.max() < 1e-6
        assert (np.abs(flat[name][track] / expected - 1) < 0.25).mean() > 0.8
