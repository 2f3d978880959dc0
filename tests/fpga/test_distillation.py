"""Encoders learned from a score: the loss falls, the best is kept, and a seed repeats it."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anomaly_hep.errors import NonFiniteError
from anomaly_hep.fpga import distillation
from anomaly_hep.fpga.distillation import Examples, Lesson, Schedule
from anomaly_hep.models.layers.trigger import TriggerEncoder

SHAPE: dict[str, Any] = {"ranges": [4.0, 1.0], "outputs": 2, "constituents": 3, "phi": [8, 4],
                         "rho": [8]}  # fmt: skip
BITS = {"weight_bits": 6, "activation_bits": 8, "input_bits": 8, "output_bits": 10}
HOW = Schedule(steps=150, learning_rate=1e-2, batch_size=50, seed=0)


def _encoder(seed: int, **changes: Any) -> TriggerEncoder:
    torch.manual_seed(seed)
    return TriggerEncoder(**SHAPE | changes, precision=None)


def _examples(count: int, seed: int) -> Examples:
    """Inputs, and the score that a network of the same shape gives them."""
    inputs = torch.randn(count, 3, 2, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        outputs = 3 * _encoder(100)(inputs)
    return Examples(inputs, 0.5 * outputs.square().sum(1))


def _loss(encoder: TriggerEncoder, kind: str, examples: Examples, scale: Tensor) -> float:
    """The mean squared difference of logarithms, event by event."""
    with torch.no_grad():
        outputs = encoder(examples.inputs).double().tolist()
    squares = []
    for values, target in zip(outputs, examples.targets.tolist(), strict=True):
        half = len(values) // 2
        score = 0.5 * sum(v * v for v in values)
        if kind == "kl":
            score = 0.5 * sum(v * v for v in values[:half])
            score += 0.5 * sum(math.exp(v) - 1 - v for v in values[half:])
        squares.append(math.log((score + float(scale)) / (target + float(scale))) ** 2)
    return sum(squares) / len(squares)


TRAINING, VALIDATION = _examples(500, 1), _examples(200, 2)


def _lesson(
    kind: str = "squared", training: Examples = TRAINING, validation: Examples = VALIDATION
) -> Lesson:
    return Lesson(kind, training, validation, 10.0)


MEDIAN = TRAINING.targets.median()


def test_the_distance_by_hand() -> None:
    found = distillation.distillation_loss(torch.tensor([1.0, 3.0]), torch.tensor([3.0, 3.0]), 1.0)
    assert float(found) == pytest.approx(math.log(2) ** 2 / 2)


@pytest.mark.parametrize("kind", ["squared", "kl"])
def test_the_loss_falls_on_events_not_trained_on(kind: str) -> None:
    start = _encoder(5)
    before = _loss(start, kind, VALIDATION, MEDIAN)
    trained, agreement = distillation.distil(start, _lesson(kind), HOW)
    after = _loss(trained, kind, VALIDATION, MEDIAN)
    assert after < before / 3
    assert _lesson(kind).validated(trained) == pytest.approx(after, rel=1e-4)
    # the agreement is that of the encoder that is returned
    assert agreement == _lesson(kind).agreement(trained)
    assert not trained.training


def test_the_best_on_validation_is_kept() -> None:
    # the rate ruins what was learned; a look at each step tells which one was the best
    seen: list[float] = []
    real = distillation.scores

    def look(encoder: TriggerEncoder, kind: str, *inputs: Any) -> Tensor:
        seen.append(_loss(encoder.eval(), kind, VALIDATION, MEDIAN))
        return real(encoder, kind, *inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "scores", look)
        how = Schedule(steps=60, learning_rate=0.5, batch_size=50, seed=0)
        trained, _ = distillation.distil(_encoder(5), _lesson(), how)
    # the second half of the steps, each of them, and the one that is kept twice more
    assert len(seen) == 32
    assert min(seen) < seen[-3]
    assert _loss(trained, "squared", VALIDATION, MEDIAN) == pytest.approx(min(seen), rel=1e-4)


def test_a_seed_repeats_the_training_and_another_does_not() -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        how = Schedule(20, 1e-2, 50, seed)
        torch.manual_seed(seed + 17)  # what else the process drew does not matter
        encoder, _ = distillation.distil(copy.deepcopy(start), _lesson("kl"), how)
        return encoder.state_dict()

    start = _encoder(5)
    one, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_batch_takes_every_event_once_before_one_comes_again() -> None:
    how = Schedule(1, 1e-2, 4, 3)
    few = Examples(TRAINING.inputs[:12], TRAINING.targets[:12])
    stream = _lesson(training=few).batches(how)
    first, second = ([row for _ in range(3) for row in next(stream).tolist()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    # fewer events than a batch are one batch
    three = Examples(TRAINING.inputs[:3], TRAINING.targets[:3])
    assert sorted(next(_lesson(training=three).batches(how)).tolist()) == [0, 1, 2]


def test_the_tail_has_its_share_of_each_batch() -> None:
    # 500 events, 1 in 10 passes at the working point, the tail is five times as many
    tail = set(TRAINING.targets.argsort()[-250:].tolist())
    stream = _lesson().batches(Schedule(1, 1e-2, 40, 3, tail=0.25))
    rows = [next(stream).tolist() for _ in range(40)]
    assert all(len(batch) == 40 and set(batch[30:]) <= tail for batch in rows)
    assert len({row for batch in rows for row in batch[30:]}) > 150
    plain = next(_lesson().batches(Schedule(1, 1e-2, 40, 3))).tolist()
    assert len(set(plain)) == 40


def test_the_same_order_agrees_and_the_reverse_does_not() -> None:
    scores = np.arange(1000.0)
    assert distillation.agreement(scores**2, scores, 100) == 1
    assert distillation.agreement(-scores, scores, 100) == 0
    assert distillation.agreement(np.ones(1000), scores, 100) == 0
    # half of the 10 that pass at rejection 100 are others, more of a wider cut agree
    swapped = scores.copy()
    swapped[-5:], swapped[:5] = scores[:5], scores[-5:]
    found = distillation.agreement(swapped, scores, 100)
    numbers = np.geomspace(1, 10, 5) * 10
    assert found == pytest.approx(np.mean([(n.round() - 5) / n.round() for n in numbers]))


def test_random_scores_agree_by_chance() -> None:
    random = np.random.default_rng(2)
    found = distillation.agreement(random.normal(size=20000), random.normal(size=20000), 20)
    shares = np.geomspace(1, 10, 5) / 20
    assert found == pytest.approx(float(np.mean(shares)), abs=0.02)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_target_that_is_no_number_stops_the_training(bad: float) -> None:
    target = TRAINING.targets.clone()
    target[3] = bad
    how = Schedule(20, 1e-2, 500, 0)
    with pytest.raises(NonFiniteError, match=r"training loss .* at step 1\. Cure: a lower learn"):
        distillation.distil(_encoder(5), _lesson(training=Examples(TRAINING.inputs, target)), how)


def test_a_validation_target_that_is_no_number_stops_it_too() -> None:
    target = VALIDATION.targets.clone()
    target[3] = float("nan")
    how = Schedule(20, 1e-2, 500, 0)
    lesson = _lesson(validation=Examples(VALIDATION.inputs, target))
    with pytest.raises(NonFiniteError, match=r"validation loss .* is nan.*Cure: a lower"):
        distillation.distil(_encoder(5), lesson, how)


def _weights(encoder: TriggerEncoder) -> dict[str, Tensor]:
    return {n: p for n, p in encoder.named_parameters() if n.endswith(("weight", "bias"))}


def test_the_quantised_encoder_starts_from_the_float_weights() -> None:
    encoder = _encoder(5)
    quantized = distillation.quantized_copy(encoder, SHAPE, BITS)
    assert quantized.precision == BITS
    assert _weights(quantized).keys() == _weights(encoder).keys()
    for name, weight in _weights(encoder).items():
        assert torch.equal(_weights(quantized)[name], weight)
    # 6 bits of weights are near the float ones
    for batch in range(40):
        quantized.train()(_examples(200, batch).inputs)
    values = VALIDATION.inputs.clamp(-0.99, 0.99)
    rough, exact = distillation.outputs(quantized, values), distillation.outputs(encoder, values)
    assert float((rough - exact).abs().mean()) < 0.2 * float(exact.std())


def test_quantised_training_ends_below_its_start() -> None:
    start = distillation.quantized_copy(_encoder(5), SHAPE, BITS)
    for batch in range(40):
        start.train()(_examples(200, batch).inputs)
    before = _loss(start.eval(), "squared", VALIDATION, MEDIAN)
    trained, _ = distillation.distil(start, _lesson(), HOW)
    assert _loss(trained, "squared", VALIDATION, MEDIAN) < before / 2


def test_a_float_encoder_has_the_weights_and_first_outputs_of_a_quantised_one() -> None:
    four = distillation.quantized_copy(_encoder(5, outputs=4), SHAPE | {"outputs": 4}, BITS)
    floating = distillation.float_copy(four, SHAPE)
    assert floating.precision is None
    found = _weights(floating)
    for name, weight in _weights(four).items():
        assert torch.equal(found[name], weight[:2] if name.startswith("head") else weight)
    whole = distillation.float_copy(four, SHAPE | {"outputs": 4})
    some, every = (distillation.outputs(e, VALIDATION.inputs) for e in (floating, whole))
    torch.testing.assert_close(some, every[:, :2])


def test_scores_of_many_events_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = torch.randn(4096 + 5, 3, 2)
    encoder = _encoder(5)
    found = distillation.scores(encoder, "squared", inputs)
    assert found.shape == (4101,)
    few = torch.cat([inputs[:2], inputs[-2:]])
    expected = 0.5 * encoder(few).square().sum(1)
    torch.testing.assert_close(found[[0, 1, -2, -1]], expected)
