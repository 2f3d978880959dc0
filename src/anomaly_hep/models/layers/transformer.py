"""The Transformer of Set-VAE and CLIP-VAE (arXiv:2311.17162); attention pads to the longest jet."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers.segments import Segments

SLOPE = 0.01  # of every LeakyReLU


class SetNorm(nn.Module):
    """Normalise with the mean and variance over particles and features of each jet."""

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(
        self, flat: Float[Tensor, "particle feature"], segments: Segments
    ) -> Float[Tensor, "particle feature"]:
        """Return the normalised particles."""
        mean = segments.mean(flat).mean(1, keepdim=True)
        centred = flat - segments.spread(mean)
        variance = segments.mean(centred.square()).mean(1, keepdim=True)
        scale = segments.spread(torch.rsqrt(variance + self.eps))
        # empty rows must be zeroed: they are not normalised and would grow from norm to norm
        return segments.filled(centred * scale * self.weight + self.bias)


class Attention(nn.Module):
    """Multi-head attention from queries of `d_model` to keys and values of `source` features."""

    def __init__(self, d_model: int, heads: int, *, source: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        source = d_model if source is None else source
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(source, d_model)
        self.value = nn.Linear(source, d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(
        self,
        queries: Float[Tensor, "query d_model"],
        query_segments: Segments,
        sources: Float[Tensor, "source features"],
        source_segments: Segments,
    ) -> Float[Tensor, "query d_model"]:
        """Return for each query the attended values of its jet's sources."""
        # linear maps before padding, so that they skip empty slots of jagged jets
        query = self._split(query_segments.pad(self.query(queries)))
        key = self._split(source_segments.pad(self.key(sources)))
        value = self._split(source_segments.pad(self.value(sources)))
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=_mask(source_segments, key.shape[2])
        )
        # (jet, head, slot, d_head) -> (jet, slot, d_model)
        joined = attended.transpose(1, 2).flatten(2)
        result: Tensor = self.out(query_segments.unpad(joined))
        return result

    def _split(self, padded: Tensor) -> Tensor:
        # (jet, slot, d_model) -> (jet, head, slot, d_head)
        return padded.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def macs(self, queries: float, sources: float) -> float:
        """Return the multiply-adds for `queries` of one jet attending to `sources`."""
        per_query = self.query.weight.numel() + self.out.weight.numel()
        per_source = self.key.weight.numel() + self.value.weight.numel()
        products = 2 * queries * sources * len(self.query.weight)
        return queries * per_query + sources * per_source + products


def _mask(segments: Segments, slots: int) -> Bool[Tensor, "jet 1 1 slot"]:
    slot = torch.arange(slots, device=segments.lengths.device)
    # an empty jet attends to one zero row, since attention over nothing would be NaN
    real = slot < segments.lengths.clamp(min=1)[:, None]
    return real[:, None, None, :]


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, outputs))


def _mlp_macs(mlp: nn.Sequential) -> int:
    return sum(part.weight.numel() for part in mlp if isinstance(part, nn.Linear))


class Block(nn.Module):
    """Pre-norm self-attention, optional attention to a source, and a feed-forward map."""

    def __init__(self, d_model: int, d_ff: int, heads: int, *, source: int | None = None) -> None:
        super().__init__()
        self.norm_self = SetNorm(d_model)
        self.self_attention = Attention(d_model, heads)
        self.norm_source = None if source is None else SetNorm(d_model)
        self.source_attention = None if source is None else Attention(d_model, heads, source=source)
        self.norm_mlp = SetNorm(d_model)
        self.mlp = _mlp(d_model, d_ff, d_model)

    def forward(
        self,
        x: Float[Tensor, "query d_model"],
        segments: Segments,
        sources: Float[Tensor, "source features"] | None = None,
        source_segments: Segments | None = None,
    ) -> Float[Tensor, "query d_model"]:
        """Return x after the block's residual steps."""
        normed = self.norm_self(x, segments)
        x = x + self.self_attention(normed, segments, normed, segments)
        if self.source_attention is not None and self.norm_source is not None:
            normed = self.norm_source(x, segments)
            x = x + self.source_attention(normed, segments, sources, source_segments)
        result: Tensor = x + self.mlp(self.norm_mlp(x, segments))
        return result

    def macs(self, queries: float, sources: float = 0.0) -> float:
        """Return the multiply-adds for `queries` of one jet."""
        total = self.self_attention.macs(queries, queries) + queries * _mlp_macs(self.mlp)
        if self.source_attention is not None:
            total += self.source_attention.macs(queries, sources)
        return total


