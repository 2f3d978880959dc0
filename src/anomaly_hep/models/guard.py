"""Stop a run whose loss is not finite, without a wait for the device at each step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_hep.errors import NonFiniteError

# steps on an accelerator between two looks: what a NaN can cost
EVERY = 50


class FiniteGuard:
    """Watch the terms of each step's loss; the first that is a NaN or an infinity stops the run.

    On the CPU it is found in its step. An accelerator is far behind the host, so its flags are
    looked at every few steps, and before weights are written, but each says which step it is of.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, tuple[str, ...], str]] = []

    def watch(self, terms: Mapping[str, Float[Tensor, ""]], message: str) -> None:
        """Add a step; `message` names it and the cure, with {} for the terms that are bad."""
        finite = torch.stack([value.detach().float() for value in terms.values()]).isfinite()
        self._waiting.append((finite, tuple(terms), message))
        if finite.device.type == "cpu" or len(self._waiting) >= EVERY:
            self.look()

    def look(self) -> None:
        """Raise NonFiniteError for the first bad step that has not been looked at."""
        waiting, self._waiting = self._waiting, []
        if not waiting or bool(torch.cat([finite for finite, _, _ in waiting]).all()):
            return
        for finite, names, message in waiting:
            bad = [name for name, good in zip(names, finite.tolist(), strict=True) if not good]
            if bad:
                raise NonFiniteError(message.format(", ".join(bad)))
