"""Stop a run whose loss is not finite, without waiting for the device at each step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_hep.errors import NonFiniteError

# steps on an accelerator between two checks, which are lost after a NaN
EVERY = 50


class FiniteGuard:
    """Watch the loss terms of each step; the first NaN or infinity stops the run.

    On the CPU each step is checked at once. An accelerator runs behind the host, so its flags are
    checked every few steps and before weights are written; the error names the step of the flag.
    """

    def __init__(self) -> None:
        self._unchecked: list[tuple[Tensor, tuple[str, ...], str]] = []

    def watch(self, terms: Mapping[str, Float[Tensor, ""]], message: str) -> None:
        """Add a step; `message` names it and the cure, with {} for its bad terms."""
        finite = torch.stack([value.detach().float() for value in terms.values()]).isfinite()
        self._unchecked.append((finite, tuple(terms), message))
        if finite.device.type == "cpu" or len(self._unchecked) >= EVERY:
            self.look()

    def look(self) -> None:
        """Raise NonFiniteError for the first bad step that has not been checked yet."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked or bool(torch.cat([finite for finite, _, _ in unchecked]).all()):
            return
        for finite, names, message in unchecked:
            bad = [name for name, good in zip(names, finite.tolist(), strict=True) if not good]
            if bad:
                raise NonFiniteError(message.format(", ".join(bad)))
