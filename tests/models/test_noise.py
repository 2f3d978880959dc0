"""Noise of a step: its first numbers are the same however many events a batch is filled up to."""

from __future__ import annotations

import traceback

import pytest
import torch

from anomaly_hep.models.noise import drawn
from tests.models.jets import batch_for, make_model


@pytest.mark.parametrize("draw", [torch.randn, torch.rand])
@pytest.mark.parametrize("components", [1, 2, 8, 16])
def test_the_first_events_have_the_same_noise(draw: object, components: int) -> None:
    def noise(events: int) -> torch.Tensor:
        assert callable(draw)
        return drawn(draw, (events, components), torch.Generator().manual_seed(3))

    longest = noise(40)
    for events in range(41):
        assert torch.equal(noise(events), longest[:events])


def test_a_step_seeds_the_global_generator_and_formats_no_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fault: each step formatted a stack for every kind of device that nobody used."""
    model = make_model("model=setvae")
    batch = batch_for(model, [3, 5])
    torch.manual_seed(model.rng().initial_seed())
    expected = torch.rand(4)
    monkeypatch.setattr(traceback, "format_stack", lambda *_: pytest.fail("a stack was formatted"))
    drawn_in_step = []

    def loss(*_: object) -> dict[str, torch.Tensor]:
        drawn_in_step.append(torch.rand(4))
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(model, "loss", loss)
    model.training_step(batch, 0)
    model.training_step(batch, 1)
    assert all(torch.equal(values, expected) for values in drawn_in_step)
