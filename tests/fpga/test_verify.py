"""Stages made by hand: what is equal, what is not, and what a difference says."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.verify import (
    Comparison,
    Stage,
    compare,
    refuse_differences,
)

SCORES = np.array([3, 9, 1, 7, 5])
LATENTS = np.array([[1, 2], [0, 3], [1, 0], [-2, 2], [1, -2]])


def _stage(name: str, scores: np.ndarray, latents: np.ndarray | None = None, cut: int = 4) -> Stage:
    integers = {"score": scores} | ({} if latents is None else {"latent": latents})
    return Stage(name, scores / 8, scores > cut, integers)


def _float(name: str, fires: list[int]) -> Stage:
    return Stage(name, np.arange(5.0), np.array(fires, bool))


REFERENCE = _stage("Brevitas", SCORES, LATENTS)


def _compare(stages: list[Stage]) -> list[Comparison]:
    return compare(stages, np.full(5, "QCD"), "QCD", 2)


def _numbers(comparison: Comparison) -> tuple[int | None, int | None, int | None]:
    return comparison.equal, comparison.max_difference_lsb, comparison.decision_flips


def test_a_stage_that_is_equal() -> None:
    _, found = _compare([REFERENCE, _stage("integers", SCORES, LATENTS)])
    assert _numbers(found) == (5, 0, 0)
    assert found.exact


def test_a_stage_that_differs_by_some_last_bits() -> None:
    other = SCORES + np.array([0, -3, 0, 2, 0])
    _, found = _compare([REFERENCE, _stage("wrong", other)])
    # two events of five, by up to 3; both still fire
    assert _numbers(found) == (3, 3, 0)
    assert not found.exact


def test_a_difference_in_any_component_of_any_output_counts() -> None:
    latents = LATENTS.copy()
    latents[2, 1] -= 6
    _, found = _compare([REFERENCE, _stage("wrong", SCORES, latents)])
    assert _numbers(found) == (4, 6, 0)
    assert not found.exact


def test_a_decision_of_its_own_is_compared_too() -> None:
    wrong = Stage("chip", SCORES / 8, SCORES > 6, {"score": SCORES})
    _, found = _compare([REFERENCE, wrong])
    assert _numbers(found) == (5, 0, 1)
    assert not found.exact


def test_fewer_events_are_compared_with_the_first() -> None:
    _, found = _compare([REFERENCE, _stage("simulation", SCORES[:3])])
    assert _numbers(found) == (3, 0, 0)
    assert found.exact


def test_a_comparison_of_nothing_is_refused() -> None:
    with pytest.raises(ExportError, match=r"simulation has no events to compare\. Cure: at least"):
        _compare([REFERENCE, _stage("simulation", SCORES[:0])])


def test_without_integers_the_row_above_is_compared() -> None:
    stages = [
        _float("float", [1, 1, 0, 0, 1]),
        _float("hardest", [1, 0, 0, 1, 1]),
        REFERENCE,
        _stage("integers", SCORES),
        _float("float again", [0, 1, 0, 1, 0]),
    ]
    found = _compare(stages)
    # Brevitas fires for 9, 7 and 5
    assert [_numbers(c) for c in found] == [
        (None, None, None), (None, None, 2), (None, None, 2), (5, 0, 0), (None, None, 1),
    ]  # fmt: skip
    # other scores need not be equal
    assert all(comparison.exact for comparison in found)
    assert [c.implementation for c in found] == [s.implementation for s in stages]


def test_stages_without_a_common_output_are_refused() -> None:
    other = Stage("graph", SCORES / 8, SCORES > 4, {"other": SCORES})
    with pytest.raises(ExportError, match=r"graph has no output that Brevitas has\. Cure: export"):
        _compare([REFERENCE, other])


def test_every_stage_that_differs_is_named() -> None:
    wrong = SCORES + np.array([0, -7, 0, 0, 0])
    comparisons = _compare(
        [REFERENCE, _stage("RTL", wrong), _stage("HLS", SCORES), _stage("QONNX", SCORES + 1)]
    )
    with pytest.raises(ExportError) as error:
        refuse_differences(comparisons)
    text = str(error.value)
    assert "RTL: 1 of 5 events differ, by up to 7 LSB, 1 decisions" in text
    assert "QONNX: 5 of 5 events differ, by up to 1 LSB, 0 decisions" in text
    assert "HLS" not in text
    assert "Cure: do not use it" in text
    refuse_differences(_compare([REFERENCE, _stage("HLS", SCORES)]))


def _sample() -> tuple[Stage, np.ndarray]:
    """Scores of which no two are equal: 200 events of background, 60 and 80 of signals."""
    random = np.random.default_rng(5)
    labels = random.permutation(np.repeat(["QCD", "Hbb", "Tbl"], [200, 60, 80]))
    scores = random.permutation(len(labels)) + 150.0 * (labels == "Tbl")
    scores += np.arange(len(labels)) / 1024
    assert len(set(scores.tolist())) == len(scores)
    return Stage("any", scores, scores > 300), labels


def _share(stage: Stage, labels: np.ndarray, label: str, rejection: int) -> float:
    """The share of a signal above the first background event that is not allowed to pass."""
    background = sorted(stage.scores[labels == "QCD"].tolist(), reverse=True)
    cut = background[len(background) // rejection]
    signal = stage.scores[labels == label].tolist()
    return sum(value > cut for value in signal) / len(signal)


@pytest.mark.parametrize("rejection", [2, 10, 20])
def test_efficiencies_are_shares_above_the_backgrounds_tail(rejection: int) -> None:
    stage, labels = _sample()
    (found,) = compare([stage], labels, "QCD", rejection)
    assert set(found.efficiency) == {"Hbb", "Tbl"}
    for label, interval in found.efficiency.items():
        assert interval.value == pytest.approx(_share(stage, labels, label, rejection))
        assert interval.low < interval.value < interval.high
    assert found.efficiency["Tbl"].value > found.efficiency["Hbb"].value > 0
    mean = found.mean_efficiency
    assert mean is not None
    assert mean.value == pytest.approx(np.mean([i.value for i in found.efficiency.values()]))


def test_a_background_too_small_for_the_rejection_gives_nothing() -> None:
    stage, labels = _sample()
    (found,) = compare([stage], labels, "QCD", 1000)
    assert (found.efficiency, found.mean_efficiency) == ({}, None)


def test_without_signals_or_background_there_is_no_efficiency() -> None:
    stage, labels = _sample()
    only = labels == "QCD"
    background = Stage("any", stage.scores[only], stage.fires[only])
    for found in (
        *compare([background], labels[only], "QCD", 10),
        *compare([stage], labels, "Wqq", 10),
    ):
        assert (found.efficiency, found.mean_efficiency) == ({}, None)


def test_labels_of_more_events_than_a_stage_has_do_not_count() -> None:
    stage, labels = _sample()
    first = Stage("any", stage.scores[:200], stage.fires[:200])
    assert compare([first], labels, "QCD", 10) == compare([first], labels[:200], "QCD", 10)


def test_a_stage_with_more_events_is_compared_with_what_has_as_many() -> None:
    more = np.concatenate([SCORES, [2, 8, 6]])
    wide = Stage("integer reference", more, more > 4, {"score": more})
    wrong = more + np.array([0] * 7 + [-4])
    stages = [REFERENCE, _stage("emulator", more), _stage("wrong", wrong)]
    _, equal, other = compare(stages, np.full(5, "QCD"), "QCD", 2, wide)
    assert _numbers(equal) == (8, 0, 0)
    # the last event is off by 4, and 2 does not fire where 6 does
    assert _numbers(other) == (7, 4, 1)
    assert not other.exact
