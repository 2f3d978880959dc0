"""Training to a budget: the controller, the front of designs, and a training that reaches it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.fpga import budget
from anomaly_hep.fpga.budget import Candidate, Controller, ParetoFront
from anomaly_hep.fpga.distillation import Examples, Lesson, Schedule
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder
from anomaly_hep.models.layers.trigger import TriggerEncoder


def _candidate(lut: int, agreement: float) -> Candidate:
    return Candidate(0, 1.0, lut, agreement, {})


def test_the_factor_grows_above_the_goal_and_falls_below() -> None:
    controller = Controller()
    before = controller.factor
    controller.see(2000.0, 1000.0)
    assert controller.factor > before
    for _ in range(2):
        controller.see(500.0, 1000.0)
    assert controller.factor < before


def test_the_controller_holds_a_system_that_answers_late() -> None:
    # EBOPs that fall with the factor, and drift up by themselves
    controller, ebops = Controller(), 1e5
    seen = []
    for _ in range(8000):
        ebops *= 1 + 2e-3 - 1e-1 * controller.factor
        controller.see(ebops, 2e4)
        seen.append(ebops)
    assert max(abs(value / 2e4 - 1) for value in seen[-500:]) < 0.1


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=30))
def test_the_front_holds_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    front = ParetoFront()
    for lut, agreement in points:
        front.add(_candidate(lut, agreement / 20))
    kept = [(o.lut, round(20 * o.agreement)) for o in front.candidates]
    slow = {
        (a, b)
        for a, b in points
        if not any(c <= a and d >= b and (c, d) != (a, b) for c, d in points)
    }
    assert set(kept) == slow
    assert kept == sorted(kept)


def test_the_best_in_the_budget_is_chosen_and_none_outside() -> None:
    candidates = [_candidate(800, 0.5), _candidate(980, 0.6), _candidate(1001, 0.99)]
    best = budget.chosen(candidates, 1000)
    assert best is not None
    assert best.lut == 980
    assert budget.chosen(candidates, 700) is None


def test_a_training_reaches_its_budget() -> None:
    torch.manual_seed(0)
    start = TriggerEncoder(
        ranges=[1.0, 1.0], outputs=2, constituents=2, phi=[8, 4], rho=[4], precision=None
    )
    inputs = torch.rand(400, 2, 2)
    targets = inputs.sum((1, 2)).square()
    examples = Examples(inputs, targets)
    lesson = Lesson("squared", examples, examples, 10.0)
    student = LearnedTriggerEncoder(start, inputs, input_bits=8, by_slot=False)
    before = student.cost().item()
    target = round(before / 4)
    # a compiler that needs one LUT per EBOP
    candidates = budget.learn_widths(
        student, lesson, Schedule(600, 5e-3, 64, 0), target, lambda s: round(s.cost().item())
    )
    assert 0.75 * target <= student.cost().item() <= 1.05 * target
    best = budget.chosen(candidates, target)
    assert best is not None
    assert best.lut <= target
    assert best.agreement > 0.5
    # the weights and widths of an candidate are those that were measured
    student.load_state_dict(best.state)
    assert student.cost().item() == pytest.approx(best.ebops)
    assert lesson.agreement(student.eval()) == pytest.approx(best.agreement)


def test_designs_that_cannot_be_built_are_no_candidates() -> None:
    start = TriggerEncoder(ranges=[1.0], outputs=1, constituents=1, phi=[2], rho=[], precision=None)
    inputs = torch.rand(50, 1, 1)
    examples = Examples(inputs, inputs.sum((1, 2)))
    lesson = Lesson("squared", examples, examples, 5.0)
    student = LearnedTriggerEncoder(start, inputs, input_bits=8, by_slot=False)
    how = Schedule(5, 1e-3, 10, 0)
    assert budget.learn_widths(student, lesson, how, 100, lambda _: None) == []
