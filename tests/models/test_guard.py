from __future__ import annotations

import pytest
import torch

from anomaly_hep.errors import NonFiniteError
from anomaly_hep.models.guard import EVERY, FiniteGuard


def _terms(value: float) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(1.0 + value), "kl": torch.tensor(value), "other": torch.ones(())}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_term_stops_the_run_in_its_step(value: float) -> None:
    guard = FiniteGuard()
    guard.watch(_terms(0.5), "{} at step 1")
    with pytest.raises(NonFiniteError, match=r"^loss, kl at step 2$"):
        guard.watch(_terms(value), "{} at step 2")
    # what was said is not said again
    guard.look()


class _Elsewhere(torch.Tensor):
    """A tensor that says it is on a device."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("meta")


def _on_device(value: float) -> dict[str, torch.Tensor]:
    return {name: term.as_subclass(_Elsewhere) for name, term in _terms(value).items()}


def test_on_a_device_the_first_bad_step_is_named_when_somebody_looks() -> None:
    guard = FiniteGuard()
    for step in range(7):
        guard.watch(_on_device(float("nan") if step in (3, 5) else 0.0), f"{{}} at step {step}")
    with pytest.raises(NonFiniteError, match=r"^loss, kl at step 3$"):
        guard.look()


def test_on_a_device_nobody_waits_longer_than_every_few_steps() -> None:
    guard = FiniteGuard()
    guard.watch(_on_device(float("nan")), "{} at step 0")
    for step in range(1, EVERY - 1):
        guard.watch(_on_device(0.0), f"{{}} at step {step}")
    with pytest.raises(NonFiniteError, match="at step 0"):
        guard.watch(_on_device(0.0), f"{{}} at step {EVERY - 1}")
