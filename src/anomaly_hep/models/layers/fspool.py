"""Featurewise sort pooling (FSPool, arXiv:1906.02795): a learned mean over sorted values."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers.segments import Segments

_PIECES = 20


class FSPool(nn.Module):
    """Sort each feature over the members of an event, and sum with weights that depend on rank.

    The weight of the i-th largest of n values is a piecewise linear function of i / (n - 1), with
    21 learned values for each feature. `slots`: None sorts the members alone. With a number, every
    event is filled with zeros to so many members, which are sorted and weighted as values of their
    own: the published network's pooling.
    """

    knots: Tensor

    def __init__(self, features: int, slots: int | None = None) -> None:
        super().__init__()
        self.slots = slots
        self.weight = nn.Parameter(torch.randn(features, _PIECES + 1))
        self.register_buffer("knots", torch.arange(_PIECES + 1.0), persistent=False)

    def forward(
        self, flat: Float[Tensor, "row feature"], segments: Segments
    ) -> Float[Tensor, "event feature"]:
        """Return the pooled features; 0 for an event without members."""
        padded = segments.pad(flat[: segments.rows]).transpose(1, 2)  # (event, feature, slot)
        if self.slots is not None:
            padded = functional.pad(padded, (0, max(self.slots - padded.shape[2], 0)))
            padded = padded[:, :, : self.slots]
            lengths = torch.full_like(segments.lengths, self.slots)
        else:
            lengths = segments.lengths
        slot = torch.arange(padded.shape[2], device=padded.device)
        empty = (slot >= lengths[:, None])[:, None]
        # empty places are last: they rank below every value
        ordered = padded.masked_fill(empty, float("-inf")).sort(dim=2, descending=True).values
        weights = self._weights(padded.shape[2])[lengths]
        return (ordered.masked_fill(empty, 0.0) * weights).sum(2)

    def _weights(self, most: int) -> Float[Tensor, "size feature rank"]:
        """Return the weight of each rank in events of 0 to `most` members."""
        rank = torch.arange(most, device=self.knots.device, dtype=self.knots.dtype)
        size = torch.arange(most + 1, device=self.knots.device, dtype=self.knots.dtype)
        last = (size[:, None] - 1).clamp(min=1)
        place = (_PIECES * rank / last).clamp(max=_PIECES)  # (size, rank)
        # linear between neighbouring knots: each knot's share falls with its distance
        shares = (1 - (place[..., None] - self.knots).abs()).clamp(min=0)
        return torch.einsum("srk,fk->sfr", shares, self.weight)
