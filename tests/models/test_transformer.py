from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.transformer import Attention, SetNorm, TransformerEncoder
from tests.models.jets import rows_of

LENGTHS = [3, 1, 6, 2]


def test_set_norm_is_a_layer_norm_over_the_whole_jet() -> None:
    norm = SetNorm(4)
    x = torch.randn(sum(LENGTHS), 4)
    normed = norm(x, Jagged(torch.tensor(LENGTHS)))
    for rows in rows_of(LENGTHS):
        expected = functional.layer_norm(x[rows], x[rows].shape)
        torch.testing.assert_close(normed[rows], expected, rtol=1e-4, atol=1e-5)


def test_attention_equals_that_of_torch_jet_by_jet() -> None:
    torch.manual_seed(0)
    ours = Attention(8, 2, source=5)
    theirs = nn.MultiheadAttention(8, 2, kdim=5, vdim=5, batch_first=True)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(ours.key.weight)
        theirs.v_proj_weight.copy_(ours.value.weight)
        biases = [ours.query.bias, ours.key.bias, ours.value.bias]
        theirs.in_proj_bias.copy_(torch.cat(biases))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    sources_of = [2, 4, 1, 5]
    queries, sources = torch.randn(sum(LENGTHS), 8), torch.randn(sum(sources_of), 5)
    result = ours(queries, Jagged(torch.tensor(LENGTHS)), sources, Jagged(torch.tensor(sources_of)))
    for rows, source in zip(rows_of(LENGTHS), rows_of(sources_of), strict=True):
        expected, _ = theirs(queries[rows][None], sources[source][None], sources[source][None])
        torch.testing.assert_close(result[rows], expected[0], rtol=1e-4, atol=1e-5)


def test_encoder_of_a_batch_is_the_encoder_of_each_jet() -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(
        inputs=3, latent_dim=2, d_model=8, d_ff=8, heads=2, layers=2, pooling_layers=1
    )
    x = torch.randn(sum(LENGTHS), 3)
    mean, log_variance = encoder(x, Jagged(torch.tensor(LENGTHS)))
    for jet, rows in enumerate(rows_of(LENGTHS)):
        alone = encoder(x[rows], Jagged(torch.tensor([LENGTHS[jet]])))
        torch.testing.assert_close(mean[jet], alone[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(log_variance[jet], alone[1][0], rtol=1e-4, atol=1e-5)
