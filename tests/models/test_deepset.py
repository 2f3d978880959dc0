from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.deepset import DeepSetLayer, JetBatchNorm
from anomaly_hep.models.layers.segments import Segments
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
    fast = layer(x, Segments(torch.tensor(LENGTHS)))
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
    segments = Segments(torch.tensor(LENGTHS))
    norm.update(x, segments.mean(x), segments)
    mean, square = _statistics(x)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 * torch.ones(2) + 0.1 * square)


def test_running_statistics_are_the_mean_of_all_batches_until_the_momentum_takes_over() -> None:
    norm = JetBatchNorm(2, momentum=0.25)
    segments = Segments(torch.tensor(LENGTHS))
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
    segments = Segments(torch.tensor(LENGTHS))
    one, other = joined(x, segments, embed), apart(embed(x), segments)
    torch.testing.assert_close(one, other, check_dtype=False, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(joined.norm.running_mean, apart.norm.running_mean)
    torch.testing.assert_close(joined.norm.running_var, apart.norm.running_var)
    ours = torch.autograd.grad(one.square().sum(), [*embed.parameters(), joined.phi.weight])
    theirs = torch.autograd.grad(other.square().sum(), [*embed.parameters(), apart.phi.weight])
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, check_dtype=False, rtol=1e-5, atol=1e-6)


def test_a_kept_fold_follows_every_change_of_the_weights() -> None:
    layer = _random_layer().eval()
    x = torch.randn(sum(LENGTHS), 4, dtype=torch.float64)
    segments = Segments(torch.tensor(LENGTHS))
    with torch.inference_mode():
        layer(x, segments)
    for tensor in (layer.phi.weight, layer.rho.bias, layer.norm.weight, layer.norm.running_var):
        with torch.no_grad():
            tensor.mul_(1.5)
            expected = torch.cat([_layer_of_one_jet(layer, x[rows]) for rows in rows_of(LENGTHS)])
            torch.testing.assert_close(layer(x, segments), expected)


def test_empty_jets_do_not_move_the_statistics() -> None:
    one, other = JetBatchNorm(2), JetBatchNorm(2)
    x = torch.randn(5, 2)
    for norm, lengths in ((one, [3, 2]), (other, [3, 0, 2, 0])):
        segments = Segments(torch.tensor(lengths))
        norm.update(x, segments.mean(x), segments)
    torch.testing.assert_close(one.running_mean, other.running_mean)
    torch.testing.assert_close(one.running_var, other.running_var)
    empty = Segments(torch.tensor([0, 0]))
    one.update(x[:0], empty.mean(x[:0]), empty)
    assert torch.isfinite(one.running_mean).all()


def test_evaluation_leaves_the_statistics_alone() -> None:
    layer = _random_layer().eval()
    before = layer.norm.running_mean.clone()
    layer(torch.randn(sum(LENGTHS), 4, dtype=torch.float64), Segments(torch.tensor(LENGTHS)))
    assert torch.equal(layer.norm.running_mean, before)
