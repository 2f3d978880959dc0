"""Sweeps: every launcher, a job that fails, and the same sweep again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import runs
from tests.data.files import write_toys


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"), train=90, test=20)


def _finished(toys: Path) -> set[Path]:
    return {path.parent for path in (toys / "outputs").glob("*/done.json")}


def test_a_failed_job_keeps_its_traceback_and_the_sweep_again_runs_what_is_missing(
    toys: Path,
) -> None:
    rates = "model.phases.train.optimizer.lr=1e-3,1e30,2e-3"
    sweep = runs.train_command("-m", "data.dir=.", rates, *runs.TWO_CLASSES)
    runs.train_here(sweep, toys, expect=1)
    good = _finished(toys)
    assert len(good) == 2
    (bad,) = {path.parent for path in (toys / "outputs").glob("*/error.txt")}
    assert bad not in good
    assert "NonFiniteError" in (bad / "error.txt").read_text()
    # all directories were written in the first sweep; those that are finished are left alone
    before = {run: (run / "metrics.json").stat().st_mtime_ns for run in good}
    printed = runs.train_here(sweep, toys, expect=1)
    assert printed.count("is finished; its results") == 2
    assert before == {run: (run / "metrics.json").stat().st_mtime_ns for run in good}
    table = runs.command(toys, "collect", "outputs")
    assert "unfinished" in table.lower() or "failed" in table.lower()


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_run_the_jobs_of_a_sweep(toys: Path, launcher: str) -> None:
    before = _finished(toys)
    betas = {"joblib": "0.01,0.02", "submitit_local": "0.03,0.04"}[launcher]
    choices = (f"model.beta={betas}", f"hydra/launcher={launcher}", *runs.TWO_CLASSES)
    runs.train(toys, "-m", "data.dir=.", *choices)
    assert len(_finished(toys) - before) == 2