def _stack_macs(layers: nn.ModuleList, queries: float, sources: float = 0.0) -> float:
    return sum(layer.macs(queries, sources) for layer in layers if isinstance(layer, Block))


class TransformerEncoder(nn.Module):
    """Encode particles in mean and log-variance: self-attention, two learned pooling queries."""

    def __init__(
        self,
        *,
        inputs: int,
        latent_dim: int,
        d_model: int,
        d_ff: int,
        heads: int,
        layers: int,
        pooling_layers: int,
    ) -> None:
        super().__init__()
        self.embed = _mlp(inputs, d_model, d_model)
        self.layers = nn.ModuleList(Block(d_model, d_ff, heads) for _ in range(layers))
        self.queries = nn.Parameter(torch.randn(2, d_model))
        self.pooling = nn.ModuleList(
            Block(d_model, d_ff, heads, source=d_model) for _ in range(pooling_layers)
        )
        self.mean = nn.Linear(d_model, latent_dim)
        self.log_variance = nn.Linear(d_model, latent_dim)

    def forward(
        self, inputs: Float[Tensor, "particle input"], segments: Segments
    ) -> tuple[Float[Tensor, "jet latent"], Float[Tensor, "jet latent"]]:
        """Return mean and log-variance of the posterior: one query each."""
        flat = self.embed(inputs)
        for layer in self.layers:
            flat = layer(flat, segments)
        pairs = segments.of_size(2)
        queries = self.queries.repeat(len(segments), 1)
        for layer in self.pooling:
            queries = layer(queries, pairs, flat, segments)
        return self.mean(queries[0::2]), self.log_variance(queries[1::2])

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`, counted as the paper does."""
        heads = self.mean.weight.numel() + self.log_variance.weight.numel()
        total = particles * _mlp_macs(self.embed) + heads
        total += _stack_macs(self.layers, particles)
        return total + _stack_macs(self.pooling, 2.0, particles)


class TransformerDecoder(nn.Module):
    """Decode a latent vector and a code per particle to (10 pT/pT_jet, delta eta, delta phi)."""

    def __init__(
        self, *, outputs: int, latent_dim: int, d_model: int, d_ff: int, heads: int, layers: int
    ) -> None:
        super().__init__()
        self.embed = _mlp(latent_dim, d_model, d_model)
        self.layers = nn.ModuleList(
            Block(d_model, d_ff, heads, source=latent_dim) for _ in range(layers)
        )
        self.output = _mlp(d_model, d_model, outputs)

    def forward(
        self,
        latent: Float[Tensor, "jet latent"],
        codes: Float[Tensor, "particle d_model"],
        segments: Segments,
    ) -> Float[Tensor, "particle output"]:
        """Return the reconstructed particles, with the logarithm of the momentum."""
        flat = segments.spread(self.embed(latent)) + codes
        one = segments.of_size(1)
        for layer in self.layers:
            flat = layer(flat, segments, latent, one)
        reconstructed: Tensor = self.output(flat)
        return reconstructed

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`, counted as the paper does."""
        total = _mlp_macs(self.embed) + particles * _mlp_macs(self.output)
        return total + _stack_macs(self.layers, particles, 1.0)
