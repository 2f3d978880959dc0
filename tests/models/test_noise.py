"""Noise of a step: its first numbers are the same however many events a batch is filled up to."""

from __future__ import annotations

import pytest
import torch

from anomaly_hep.models.noise import drawn


@pytest.mark.parametrize("draw", [torch.randn, torch.rand])
@pytest.mark.parametrize("components", [1, 2, 8, 16])
def test_the_first_events_have_the_same_noise(draw: object, components: int) -> None:
    def noise(events: int) -> torch.Tensor:
        assert callable(draw)
        return drawn(draw, (events, components), torch.Generator().manual_seed(3))

    longest = noise(40)
    for events in range(41):
        assert torch.equal(noise(events), longest[:events])
