"""Which model is kept as the best one; kills and resumes are in faults/test_kill.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import lightning
import pytest
import torch

from anomaly_hep.callbacks import Checkpoints
from anomaly_hep.runtime import Termination


def _kept(directory: Path, validations: Sequence[tuple[float, bool]]) -> int:
    """Return the number of the validation, (val/loss, final objective), best.ckpt is from."""
    callback = Checkpoints(directory, every_seconds=1e9, termination=Termination())
    for number, (loss, final) in enumerate(validations):
        trainer = MagicMock(spec=lightning.Trainer)
        trainer.callback_metrics = {"val/loss": torch.tensor(loss)}
        trainer.loggers, trainer.is_global_zero = [], True
        trainer._checkpoint_connector = MagicMock()
        trainer._checkpoint_connector.dump_checkpoint.return_value = {"number": number}
        model = SimpleNamespace(objective_is_final=final, checkpoint_term=("loss", "min"))
        callback.on_validation_end(trainer, model)
    return int(torch.load(directory / "best.ckpt", weights_only=True)["number"])


@pytest.mark.parametrize(
    ("losses", "best"), [([3.0, 1.0, 2.0], 1), ([3.0, 2.0, 1.0], 2), ([1.0, 1.0], 0)]
)
def test_the_lowest_background_loss_is_kept(tmp_path: Path, losses: list[float], best: int) -> None:
    assert _kept(tmp_path, [(loss, True) for loss in losses]) == best


def test_the_newest_is_kept_while_the_objective_changes(tmp_path: Path) -> None:
    assert _kept(tmp_path, [(1.0, False), (2.0, False), (3.0, False)]) == 2


def test_losses_before_the_objective_is_final_do_not_compete(tmp_path: Path) -> None:
    assert _kept(tmp_path, [(1.0, False), (3.0, True), (2.0, True), (4.0, True)]) == 2


def test_a_resumed_run_competes_with_the_best_before_the_kill(tmp_path: Path) -> None:
    before = Checkpoints(tmp_path, every_seconds=1e9, termination=Termination())
    before.best = 1.5
    after = Checkpoints(tmp_path, every_seconds=1e9, termination=Termination())
    after.load_state_dict(before.state_dict())
    assert after.best == 1.5
