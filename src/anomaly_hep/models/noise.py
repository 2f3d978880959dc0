"""Random numbers of a training step, the same on every device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

_VECTOR = 16  # numbers


class Noise:
    """Draws on the host, from the rng of the step, and copies to the device.

    The device's own rng would give other numbers. A compiled or captured step draws nothing: it
    uses the numbers of `given_as`, in the order that `listening` recorded in an ordinary step.
    Without them, a compiled step draws from torch's global rng.
    """

    def __init__(self, rng: Callable[[], torch.Generator]) -> None:
        self.rng = rng
        self.asked: list[tuple[Callable[..., Tensor], torch.Size]] | None = None
        self.given: Sequence[Tensor] | None = None
        self.taken = 0

    def __call__(
        self, draw: Callable[..., Tensor], shape: Sequence[int], device: torch.device
    ) -> Float[Tensor, ...]:
        """Return draw(shape), where `draw` is torch.randn or torch.rand."""
        if self.given is not None:
            self.taken += 1
            return self.given[self.taken - 1]
        if torch.compiler.is_compiling():
            return draw(shape, device=device)
        if self.asked is not None:
            self.asked.append((draw, torch.Size(shape)))
        return drawn(draw, shape, self.rng()).to(device)

    @contextmanager
    def listening(self) -> Iterator[list[tuple[Callable[..., Tensor], torch.Size]]]:
        """Yield a list in which all draws are recorded, as (function, shape)."""
        self.asked = []
        try:
            yield self.asked
        finally:
            self.asked = None

    @contextmanager
    def given_as(self, numbers: Sequence[Tensor]) -> Iterator[None]:
        """Return these numbers, in turn, instead of drawing new ones."""
        self.given, self.taken = numbers, 0
        try:
            yield
        finally:
            self.given = None


def drawn(
    draw: Callable[..., Tensor], shape: Sequence[int], rng: torch.Generator, **options: bool
) -> Float[Tensor, ...]:
    """Return draw(shape), whose first numbers do not depend on how many follow.

    torch.randn fills other than whole vectors of 16 in another way.
    """
    size = math.prod(shape)
    flat = draw((-(-size // _VECTOR) * _VECTOR,), generator=rng, **options)
    return flat[:size].view(tuple(shape))
