"""Significance and total improvements against loops over thresholds, and their bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.evaluate.improvement import ClassScores, total_improvements
from anomaly_hep.evaluate.intervals import efficiency_interval
from anomaly_hep.evaluate.metrics import signal_efficiency_at, significance_improvement
from anomaly_hep.evaluate.roc import ScoreDistribution

REJECTIONS = (100, 1000, 10_000)


def gaussian(n: int, shift: float, seed: int, weights: bool = False) -> ClassScores:
    rng = np.random.default_rng(seed)
    weight = rng.choice([0.5, 1.0, 3.0], n) if weights else np.ones(n)
    values = rng.normal(shift, 1, n)
    return ClassScores(weight, {"one": values, "two": -values})


def slow_improvement(background: ClassScores, signal: ClassScores, name: str) -> float:
    """Return the largest eps_S / sqrt(eps_B), threshold by threshold (SciPost 12, 045 eq. 8)."""
    order = np.argsort(-background.scores[name])
    passing, found = 0.0, [0.0]
    total, wanted = background.weights.sum(), [1 / r for r in REJECTIONS]
    efficiencies: dict[float, float] = {}
    for i in order:
        before, passing = passing / total, passing + background.weights[i]
        for rate in wanted:
            if before <= rate < passing / total:
                above = signal.weights[signal.scores[name] > background.scores[name][i]].sum()
                efficiencies[rate] = above / signal.weights.sum()
    for rate, efficiency in efficiencies.items():
        if rate * total / background.weights.max() >= 1:
            found.append(efficiency / rate**0.5)
    return max(found)


@pytest.mark.parametrize("weights", [False, True])
def test_it_is_the_largest_over_cuts_and_channels(weights: bool) -> None:
    channels = {
        c: {
            "SM": gaussian(30_000, 0, 10 + i, weights),
            "near": gaussian(2000, 0.5 + 0.3 * i, 20 + i),
            **({"far": gaussian(2000, 2.0, 30)} if i else {}),
        }
        for i, c in enumerate("ab")
    }
    found = total_improvements(channels, "SM", REJECTIONS)
    assert set(found) == {"one", "two"}
    for name in found:
        expected = max(
            slow_improvement(classes["SM"], classes["near"], name) for classes in channels.values()
        )
        assert found[name].of("near").value == pytest.approx(expected, rel=0.03, abs=0.02)
    best = found["one"]
    assert set(best.replicas) == {"near", "far"}
    values = [best.of(signal).value for signal in best.replicas]
    summary = best.summary()
    assert summary["median"].value == pytest.approx(np.median(values))
    assert (summary["minimum"].value, summary["maximum"].value) == (min(values), max(values))
    for interval in summary.values():
        assert 0 <= interval.low <= interval.value <= interval.high


def test_intervals_of_the_bootstrap_are_those_of_the_efficiency() -> None:
    background, signal = gaussian(5000, 0, 1), gaussian(400, 1.5, 2)
    (one, _) = total_improvements({"a": {"SM": background, "s": signal}}, "SM", (100,)).values()
    tail, own = (ScoreDistribution.of(c.scores["one"], c.weights) for c in (background, signal))
    known = efficiency_interval(tail, own, 100)
    assert known is not None
    assert one.of("s").value == pytest.approx(10 * known.value, rel=0.02)
    width = 10 * (known.high - known.low)
    assert one.of("s").high - one.of("s").low == pytest.approx(width, rel=0.3)


def test_cuts_without_background_are_left_out() -> None:
    few = {"a": {"SM": gaussian(500, 0, 1), "s": gaussian(300, 6.0, 2)}}
    # at 1e-3 half an event would pass: only the cut of 1e-2 counts
    found = total_improvements(few, "SM", REJECTIONS)["one"]
    assert found.of("s").value == pytest.approx(10.0, rel=0.01)
    metric = significance_improvement(REJECTIONS)
    distributions = [
        ScoreDistribution.of(few["a"][c].scores["one"], few["a"][c].weights) for c in ("SM", "s")
    ]
    measured = metric.of(*distributions)
    assert measured is not None
    assert measured.value == pytest.approx(10.0, rel=0.01)
    assert signal_efficiency_at(1000).of(*distributions) is None
    none = {"a": {"SM": gaussian(50, 0, 1), "s": gaussian(300, 6.0, 2)}}
    assert total_improvements(none, "SM", REJECTIONS) == {}


def test_scores_that_count_have_the_improvement_of_a_random_choice_at_the_cut() -> None:
    rng = np.random.default_rng(0)
    counts = {"SM": rng.integers(0, 3, 20_000), "s": rng.integers(0, 3, 5000)}
    channel = {
        label: ClassScores(np.ones(len(v)), {"n": v.astype(float)}) for label, v in counts.items()
    }
    found = total_improvements({"a": channel}, "SM", (100,))["n"].of("s")
    # the same distribution: eps_S = eps_B = 0.01, over sqrt(0.01)
    assert found.value == pytest.approx(0.1, rel=0.1)


def test_the_same_replicas_serve_all_scores() -> None:
    channel = {"SM": gaussian(3000, 0, 1), "s": gaussian(500, 1.0, 2)}
    same = {
        label: ClassScores(c.weights, {"a": c.scores["one"], "b": 3 * c.scores["one"] + 1})
        for label, c in channel.items()
    }
    found = total_improvements({"a": same}, "SM", REJECTIONS)
    ratio = found["a"].ratio(found["b"])
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)


def test_the_largest_of_several_intervals_has_the_largest_bounds() -> None:
    tail = ScoreDistribution.of(np.random.default_rng(1).normal(0, 1, 50_000))
    signal = ScoreDistribution.of(np.random.default_rng(2).normal(2, 1, 3000))
    metric = significance_improvement(REJECTIONS)
    found = metric.of(tail, signal)
    parts = [efficiency_interval(tail, signal, r) for r in REJECTIONS]
    bounds = [[x * r**0.5 for x in part] for part, r in zip(parts, REJECTIONS, strict=True) if part]
    assert found == pytest.approx([max(column) for column in zip(*bounds, strict=True)])
    assert metric.scale == 1.0
    assert metric.cell(found).value == f"{found.value:.1f}"


def test_a_vertical_step_of_the_roc_counts_with_its_upper_end() -> None:
    # 1000 background events: the cut at 1e-3 may lie anywhere below the highest of them
    background = ClassScores(np.ones(1000), {"one": np.arange(1000.0)})
    signal = ClassScores(np.ones(4), {"one": np.array([2000.0, 998.5, 10.0, 20.0])})
    found = total_improvements({"a": {"SM": background, "s": signal}}, "SM", (1000,))["one"]
    metric = significance_improvement((1000,))
    tail, own = (ScoreDistribution.of(c.scores["one"], c.weights) for c in (background, signal))
    measured = metric.of(tail, own)
    assert measured is not None
    assert found.of("s").value == pytest.approx(measured.value) == pytest.approx(0.5 * 1000**0.5)
