"""threshold.json: what is written is read, and what does not belong to the model is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anomaly_hep.errors import ConfigError, MissingDataError, RunDirectoryError
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.thresholds import (
    FILE,
    Thresholds,
    files_behind,
    needed_files,
    read_thresholds,
)
from anomaly_hep.evaluate.triggerrate import TriggerThreshold
from anomaly_hep.models.fitted import ECOD, FittedScore, MassQuantile, Rank

FITTED: dict[str, FittedScore] = {
    "tails": ECOD(embedding="event"),
    "rank": Rank(scores=["default", "tails"]),
    "rank_decorrelated": MassQuantile(score="rank", mass="m"),
    "kl_decorrelated": MassQuantile(score="kl", mass="m"),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with what stands for a checkpoint and fitted scores."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    for name in FITTED:
        (tmp_path / "checkpoints" / f"fitted-{name}.npz").write_bytes(name.encode())
    return tmp_path


def thresholds(run: Path, *scores: str) -> Thresholds:
    made = [
        TriggerThreshold(s, Interval(2.0, 1.9, 2.1), Interval(999.0, 930.0, 1070.0), 200.0)
        for s in scores
    ]
    files = files_behind(run / "checkpoints" / "best.ckpt", scores, FITTED)
    return Thresholds("Toys", "simulated", "QCD", 20_000, 2e4, 1000.0, 1e5, files, made)


def test_what_is_written_is_read_again(run: Path) -> None:
    made = thresholds(run, "kl", "kl_decorrelated")
    made.write(run)
    assert read_thresholds(run / FILE) == made
    assert made.cuts == {"kl": 2.0, "kl_decorrelated": 2.0}
    made.check(run / FILE, run / "checkpoints" / "best.ckpt", FITTED)


def test_a_score_depends_on_all_that_it_follows_from() -> None:
    assert needed_files(["kl"], FITTED) == []
    assert needed_files(["kl_decorrelated"], FITTED) == ["kl_decorrelated"]
    assert needed_files(["rank_decorrelated"], FITTED) == ["rank", "rank_decorrelated", "tails"]


@pytest.mark.parametrize("file", ["best.ckpt", "fitted-tails.npz", "fitted-rank_decorrelated.npz"])
@pytest.mark.parametrize("gone", [False, True])
def test_thresholds_of_another_model_are_refused(run: Path, file: str, gone: bool) -> None:
    made, path = thresholds(run, "rank_decorrelated"), run / "checkpoints" / file
    path.unlink() if gone else path.write_bytes(b"other")
    with pytest.raises(ConfigError, match=f"belongs to another .*{file}. Cure") as caught:
        made.check(run / FILE, run / "checkpoints" / "best.ckpt", FITTED)
    assert "\n" not in str(caught.value)


def test_what_another_score_follows_from_may_change(run: Path) -> None:
    made = thresholds(run, "kl_decorrelated")
    (run / "checkpoints" / "fitted-tails.npz").unlink()
    made.check(run / FILE, run / "checkpoints" / "best.ckpt", FITTED)


def test_a_fitted_score_that_the_file_does_not_know_is_refused(run: Path) -> None:
    made = replace(thresholds(run, "kl"), thresholds=thresholds(run, "tails").thresholds)
    with pytest.raises(ConfigError, match="does not say which fitted score 'tails'"):
        made.check(run / FILE, run / "checkpoints" / "best.ckpt", FITTED)


def test_a_changed_file_of_a_run_is_refused(run: Path) -> None:
    thresholds(run, "kl").write(run)
    text = (run / FILE).read_text()
    (run / FILE).write_text(text.replace("2.0", "3.0", 1))
    with pytest.raises(RunDirectoryError, match=r"was changed or damaged .* command rate again"):
        read_thresholds(run / FILE)


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no threshold": lambda content: content.pop("thresholds"),
    "none of any score": lambda content: content.update(thresholds=[]),
    "not a number": lambda content: content["thresholds"][0].update(threshold=[float("nan")] * 3),
    "a text": lambda content: content["thresholds"][0].update(threshold=["a", 1, 2]),
    "two numbers": lambda content: content["thresholds"][0].update(rate_hz=[1.0, 2.0]),
    "no model": lambda content: content.update(files={}),
    "rates the wrong way round": lambda content: content.update(wanted_hz=1e9),
    "another key": lambda content: content.update(more=1),
    "no version": lambda content: content.pop("version"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_copy_is_refused_in_one_line(run: Path, tmp_path: Path, what: str) -> None:
    thresholds(run, "kl").write(run)
    content = json.loads((run / FILE).read_text())
    DAMAGE[what](content)
    copy = tmp_path / "copy" / FILE  # a copy has no checksum beside it
    copy.parent.mkdir()
    copy.write_text(json.dumps(content))
    with pytest.raises(RunDirectoryError, match=r"is damaged .* Cure") as caught:
        read_thresholds(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 0.5, 0.99])
def test_a_truncated_copy_is_refused(run: Path, tmp_path: Path, cut: float) -> None:
    thresholds(run, "kl").write(run)
    content = (run / FILE).read_bytes()
    copy = tmp_path / "copy" / FILE
    copy.parent.mkdir()
    copy.write_bytes(content[: int(cut * (len(content) - 2))] if cut < 1 else b"{")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        read_thresholds(copy)


def test_a_file_of_another_version_and_none_are_said(run: Path, tmp_path: Path) -> None:
    replace(thresholds(run, "kl"), version=2).write(run)
    with pytest.raises(RunDirectoryError, match=r"is of version 2, .* Cure: make it again"):
        read_thresholds(run / FILE)
    with pytest.raises(MissingDataError, match=r"does not exist. Cure: python -m anomaly_hep rate"):
        read_thresholds(tmp_path / "no" / FILE)
