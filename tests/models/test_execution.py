from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.execution import Execution


def _with_gpus(count: int) -> Any:
    return mock.patch.object(torch.cuda, "device_count", return_value=count)


@pytest.mark.parametrize(
    ("accelerator", "gpus", "device"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda:0"), ("gpu", 2, "cuda:0"), ("cuda", 1, "cuda:0"),
     ("cpu", 1, "cpu")],
)  # fmt: skip
def test_the_device_is_what_is_there_or_what_was_asked_for(
    accelerator: str, gpus: int, device: str
) -> None:
    with _with_gpus(gpus), mock.patch("torch.backends.mps.is_available", return_value=False):
        execution = Execution.of(accelerator)
    assert execution.device == torch.device(device)
    # accelerators take static shapes; what is compiled by itself is so on CUDA
    assert execution.slotted == (device != "cpu")
    assert execution.compiled == (None if device != "cpu" else False)


@pytest.mark.parametrize(
    ("accelerator", "gpus", "number"), [("gpu", 0, 0), ("cuda", 1, 1), ("tpu", 1, 0), ("", 0, 0)]
)
def test_what_is_not_there_is_refused(accelerator: str, gpus: int, number: int) -> None:
    with (
        _with_gpus(gpus),
        mock.patch("torch.backends.mps.is_available", return_value=False),
        pytest.raises(ConfigError, match=r"finds no accelerator.*Cure: accelerator=auto"),
    ):
        Execution.of(accelerator, number=number)


@pytest.mark.parametrize(("setting", "compiled"), [("on", True), (True, True), ("off", False),
                                                   (False, False)])  # fmt: skip
@pytest.mark.parametrize("gpus", [0, 1])
def test_on_and_off_hold_on_every_device(setting: str | bool, compiled: bool, gpus: int) -> None:
    with _with_gpus(gpus):
        execution = Execution.of("auto", setting)
    assert execution.compiled is compiled
    assert execution.slotted == (compiled or gpus > 0)
