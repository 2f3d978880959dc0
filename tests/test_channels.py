"""data.channel=all: a training for each channel, and their combination."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly_hep import train
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import darkmachines
from tests import runs
from tests.toys import toy_objects

SIGNALS = {"1": ["stlp_st1000", "Zprime_tt_3000"], "3": ["stlp_st1000"]}
ABOUT = {"origin": "simulated", "generator": "a toy"}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("channels")
    for number, (channel, signals) in enumerate(SIGNALS.items()):
        place = path / f"chan{channel}" / "events"
        for i in range(2):
            seed = 10 * number + i
            darkmachines.write(
                place / f"background_chan{channel}_{i:03d}.csv.gz",
                [toy_objects(600, seed=seed)], ABOUT,
            )  # fmt: skip
        for i, signal in enumerate(signals):
            darkmachines.write(
                place / f"{signal}_chan{channel}_000.csv.gz",
                [toy_objects(100, seed=90 + i, processes=(signal,), harder=3.0)], ABOUT,
            )  # fmt: skip
    printed = runs.command(
        path, "train", "experiment=darkmachines", "data.dir=chan${data.channel}",
        "~data.simulation", "data.if_missing=error", "data.channels=[1,3]", "run_dir=all",
        "trainer.max_epochs=2", "trainer.enable_progress_bar=false", "fitted_scores=none",
    )  # fmt: skip
    return path / "all", printed


def test_each_channel_is_a_run_of_its_own(collected: tuple[Path, str]) -> None:
    path, printed = collected
    for channel, signals in SIGNALS.items():
        metrics = json.loads((path / f"channel-{channel}" / "metrics.json").read_text())
        assert metrics["data"]["name"].startswith(f"Dark Machines channel {channel}")
        assert set(metrics["scores"]["kl"]) == set(signals)
        for cells in metrics["scores"]["kl"].values():
            assert cells["significance_improvement"] is not None
            assert cells["efficiency_at_rejection_10000"] is None
    assert "not tested, as there are no files of them: glgl1400_neutralino1100" in printed


def test_the_combination_has_the_best_of_both_channels(collected: tuple[Path, str]) -> None:
    path, printed = collected
    assert "Total improvement over channels 1, 3" in printed
    content = json.loads((path / "collected.json").read_text())
    numbers = {(n["score"], n["of"]): n["value"] for n in content["combined"]}
    single = [
        json.loads((path / f"channel-{c}" / "metrics.json").read_text())["scores"]["kl"]
        for c in SIGNALS
    ]
    best = max(s["stlp_st1000"]["significance_improvement"][0] for s in single)
    assert numbers["kl", "stlp_st1000"] == pytest.approx(best, rel=0.1, abs=0.05)
    values = sorted(numbers["kl", s] for s in SIGNALS["1"])
    assert numbers["kl", "median"] == pytest.approx(sum(values) / 2)
    assert {("met", "median"), ("ht", "median")} <= set(numbers)
    for name in ("total_improvement", "significance_by_channel"):
        assert (path / f"collected_{name}.png").stat().st_size > 10_000
    assert list(content["ensembles"].values()) == [
        {"data.channel": 1}, {"data.channel": 3}
    ]  # fmt: skip


def test_the_processes_of_each_split_are_recorded(collected: tuple[Path, str]) -> None:
    path, _ = collected
    ledger = json.loads((path / "channel-1" / "ledger.json").read_text())
    assert set(ledger["processes"]) == {"train", "val", "test"}
    for counts in ledger["processes"].values():
        assert set(counts) == {"ttbar", "wjets"}
    assert sum(ledger["processes"]["train"].values()) == 600  # half of them


def test_from_python_one_channel_is_trained_at_a_time() -> None:
    with pytest.raises(ConfigError, match=r"data.channel=all is a training for each of \[1, '2a'"):
        train("deepset_bvae", **{"data.channel": "all"})
