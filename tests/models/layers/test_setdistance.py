"""The Chamfer distance of typed objects against loops over objects, as the paper prints it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.models.layers.setdistance import ObjectSet, SetDistance, count_mismatch

SLOTS, CLASSES = 6, 9


def truth_of(lengths: list[int], most: int, seed: int) -> ObjectSet:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), most, 4, generator=generator, dtype=torch.float64)
    values[..., 3] *= 2.5  # angles beyond pi apart
    classes = torch.randint(1, CLASSES, (len(lengths), most), generator=generator)
    present = torch.arange(most) < torch.tensor(lengths)[:, None]
    return ObjectSet(values, classes, present)


def predicted(events: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed + 1)
    vectors = torch.randn(events, SLOTS, 4, generator=generator, dtype=torch.float64)
    logits = torch.randn(events, SLOTS, CLASSES, generator=generator, dtype=torch.float64)
    return vectors, logits


def gap(one: Tensor, other: Tensor, legacy: bool) -> float:
    parts = (one - other).tolist()
    if not legacy:
        parts[3] = math.remainder(parts[3], 2 * math.pi)
    return math.sqrt(sum(part * part for part in parts))


def slow(
    truth: ObjectSet, vectors: Tensor, logits: Tensor, w: float, slots: bool, angle: bool
) -> list[float]:
    """Return eq. 5 with -w log p, object by object."""
    found = []
    for event in range(len(vectors)):
        objects = [i for i in range(truth.values.shape[1]) if truth.present[event, i]]
        by_class = logits[event].log_softmax(1)
        by_slot = logits[event].log_softmax(0) if slots else by_class
        total = 0.0
        for i in objects:
            distances = [gap(truth.values[event, i], y, angle) for y in vectors[event]]
            nearest = min(range(SLOTS), key=distances.__getitem__)
            total += distances[nearest] - w * float(by_slot[nearest, truth.classes[event, i]])
        for j in range(SLOTS):
            if int(logits[event, j].argmax()) == 0 or not objects:
                continue
            distances = [gap(truth.values[event, i], vectors[event, j], angle) for i in objects]
            nearest = objects[min(range(len(objects)), key=distances.__getitem__)]
            total += min(distances) - w * float(by_class[j, truth.classes[event, nearest]])
        found.append(total)
    return found


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("angle", [False, True])
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 100), st.floats(0, 10))
def test_it_is_the_sum_of_nearest_distances_and_likelihoods(
    slots: bool, angle: bool, lengths: list[int], seed: int, w: float
) -> None:
    truth, (vectors, logits) = truth_of(lengths, 5, seed), predicted(len(lengths), seed)
    found = SetDistance(w, slots, angle)(truth, vectors, logits)
    assert found.tolist() == pytest.approx(slow(truth, vectors, logits, w, slots, angle), rel=1e-5)


def test_an_angle_is_the_same_after_a_turn() -> None:
    truth, (vectors, logits) = truth_of([3], 3, 0), predicted(1, 0)
    turned = vectors + torch.tensor([0.0, 0.0, 0.0, 2 * math.pi])
    distance = SetDistance(1.0)
    torch.testing.assert_close(distance(truth, vectors, logits), distance(truth, turned, logits))
    legacy = SetDistance(1.0, legacy_angle=True)
    assert legacy(truth, vectors, logits) != legacy(truth, turned, logits)


def test_equal_sets_have_finite_gradients() -> None:
    truth = truth_of([3], 3, 2)
    vectors = truth.values.clone().requires_grad_()
    logits = torch.zeros(1, 3, CLASSES, dtype=torch.float64)
    logits.scatter_(2, truth.classes[..., None], 50.0)
    distance = SetDistance(1.0)(truth, vectors, logits)
    assert distance.item() == pytest.approx(0.0, abs=1e-5)
    distance.sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_the_gradient_is_that_of_the_nearest_pairs() -> None:
    truth, (vectors, logits) = truth_of([4, 2], 4, 7), predicted(2, 7)
    vectors.requires_grad_(), logits.requires_grad_()
    distance = SetDistance(3.0)
    assert torch.autograd.gradcheck(lambda v, x: distance(truth, v, x), (vectors, logits))


def test_the_mismatch_counts_by_class() -> None:
    classes, present = torch.tensor([[1, 1, 2, 8]]), torch.tensor([[True, True, True, False]])
    truth = ObjectSet(torch.zeros(1, 4, 4), classes, present)
    logits = torch.zeros(1, SLOTS, CLASSES)
    for slot, kind in enumerate([0, 1, 3, 3, 3, 2]):
        logits[0, slot, kind] = 1.0
    # one instead of two of class 1, one of class 2, three instead of none of class 3
    assert count_mismatch(truth, logits).tolist() == [1 + 0 + 9]
