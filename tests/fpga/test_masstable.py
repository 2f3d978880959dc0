"""Thresholds by mass: the same share of background at every mass, and integers that repeat it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from anomaly_hep.fpga.masstable import MassTable, centres, mass_port, mass_table, write_table

SCORE = FixedPoint(False, 16, 4)


def background(number: int, seed: int = 0) -> tuple[Integers, np.ndarray]:
    """Integer scores, exponential with a mean that grows with the mass, and masses in GeV."""
    random = np.random.default_rng(seed)
    masses = random.uniform(20, 220, number)
    scores = np.floor(random.exponential(1, number) * 20 * masses).astype(np.int64)
    return scores, masses


def made(number: int = 20_000, rejection: float = 50) -> MassTable:
    scores, masses = background(number)
    port = mass_port("m", 6, masses, rejection)
    return mass_table("m", port, scores, masses, SCORE, rejection)


@pytest.fixture(scope="module")
def table() -> MassTable:
    return made()


def test_levels_are_halvings_and_the_share_that_decides(table: MassTable) -> None:
    # 20,000 events: 100 of them are 1/200
    assert table.shares == (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 50, 1 / 64, 1 / 128)
    assert table.shares[table.deciding] == 1 / 50
    assert made(rejection=64).shares.count(1 / 64) == 1
    # beyond the last halving
    assert made(rejection=1000).shares[-1] == 1 / 1000
    assert made(500, 20).shares == (1 / 2, 1 / 4, 1 / 20)


def test_every_mass_passes_the_same_share(table: MassTable) -> None:
    scores, masses = background(200_000, seed=1)
    at, beyond = table.quantize(masses)
    assert not beyond.any()
    quantile = table.quantile(scores, at)
    for low in range(20, 220, 20):
        here = (masses >= low) & (masses < low + 20)
        for level, share in enumerate(table.shares[: table.deciding + 1]):
            passed = float((quantile[here] > level).mean())
            assert passed == pytest.approx(share, rel=0.25, abs=0.002)
    # a single threshold passes three times as many at high mass
    cut = np.quantile(scores, 0.98)
    high, low = ((scores > cut)[part].mean() for part in (masses > 120, masses < 120))
    assert high > 3 * low


def test_thresholds_are_the_closed_form(table: MassTable) -> None:
    # of an exponential the share s lies above -mean ln(s)
    at = centres(table.mass, np.arange(table.mass.highest + 1))
    inside = (at > 40) & (at < 200)
    for level in range(4):
        expected = -20 * at * np.log(table.shares[level])
        ratio = table.thresholds[inside, level] / expected[inside]
        assert np.abs(ratio - 1).max() < 0.25
        assert abs(np.mean(ratio) - 1) < 0.03


def test_the_table_is_the_fitted_score_on_integers(table: MassTable) -> None:
    # of two scores around a threshold, the fitted share of one is above and of the other below
    at = np.arange(table.mass.highest + 1)
    level = table.deciding
    above, below = (table.decorrelated(table.thresholds[:, level] + step, at) for step in (1, 0))
    assert (above > -np.log(table.shares[level]) - 1e-9).all()
    assert (below <= -np.log(table.shares[level]) + 1e-9).all()


def test_thresholds_ascend_and_fit_the_score(table: MassTable) -> None:
    assert (np.diff(table.thresholds, axis=1) >= 0).all()
    scores, masses = background(5000)
    narrow = FixedPoint(False, 11, 0)
    port = mass_port("m", 6, masses, 50)
    found = mass_table("m", port, np.minimum(scores, narrow.highest), masses, narrow, 50)
    assert found.thresholds.min() >= 0
    assert found.thresholds.max() <= narrow.highest


@given(
    scores=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    thresholds=st.lists(st.integers(0, 50), min_size=1, max_size=5).map(sorted),
)
def test_the_quantile_counts_the_thresholds_below(scores: list[int], thresholds: list[int]) -> None:
    rows = np.array([thresholds, [51] * len(thresholds)])
    table = replace(_TABLE, thresholds=rows)
    masses = np.zeros(len(scores), np.int64)
    expected = [sum(score > limit for limit in thresholds) for score in scores]
    assert table.quantile(np.array(scores), masses).tolist() == expected
    assert not table.quantile(np.array(scores), masses + 1).any()


def test_masses_saturate_and_are_counted(table: MassTable) -> None:
    # up to 220 GeV in 64 steps of 4 GeV
    assert (table.mass, table.mass.lsb) == (FixedPoint(False, 6, -2), 4)
    at, beyond = table.quantize(np.array([-1.0, 0.0, 3.99, 4.0, 255.9, 256.0, 1e9]))
    assert at.tolist() == [0, 0, 0, 1, 63, 63, 63]
    assert beyond.tolist() == [True, False, False, False, False, True, True]
    assert centres(table.mass, at[:1]).tolist() == [2.0]


@pytest.mark.parametrize(
    ("highest", "step"), [(7999.0, 32), (8192.0, 64), (200.0, 1), (3.0, 2**-6)]
)
def test_the_port_is_as_fine_as_its_bits_allow(highest: float, step: float) -> None:
    port = mass_port("m", 8, np.linspace(highest / 2, highest, 100), 5)
    assert port.lsb == step
    assert highest < (port.highest + 1) * port.lsb <= 2 * highest


@pytest.mark.parametrize("mass", [80.4, 0.0, -1.0])
def test_masses_that_the_chip_cannot_tell_apart_are_refused(mass: float) -> None:
    with pytest.raises(ConfigError, match=r"all 1,000 .* same m on the chip .*Cure: more fpga\.m"):
        mass_port("m", 8, np.full(1000, mass), 10)


@pytest.mark.parametrize("rejection", [1.0, 0.5, 101.0])
def test_a_rejection_without_enough_events_is_refused(rejection: float) -> None:
    _, masses = background(1000)
    with pytest.raises(ConfigError, match=r"fpga\.rejection=.* which take 10\. Cure: .*most 100,"):
        mass_port("m", 8, masses, rejection)
    mass_port("m", 8, masses, 100.0)


def test_the_table_is_written_for_people(table: MassTable, tmp_path: Path) -> None:
    write_table(table, tmp_path / "mass_table.csv")
    lines = (tmp_path / "mass_table.csv").read_text().splitlines()
    assert lines[0].startswith("mass,mass_from_GeV,share_0.5,share_0.25,")
    assert len(lines) == 65
    numbers = [line.split(",") for line in lines[1:]]
    assert [(row[0], row[1]) for row in numbers[:3]] == [("0", "0"), ("1", "4"), ("2", "8")]
    assert [list(map(int, row[2:])) for row in numbers] == table.thresholds.tolist()


_TABLE = made(1000, 10)
