from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.deepset import DeepSetLayer, JetBatchNorm
from anomaly_hep.models.layers.jagged import Jagged
from tests.models.jets import rows_of

LENGTHS = [3, 1, 6, 2]


def _layer_of_one_jet(layer: DeepSetLayer, x: Tensor) -> Tensor:
    """The published layer, written as it is described: norm, phi, rho of the mean, out."""
    norm = layer.norm
    x = (x - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
    phi = functional.leaky_relu(layer.phi(x), 0.01)
    rho = functional.leaky_relu(layer.rho(x.mean(0)), 0.01)
    return functional.leaky_relu(layer.out(phi + rho), 0.01)


def _random_layer() -> DeepSetLayer:
    torch.manual_seed(1)
    layer = DeepSetLayer(4, 6).double()
    for name, values in layer.norm.named_parameters():
        torch.nn.init.uniform_(values, 0.5, 1.5)
        assert name in ("weight", "bias")
    layer.norm.running_mean.uniform_(-1, 1)
    layer.norm.running_var.uniform_(0.5, 2)
    return layer


def test_layer_equals_the_description_jet_by_jet_with_gradients() -> None:
    layer = _random_layer().eval()
    x = torch.randn(sum(LENGTHS), 4, dtype=torch.float64, requires_grad=True)
    fast = layer(x, Jagged(torch.tensor(LENGTHS)))
    slow = torch.cat([_layer_of_one_jet(layer, x[rows]) for rows in rows_of(LENGTHS)])
    torch.testing.assert_close(fast, slow)
    weights = torch.randn_like(fast)
    ours = torch.autograd.grad((fast * weights).sum(), [x, *layer.parameters()])
    theirs = torch.autograd.grad((slow * weights).sum(), [x, *layer.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, check_dtype=False, rtol=1e-6, atol=1e-9)


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of a batch in which every jet counts the same."""
    mean = torch.stack([x[rows].mean(0) for rows in rows_of(LENGTHS)]).mean(0)
    square = torch.stack([((x[rows] - mean) ** 2).mean(0) for rows in rows_of(LENGTHS)]).mean(0)
    return mean, square


def test_the_published_start_moves_by_the_momentum_from_mean_0_and_variance_1() -> None:
    norm = JetBatchNorm(2, momentum=0.1, legacy_start=True)
    x = torch.randn(sum(LENGTHS), 2)
    segments = Jagged(torch.tensor(LENGTHS))
    norm.update(x, segments.mean(x), segments)
    mean, square = _statistics(x)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 * torch.ones(2) + 0.1 * square)


def test_running_statistics_are_the_mean_of_all_batches_until_the_momentum_takes_over() -> None:
    norm = JetBatchNorm(2, momentum=0.25)
    segments = Jagged(torch.tensor(LENGTHS))
    seen = []
    for _ in range(4):
        x = torch.randn(sum(LENGTHS), 2)
        norm.update(x, segments.mean(x), segments)
        seen.append(_statistics(x))
        for running, values in zip(
            (norm.running_mean, norm.running_var), zip(*seen, strict=True), strict=True
        ):
            torch.testing.assert_close(running, torch.stack(values).mean(0))
    before = norm.running_mean.clone()
    x = torch.randn(sum(LENGTHS), 2)
    norm.update(x, segments.mean(x), segments)
    torch.testing.assert_close(norm.running_mean, 0.75 * before + 0.25 * _statistics(x)[0])


def test_the_layer_behind_an_embedding_is_both_in_turn_with_gradients_and_statistics() -> None:
    embed = torch.nn.Linear(3, 4).double()
    joined, apart = _random_layer().train(), _random_layer().train()
    x = torch.randn(sum(LENGTHS), 3, dtype=torch.float64)
    segments = Jagged(torch.tensor(LENGTHS))
    one, other = joined(x, segments, embed), apart(embed(x), segments)
    torch.testing.assert_close(one, other, check_dtype=False, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(joined.norm.running_mean, apart.norm.running_mean)
    torch.testing.assert_close(joined.norm.running_var, apart.norm.running_var)
    ours = torch.autograd.grad(one.square().sum(), [*embed.parameters(), joined.phi.weight])
    theirs = torch.autograd.grad(other.square().sum(), [*embed.parameters(), apart.phi.weight])
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, check_dtype=False, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_what_is_folded_does_not_depend_on_the_precision_of_the_first_call(first: bool) -> None:
    layer, x = _random_layer().float().eval(), torch.randn(sum(LENGTHS), 4)
    segments = Jagged(torch.tensor(LENGTHS))
    expected = torch.cat([_layer_of_one_jet(layer, x[rows]) for rows in rows_of(LENGTHS)])
    for low in (first, not first, first, not first):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            found = layer(x, segments)
        tolerance = {"rtol": 0.05, "atol": 0.05} if low else {"rtol": 1e-5, "atol": 1e-6}
        torch.testing.assert_close(found, expected, check_dtype=False, **tolerance)
        assert all(part.dtype == torch.float32 for part in layer.folded(None))


def _changed(layer: DeepSetLayer) -> dict[str, Tensor]:
    return {name: 1.5 * values for name, values in layer.state_dict().items()}


def _trained(layer: DeepSetLayer) -> DeepSetLayer:
    layer.train()
    with torch.no_grad():
        layer.phi.weight.mul_(1.5)
    return layer.eval()


def _loaded(layer: DeepSetLayer) -> DeepSetLayer:
    layer.load_state_dict(_changed(layer))
    return layer


def _copied(layer: DeepSetLayer) -> DeepSetLayer:
    other = copy.deepcopy(layer)
    other.load_state_dict(_changed(layer))
    # the copy's weights are its own, and so is what it folds of them
    assert not torch.equal(layer.folded(None)[0], other.folded(None)[0])
    return other


def _pickled(layer: DeepSetLayer) -> DeepSetLayer:
    other: DeepSetLayer = pickle.loads(pickle.dumps(layer))
    with torch.no_grad():
        other.rho.bias.mul_(1.5)
    return other


@pytest.mark.parametrize(
    "change", [_trained, _loaded, _copied, _pickled, lambda layer: layer.float().double()]
)
def test_a_fold_follows_every_change_of_the_weights(
    change: Callable[[DeepSetLayer], DeepSetLayer],
) -> None:
    layer = _random_layer().eval()
    x = torch.randn(sum(LENGTHS), 4, dtype=torch.float64)
    segments = Jagged(torch.tensor(LENGTHS))
    with torch.no_grad():
        layer(x, segments)
        changed = change(layer)
        expected = torch.cat([_layer_of_one_jet(changed, x[rows]) for rows in rows_of(LENGTHS)])
        torch.testing.assert_close(changed(x, segments), expected, rtol=1e-6, atol=1e-9)


def test_evaluation_folds_once() -> None:
    layer = _random_layer().eval()
    with torch.no_grad():
        once, again = layer.folded(None), layer.folded(None)
    assert all(a is b for a, b in zip(once, again, strict=True))
    # with a gradient the fold is part of what is differentiated
    assert layer.folded(None)[0].requires_grad


def test_empty_jets_do_not_move_the_statistics() -> None:
    one, other = JetBatchNorm(2), JetBatchNorm(2)
    x = torch.randn(5, 2)
    for norm, lengths in ((one, [3, 2]), (other, [3, 0, 2, 0])):
        segments = Jagged(torch.tensor(lengths))
        norm.update(x, segments.mean(x), segments)
    torch.testing.assert_close(one.running_mean, other.running_mean)
    torch.testing.assert_close(one.running_var, other.running_var)
    empty = Jagged(torch.tensor([0, 0]))
    one.update(x[:0], empty.mean(x[:0]), empty)
    assert torch.isfinite(one.running_mean).all()


def test_evaluation_leaves_the_statistics_alone() -> None:
    layer = _random_layer().eval()
    before = layer.norm.running_mean.clone()
    layer(torch.randn(sum(LENGTHS), 4, dtype=torch.float64), Jagged(torch.tensor(LENGTHS)))
    assert torch.equal(layer.norm.running_mean, before)
