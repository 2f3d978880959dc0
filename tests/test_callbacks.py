"""Which weights are kept as the best, and when a training ends; kills are in tests/faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import lightning
import pandas as pd
import pytest
import torch
from rich.console import Console

from anomaly_hep.callbacks import Checkpoints
from anomaly_hep.errors import ConfigError
from anomaly_hep.fitting import Training
from anomaly_hep.metrics_csv import MetricsCSV
from anomaly_hep.models.phase import Phase, phases_of
from anomaly_hep.resuming import CheckpointFiles, Position
from anomaly_hep.runtime import Termination
from tests.trainings import ADAM, BATCHES, ToyModel, fit, toy_data, training, two_phases


def _kept(path: Path, validations: Sequence[tuple[float, bool]], best: str = "min") -> list[int]:
    """Return the validations, of (val/loss, final objective), whose weights were kept in turn."""
    phase = Phase("train", 9, {}, None, checkpoint=("loss", best), patience=2)
    files, rows = CheckpointFiles(Position("train")), MetricsCSV(path / "metrics.csv")
    end = Termination()
    callback = Checkpoints(
        path, phase, files, rows, every_seconds=1e9, termination=end, check=lambda: None
    )
    kept = []
    for number, (loss, final) in enumerate(validations):
        trainer = MagicMock(spec=lightning.Trainer, num_training_batches=3, current_epoch=number)
        trainer.callback_metrics = {"val/loss": torch.tensor(loss)}
        trainer.loggers, trainer.lr_scheduler_configs, trainer.global_step = [], [], 3
        trainer.should_stop = False
        trainer.save_checkpoint.side_effect = lambda *_, number=number, **__: kept.append(number)
        callback.on_validation_end(trainer, SimpleNamespace(objective_is_final=final))
        if trainer.should_stop:
            break
    return kept


@pytest.mark.parametrize(
    ("losses", "kept"), [([3.0, 1.0, 2.0], [0, 1]), ([3.0, 2.0, 1.0], [0, 1, 2]), ([1.0, 1.0], [0])]
)
def test_the_lowest_background_loss_is_kept(
    tmp_path: Path, losses: list[float], kept: list[int]
) -> None:
    assert _kept(tmp_path, [(loss, True) for loss in losses]) == kept


def test_the_highest_is_kept_where_the_phase_says_so(tmp_path: Path) -> None:
    assert _kept(tmp_path, [(3.0, True), (1.0, True), (4.0, True)], "max") == [0, 2]


def test_the_newest_is_kept_while_the_objective_changes(tmp_path: Path) -> None:
    assert _kept(tmp_path, [(1.0, False), (2.0, False), (3.0, False)]) == [0, 1, 2]


def test_losses_before_the_objective_is_final_do_not_compete(tmp_path: Path) -> None:
    found = _kept(tmp_path, [(1.0, False), (3.0, True), (2.0, True), (4.0, True)])
    assert found == [0, 1, 2]


def test_a_phase_ends_when_patience_does(tmp_path: Path) -> None:
    losses = [5.0, 4.0, 6.0, 3.0, 6.0, 6.0, 1.0]
    assert _kept(tmp_path, [(loss, True) for loss in losses]) == [0, 1, 3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_data(tmp_path_factory.mktemp("toys"))


def _one_phase(epochs: int = 3, **choices: Any) -> dict[str, Any]:
    return {"train": {"epochs": epochs, "optimizer": ADAM, "scheduler": None, **choices}}


def _validated(run: Path) -> list[int]:
    """Return the steps that validations followed, counted from 1."""
    rows = pd.read_csv(run / "metrics.csv")
    return [int(step) + 1 for step in rows.dropna(subset="val/loss")["step"]]


def test_the_last_epoch_of_each_phase_is_validated(tmp_path: Path, data: Path) -> None:
    """trainer.max_epochs=1 was refused because validation comes every second epoch."""
    fit(tmp_path / "one", data, _one_phase(1))
    assert _validated(tmp_path / "one") == [BATCHES]
    fit(tmp_path / "three", data, _one_phase(3))
    assert _validated(tmp_path / "three") == [2 * BATCHES, 3 * BATCHES]
    fit(tmp_path / "two", data, two_phases(), max_epochs=2)
    assert _validated(tmp_path / "two") == [BATCHES, 2 * BATCHES]


@pytest.mark.parametrize(
    "choice", [{"max_steps": 2}, {"max_time": {"milliseconds": 1}}, {"max_time": "00:00:00:00"}]
)
def test_a_training_that_is_stopped_is_validated(
    tmp_path: Path, data: Path, choice: dict[str, Any]
) -> None:
    fit(tmp_path / "run", data, _one_phase(8), **choice)
    steps = choice.get("max_steps", 1)
    assert _validated(tmp_path / "run") == [steps]
    found = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert found["position"]["over"]
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


def test_a_training_without_validation_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="limit_val_batches=0"):
        training(tmp_path, data, _one_phase(), limit_val_batches=0)


def test_a_key_that_lightning_does_not_know_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="max_epoks"):
        fit(tmp_path, data, _one_phase(), max_epoks=3)


def test_a_term_that_the_loss_does_not_have_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match=r"no term 'kl'.*one of distance, loss"):
        fit(tmp_path, data, _one_phase(1, checkpoint=["kl", "min"]))
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "monitor": "kl"}
    with pytest.raises(ConfigError, match=r"scheduler.monitor.*no term 'kl'"):
        fit(tmp_path / "other", data, _one_phase(1, scheduler=plateau))


def test_metrics_csv_says_step_epoch_and_phase(tmp_path: Path, data: Path) -> None:
    fit(tmp_path, data, two_phases())
    rows = pd.read_csv(tmp_path / "metrics.csv")
    trained = rows.dropna(subset="train/loss")
    assert trained["step"].tolist() == list(range(4 * BATCHES))
    assert trained["epoch"].tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert trained["phase"].tolist() == ["first"] * 6 + ["second"] * 6


class Watched(Training):
    """A training that keeps what each of its Trainers ended with."""

    def _fit_phase(self, phase: Phase, position: Position, resumed: Path | None) -> Position:
        before = {n: p.clone() for n, p in self.model.named_parameters()}
        ended = super()._fit_phase(phase, position, resumed)
        moved = {n for n, p in self.model.named_parameters() if not torch.equal(p, before[n])}
        self.moved = {**getattr(self, "moved", {}), phase.name: moved}
        return ended


def test_what_does_not_learn_keeps_its_weights_and_its_statistics(
    tmp_path: Path, data: Path
) -> None:
    made = training(tmp_path, data, two_phases(), kind=Watched)
    made.fit(None, Console(quiet=True))
    assert made.moved["first"] == {n for n, _ in made.model.named_parameters()}
    assert made.moved["second"] == {"decoder.weight", "decoder.bias"}
    first, last = (
        torch.load(tmp_path / "checkpoints" / name, weights_only=True)
        for name in ("best-first.ckpt", "last.ckpt")
    )
    # statistics of the frozen norm are those of the best weights of the phase before
    for name in ("encoder.1.running_mean", "encoder.1.running_var", "encoder.0.weight"):
        assert torch.equal(first["state_dict"][name], last["state_dict"][name])
    (optimizer,) = last["optimizer_states"]
    assert len(optimizer["state"]) == 2


def test_gradients_pass_through_what_is_frozen() -> None:
    model = ToyModel(phases=_one_phase(trains=["encoder"]), seed=1)
    model.begin(model.phase)
    model.decoder(model.encoder(torch.randn(5, 8))).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())
    assert all(parameter.grad is None for parameter in model.decoder.parameters())
    assert model.training
    assert model.encoder[2].training
    assert not model.decoder.training
    model.begin(phases_of(_one_phase())[0])
    assert all(p.requires_grad for p in model.parameters())
    assert model.decoder.training


def test_noise_differs_between_phases_steps_and_seeds() -> None:
    def drawn(seed: int, phase: int) -> torch.Tensor:
        model = ToyModel(phases=two_phases(), seed=seed)
        model.begin(model.phases[phase])
        return model.noise_like(torch.zeros(5))

    assert torch.equal(drawn(1, 0), drawn(1, 0))
    for other in (drawn(1, 1), drawn(2, 0), drawn(2, 1)):
        assert not torch.equal(drawn(1, 0), other)
    # as it was before there were phases, so that runs can be repeated
    expected = torch.Generator().manual_seed(1_000_003 * 1_000_033)
    assert torch.equal(drawn(1, 0), torch.randn(16, generator=expected)[:5])
    assert drawn(2**40, 1).isfinite().all()  # beyond 64 bits
