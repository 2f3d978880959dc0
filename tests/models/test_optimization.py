"""Optimisers and schedules of phases: from torch.optim alone, by prefix, by step and by epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.optimization import configured
from anomaly_hep.models.phase import Phase

ADAMW = {"_target_": "torch.optim.AdamW", "lr": 0.1}
ROOM = "torch.optim.lr_scheduler"


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 3), nn.Linear(3, 2)


def _configured(steps: int = 10, model: nn.Module | None = None, **keys: Any) -> dict[str, Any]:
    settings = {"epochs": 4, "optimizer": ADAMW, "scheduler": None, **keys}
    return configured(Phase("train", **settings), model or Network(), steps)


def _rates(steps: int, scheduler: dict[str, Any]) -> list[float]:
    """Return the learning rate of each step."""
    found = _configured(steps, scheduler=scheduler)
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_an_optimiser_has_its_arguments_and_no_schedule_is_one() -> None:
    found = _configured(optimizer={**ADAMW, "amsgrad": True, "betas": [0.5, 0.6]})
    assert type(found["optimizer"]) is torch.optim.AdamW
    assert found["optimizer"].defaults["amsgrad"]
    assert "lr_scheduler" not in found


@pytest.mark.parametrize(
    "path",
    [
        None, "AdamW", "os.system", "builtins.eval", "torch.optim.Optimizer", "torch.optim.AdamX",
        "torch.optim.adamw.AdamW", "torch.optim.lr_scheduler.OneCycleLR", "torch.hub.load",
        "torch.optim.optimizer.os.system", "anomaly_hep.models.setvae.SetVAE",
    ],
)  # fmt: skip
def test_no_other_optimiser_is_made(path: str | None) -> None:
    with pytest.raises(ConfigError, match=r"phases\.train\.optimizer\._target_=.*Cure"):
        _configured(optimizer={**ADAMW, "_target_": path})


@pytest.mark.parametrize("path", ["torch.optim.AdamW", "os.system", f"{ROOM}.LRScheduler"])
def test_no_other_schedule_is_made(path: str) -> None:
    with pytest.raises(ConfigError, match=r"phases\.train\.scheduler\._target_=.*Cure"):
        _configured(scheduler={"_target_": path})


def test_arguments_that_a_class_does_not_take_are_named() -> None:
    with pytest.raises(ConfigError, match=r"phases\.train\.optimizer: .*speed"):
        _configured(optimizer={**ADAMW, "speed": 3})
    with pytest.raises(ConfigError, match=r"phases\.train\.optimizer: .*learning rate"):
        _configured(optimizer={**ADAMW, "lr": -1.0})
    with pytest.raises(ConfigError, match=r"phases\.train\.scheduler: .*gama"):
        _configured(scheduler={"_target_": f"{ROOM}.StepLR", "step_size": 1, "gama": 3})
    with pytest.raises(ConfigError, match=r"scheduler\.interval=day"):
        _configured(scheduler={"_target_": f"{ROOM}.OneCycleLR", "interval": "day"})


def test_only_what_learns_is_in_the_optimiser() -> None:
    model = Network()
    found = _configured(model=model, trains=("decoder",))["optimizer"]
    assert found.param_groups[0]["params"] == [model.decoder.weight, model.decoder.bias]


def test_parts_have_learning_rates_of_their_own() -> None:
    model = Network()
    rates = {"decoder": 0.01, "decoder.bias": 0.001}
    first, second, third = _configured(model=model, learning_rates=rates)["optimizer"].param_groups
    assert (first["lr"], first["params"]) == (0.1, [model.encoder.weight, model.encoder.bias])
    assert (second["lr"], second["params"]) == (0.01, [model.decoder.weight])
    assert (third["lr"], third["params"]) == (0.001, [model.decoder.bias])


@pytest.mark.parametrize(
    "keys", [{"trains": ("latent",)}, {"learning_rates": {"latent": 1.0}},
             {"trains": ("encoder",), "learning_rates": {"decoder": 1.0}}],
)  # fmt: skip
def test_a_prefix_of_nothing_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"begins with '(latent|decoder)'.*encoder, decoder"):
        _configured(**keys)


def test_one_cycle_has_the_phases_steps_and_the_optimisers_peak() -> None:
    rates = _rates(10, {"_target_": f"{ROOM}.OneCycleLR"})
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert rates[-1] < 1e-6
    # each part goes to its own peak
    found = _configured(
        learning_rates={"decoder": 0.01}, scheduler={"_target_": f"{ROOM}.OneCycleLR"}
    )
    assert found["lr_scheduler"]["scheduler"].total_steps == 10
    assert [group["max_lr"] for group in found["optimizer"].param_groups] == [0.1, 0.01]
    by_epoch = {"_target_": f"{ROOM}.OneCycleLR", "interval": "epoch"}
    assert _configured(scheduler=by_epoch)["lr_scheduler"]["scheduler"].total_steps == 4


def test_linear_warm_up_is_the_published_one() -> None:
    # 100 steps, the first with a hundredth of the rate: min(1, (step + 1) / 100)
    warm_up = {"_target_": f"{ROOM}.LinearLR", "start_factor": 0.01, "total_iters": 99}
    expected = [0.1 * min(1.0, (step + 1) / 100) for step in range(150)]
    assert _rates(150, warm_up) == pytest.approx(expected, rel=1e-10)


def test_a_schedule_may_be_made_of_others() -> None:
    halves = {
        "_target_": f"{ROOM}.SequentialLR",
        "milestones": [3],
        "schedulers": [
            {"_target_": f"{ROOM}.ConstantLR", "factor": 0.5, "total_iters": 9},
            {"_target_": f"{ROOM}.ExponentialLR", "gamma": 0.1},
        ],
    }
    assert _rates(5, halves) == pytest.approx([0.05, 0.05, 0.05, 0.1, 0.01])


def test_a_plateau_follows_the_term_of_the_checkpoint_or_another() -> None:
    plateau = {"_target_": f"{ROOM}.ReduceLROnPlateau", "patience": 0}
    found = _configured(scheduler=plateau, checkpoint=("ssim", "max"))["lr_scheduler"]
    assert found["monitor"] == "val/ssim"
    assert found["scheduler"].mode == "max"
    other = _configured(scheduler={**plateau, "monitor": "kl"})["lr_scheduler"]
    assert other["monitor"] == "val/kl"
