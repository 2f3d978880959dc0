"""Numbers at the edge: weights of any size, extreme scores and tiny classes, against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.fake_run import jet_results, score_table

from anomaly_hep.evaluate.evaluation import distributions
from anomaly_hep.evaluate.figures.histograms import joint_density, score_histogram, score_pairs
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.intervals import mean_interval
from anomaly_hep.evaluate.metrics import GENERAL
from anomaly_hep.evaluate.paired import mean_auc_gain
from anomaly_hep.evaluate.remarks import few_events
from anomaly_hep.evaluate.roc import ScoreDistribution, auc

LARGEST, SMALLEST = np.finfo(np.float64).max, 5e-324
WEIGHTS = {
    "equal": lambda _, n: np.ones(n),
    "largest": lambda _, n: np.full(n, LARGEST),
    "smallest": lambda rng, n: rng.integers(1, 9, n) * SMALLEST,
    "twelve orders": lambda rng, n: 10.0 ** rng.uniform(-12, 0, n),
    "all orders": lambda rng, n: 10.0 ** rng.uniform(-300, 300, n),
    "one has all": lambda _, n: np.r_[np.full(n - 1, 1e-320), 1.0],
    "one has nearly all": lambda _, n: np.r_[1e12, np.ones(n - 1)],
}
SCORES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "one value": lambda _, n: np.ones(n),
    "ties": lambda rng, n: rng.integers(-2, 3, n).astype(float),
    "largest": lambda rng, n: rng.choice([-LARGEST, LARGEST, 0.0], n),
    "smallest": lambda rng, n: rng.integers(0, 3, n) * SMALLEST,
}
SIZES = (1, 1), (2, 1), (1, 5), (300, 3), (40, 30)

weight = st.one_of(
    st.floats(SMALLEST, LARGEST), st.just(1.0), st.sampled_from([1e-12, 1e12, SMALLEST, LARGEST])
)
score = st.sampled_from([-LARGEST, -1.0, 0.0, SMALLEST, 1.0, LARGEST])
events = st.lists(st.tuples(score, weight), min_size=1, max_size=8)


def exact_auc(background: list[tuple[float, float]], signal: list[tuple[float, float]]) -> Fraction:
    won = sum(
        Fraction(w) * Fraction(v) * (2 * (s > b) + (s == b)) / 2
        for b, v in background
        for s, w in signal
    )
    return won / (sum(Fraction(v) for _, v in background) * sum(Fraction(w) for _, w in signal))


def exact_passing(sample: list[tuple[float, float]], cut: float) -> Fraction:
    total = sum(Fraction(w) for _, w in sample)
    return sum((Fraction(w) for s, w in sample if s >= cut), Fraction(0)) / total


@given(events, events)
def test_areas_and_shares_are_those_of_exact_fractions(background, signal):
    samples = [
        ScoreDistribution.of(*map(np.array, zip(*sample, strict=True)))
        for sample in (background, signal)
    ]
    assert auc(*samples) == pytest.approx(float(exact_auc(background, signal)), abs=1e-14)
    for cut, _ in background:
        found = samples[1].reached(np.array([cut]))[0]
        assert found == pytest.approx(float(exact_passing(signal, cut)), abs=1e-14)
    squares = sum(Fraction(w) ** 2 for _, w in signal)
    effective = sum(Fraction(w) for _, w in signal) ** 2 / squares
    assert samples[1].effective_events == pytest.approx(float(effective), rel=1e-12)


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_metric_has_an_interval_around_it_or_none(scores, weights):
    rng = np.random.default_rng(1)
    for sizes in SIZES:
        for others in (weights, "equal"):
            values = [SCORES[scores](rng, n) for n in sizes]
            numbers = [WEIGHTS[w](rng, n) for w, n in zip((weights, others), sizes, strict=True)]
            background, signal = map(ScoreDistribution.of, values, numbers)
            for metric in GENERAL:
                found = metric.of(background, signal)
                mean = metric.mean(background, [signal, signal])
                assert (found is None) == (mean is None)
                for one in (found, mean):
                    assert one is None or 0 <= one.low <= one.value <= one.high <= 1
            rows = np.arange(sum(sizes))
            gain = mean_auc_gain(
                np.concatenate(values), rng.normal(size=len(rows)), np.concatenate(numbers),
                rows[: sizes[0]], [rows[sizes[0] :]],
            )  # fmt: skip
            assert np.isfinite(gain).all()
            mean_of_scores = mean_interval(values[0], numbers[0])
            assert mean_of_scores is None or np.isfinite(mean_of_scores[0]).all()


def test_means_of_the_largest_numbers_are_right_or_absent():
    (mean, low, high), deviation = mean_interval(np.array([1e308, 1.2e308]), np.full(2, LARGEST))
    assert (mean, high - low) == pytest.approx((1.1e308, 2e307))
    assert deviation == pytest.approx(np.sqrt(2) * 1e307)
    assert mean_interval(np.array([-LARGEST, LARGEST]), np.ones(2)) is None


def test_effective_events_are_said_where_weights_differ():
    table = score_table(400)
    assert not jet_results(table).data.effective_events
    weights = pd.Series(1.0, table.index)
    weights[table.index[table["label"] == "Hbb"][0]] = 1e12
    results = jet_results(table.assign(weight=weights * 1e290))
    count = int((table["label"] == "Hbb").sum())
    exact = Fraction(count - 1 + 10**12) ** 2 / (count - 1 + 10**24)
    assert results.data.effective_events["Hbb"] == pytest.approx(float(exact), rel=1e-5)
    assert results.data.effective_events["QCD"] == (table["label"] == "QCD").sum()
    assert f"Hbb ({count:,} events count as 1)" in few_events(results)
    assert "QCD" not in few_events(results)


def test_few_events_without_weights_are_said_too():
    table = score_table(400)
    assert few_events(jet_results(table)) is None
    few = pd.concat([table[table["label"] != "Hcc"], table[table["label"] == "Hcc"].head(7)])
    assert "Hcc (7 events)" in few_events(jet_results(few))


@pytest.mark.parametrize("values", [LARGEST, 1.0, 0.0])
def test_figures_are_drawn_of_extreme_and_constant_scores(tmp_path, values):
    classes = ["QCD", "Hbb"]
    table = score_table(60, classes=classes).assign(weight=1e308)
    table["score_kl"] = np.where(
        np.arange(len(table)) % 2, values, -values if values > 1 else values
    )
    results = jet_results(table)
    samples = distributions(table, results.paper)
    save(score_histogram("kl", samples["kl"], results), tmp_path / "one.png")
    pairs = score_pairs(table, "QCD", "kl", "chamfer")
    save(joint_density(pairs, results, "kl", "chamfer"), tmp_path / "two.png")
