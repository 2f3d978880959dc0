"""The compiled sum over particles of a network against torch's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.models.layers import kernels, operators, particles
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.particleflow import ParticleFlow

SIZES = (3, 75, 75, 64)
Layers = tuple[list[Tensor], list[Tensor]]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert operators.ready(), "the suite needs a C++ compiler"


def _layers(sizes: Sequence[int], dtype: torch.dtype = torch.float32, seed: int = 1) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(b, a + 1, generator=generator, dtype=dtype) * (2 / a) ** 0.5
             for a, b in pairwise(sizes)]  # fmt: skip
    return [w[:, 1:].contiguous() for w in drawn], [0.1 * w[:, 0] for w in drawn]


def _rows(lengths: Sequence[int], features: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(sum(lengths), features, generator=generator, dtype=dtype)


def _loop(x: Tensor, lengths: Sequence[int], layers: Layers) -> Tensor:
    """Return the sums particle by particle: slow and obvious."""
    sums = []
    for part in x.split(list(lengths)):
        total = torch.zeros(len(layers[1][-1]), dtype=x.dtype)
        for particle in part:
            values = particle
            for weight, bias in zip(*layers, strict=True):
                values = (weight @ values + bias).clamp(min=0)
            total = total + values
        sums.append(total)
    return torch.stack(sums)


def _sum(x: Tensor, lengths: Sequence[int], layers: Layers) -> Tensor:
    return kernels.particle_sum(x, Jagged(torch.tensor(lengths)), *layers)


def _results(
    function: Callable[[Tensor, Sequence[int], Layers], Tensor],
    x: Tensor,
    lengths: Sequence[int],
    layers: Layers,
) -> list[Tensor]:
    """Return the sums and the gradients of a fixed combination of them."""
    weights, biases = ([v.detach().clone().requires_grad_() for v in part] for part in layers)
    y = function(x, lengths, (weights, biases))
    mixing = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    gradients = torch.autograd.grad(y, [*weights, *biases], mixing.to(y.dtype))
    return [y.detach(), *gradients]


def _far(ours: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Return the largest difference, as a share of the largest number of its tensor."""
    pairs = zip(ours, exact, strict=True)
    return max(
        float((a.double() - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs
    )


def _doubled(layers: Layers) -> Layers:
    return [w.double() for w in layers[0]], [b.double() for b in layers[1]]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("sizes", [SIZES, (5, 33, 7), (4, 20), (1, 1, 1), (3, 130, 200, 17, 9)])
def test_sums_and_gradients_are_those_of_a_loop(
    sizes: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    # no particle, one, a whole block, the most of an event, and more than a task's share
    lengths = [0, 1, 64, 160, 3, 0]
    layers, x = _layers(sizes, torch.float64), _rows(lengths, sizes[0], torch.float64)
    own = [[v.to(dtype) for v in part] for part in layers]
    ours = _results(_sum, x.to(dtype), lengths, (own[0], own[1]))
    assert all(value.dtype == dtype for value in ours)
    assert _far(ours, _results(_loop, x, lengths, layers)) < tolerance
    assert not ours[0][[0, 5]].any()


@pytest.mark.parametrize("sizes", [SIZES, (5, 33, 7), (4, 20)])
def test_bfloat16_is_as_near_as_torchs(sizes: tuple[int, ...]) -> None:
    lengths = [160, 1, 97, 0, 140]
    layers, x = _layers(sizes), _rows(lengths, sizes[0])
    exact = _results(_loop, x.double(), lengths, _doubled(layers))
    with torch.autocast("cpu", torch.bfloat16):
        ours = _results(_sum, x, lengths, layers)
        torchs = _results(
            lambda x, n, layers: particles.plain(x, Jagged(torch.tensor(n)), *layers),
            x, lengths, layers,
        )  # fmt: skip
    assert all(value.dtype == torch.float32 for value in ours)
    assert _far(ours, exact) < min(3e-2, 1.5 * _far(torchs, exact))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=40))
def test_any_lengths(lengths: list[int]) -> None:
    layers, x = _layers((3, 20, 18)), _rows(lengths)
    ours = _results(_sum, x, lengths, layers)
    exact = _results(
        lambda x, n, layers: particles.plain(x, Jagged(torch.tensor(n)), *layers),
        x.double(), lengths, _doubled(layers),
    )  # fmt: skip
    assert _far(ours, exact) < 1e-4


@pytest.mark.parametrize("autocast", [False, True])
def test_one_thread_gives_the_same_bits_as_two(autocast: bool) -> None:
    lengths = [int(n) for n in torch.randint(0, 160, (60,), generator=torch.Generator())]
    layers, x = _layers(SIZES), _rows(lengths)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        with _threads(1):
            one = _results(_sum, x, lengths, layers)
        with _threads(2):
            two = _results(_sum, x, lengths, layers)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_an_event_longer_than_a_task() -> None:
    lengths = [30, 9000, 0, 12]  # a task has 5 blocks of 64
    layers, x = _layers((3, 8)), _rows(lengths)
    (weight,), (bias,) = _doubled(layers)
    each = (x.double() @ weight.t() + bias).clamp(min=0)
    exact = torch.stack([part.sum(0) for part in each.split(lengths)])
    torch.testing.assert_close(_sum(x, lengths, layers).double(), exact, rtol=1e-5, atol=1e-5)


def test_the_order_of_the_particles_does_not_matter() -> None:
    layers, x = _layers(SIZES, torch.float64), _rows([160], dtype=torch.float64)
    shuffled = x[torch.randperm(160, generator=torch.Generator().manual_seed(4))]
    torch.testing.assert_close(_sum(shuffled, [160], layers), _sum(x, [160], layers))


def test_first_and_second_derivatives_are_those_of_differences() -> None:
    lengths = [2, 0, 3]
    x = _rows(lengths, dtype=torch.float64).requires_grad_()
    weights, biases = _layers((3, 4, 2), torch.float64)
    parameters = [v.requires_grad_() for v in (*weights, *biases)]

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return _sum(x, lengths, (list(values[:2]), list(values[2:])))

    assert gradcheck(function, (x, *parameters))
    # without a gradient of x, the compiled gradient is used
    assert gradcheck(function, (x.detach(), *parameters))
    assert gradgradcheck(function, (x, *parameters))


@pytest.mark.parametrize("brief", [False, True])
def test_what_torch_is_told_of_the_operators_is_true(brief: bool) -> None:
    brief = brief and torch.ops.anomaly_hep.bfloat16_products()
    lengths = [3, 0, 61]  # a whole block: what is kept of the rest of one is arbitrary
    weights, biases = _layers((3, 20, 18, 5))
    for value in (*weights, *biases):
        value.requires_grad_()
    arguments = (_rows(lengths), torch.tensor(lengths), weights, biases, brief)
    torch.library.opcheck(torch.ops.anomaly_hep.particle_sum.default, (*arguments, True))
    with torch.no_grad():
        _, kept = torch.ops.anomaly_hep.particle_sum(*arguments, True)
        assert len(torch.ops.anomaly_hep.particle_sum(*arguments, False)[1]) == 0
    torch.library.opcheck(
        torch.ops.anomaly_hep.particle_sum_backward.default,
        (torch.ones(3, 5), *arguments[:4], kept, brief),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize("autocast", [False, True])
def test_a_value_that_is_not_finite_stays_so(autocast: bool) -> None:
    lengths = [4, 4]
    layers, x = _layers(SIZES), _rows(lengths)
    x[0, 0] = torch.nan
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y, *gradients = _results(_sum, x, lengths, layers)
    assert torch.isnan(y[0]).all()
    assert torch.isfinite(y[1]).all()
    # the gradients of the biases are sums of those of the layers, which stay finite
    assert [bool(torch.isnan(value).any()) for value in gradients] == 3 * [True] + 3 * [False]


def test_lengths_that_are_not_those_of_the_rows_are_refused() -> None:
    weights, biases = _layers((3, 4))
    for lengths in ([2, 2], [6, -1]):
        with pytest.raises(RuntimeError, match="particles"):
            torch.ops.anomaly_hep.particle_sum(
                _rows([5]), torch.tensor(lengths), weights, biases, False, False
            )


def test_other_types_and_empty_batches_go_through() -> None:
    layers = _layers((3, 4))
    halves = [[v.bfloat16() for v in part] for part in layers]
    assert _sum(_rows([5]).bfloat16(), [5], (halves[0], halves[1])).dtype == torch.float32
    assert _sum(_rows([0, 0]), [0, 0], layers).equal(torch.zeros(2, 4))
    ours = _results(_sum, _rows([0]), [0], layers)
    assert not any(value.any() for value in ours)


def test_a_network_uses_it_and_the_plain_path_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = ParticleFlow(3)
    lengths = [7, 0, 160]
    batch = ParticleBatch(
        lengths=torch.tensor(lengths),
        index=torch.arange(3),
        weight=torch.ones(3),
        features=_rows(lengths),
    )
    ours = network(batch)
    monkeypatch.setattr(kernels, "compiled", lambda _: False)
    plain = network(batch)
    assert type(ours.grad_fn) is not type(plain.grad_fn)
    torch.testing.assert_close(ours, plain)
