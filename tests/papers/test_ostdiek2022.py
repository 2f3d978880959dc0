"""The published numbers of the Deep Set beta-VAE, and what collect makes of several channels."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.evaluate import combination
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.papers import ostdiek2022

PAPER = load_paper("ostdiek2022")
# SciPost Phys. 12, 045: medians over the signals that its author's files give
MEDIANS = {
    ("β = 1, w = 1", "1 2a 2b"): 3.08,
    ("β = 1, w = 10", "1 2a 2b"): 2.27,
    ("β = 0.001, w = 1", "1 2a 2b"): 0.33,
    ("β = 0.001, w = 10", "1 2a 2b"): 0.32,
    ("β = 1, w = 1", "1 2a 2b 3"): 3.50,
    ("β = 1, w = 10", "1 2a 2b 3"): 3.75,
    ("β = 0.001, w = 1", "1 2a 2b 3"): 1.04,
    ("β = 0.001, w = 10", "1 2a 2b 3"): 1.20,
}


def config(channel: int | str, beta: float = 1.0, w: float = 1.0) -> dict[str, object]:
    model = {"name": "deepset_bvae", "beta": beta, "w": w}
    return {"data": {"channel": channel}, "model": model}


@pytest.mark.parametrize(("row", "channels"), MEDIANS)
def test_the_medians_are_the_published_ones(row: str, channels: str) -> None:
    best: dict[str, float] = defaultdict(float)
    for published in PAPER.rows:
        in_channels = str(published.choices.get("data.channel")) in channels.split()
        wanted = published.metric == ostdiek2022.SIGNIFICANCE.key and published.row == row
        if wanted and in_channels:
            for signal, value in published.values.items():
                best[signal] = max(best[signal], value)
    assert np.median(list(best.values())) == pytest.approx(MEDIANS[row, channels], abs=0.006)


@pytest.mark.parametrize("channel", [1, "1", "2a", "2b", 3])
def test_rows_stand_beside_runs_of_their_channel_alone(channel: int | str) -> None:
    rows = PAPER.published(config(channel))
    assert {str(row.choices["data.channel"]) for row in rows} == {str(channel)}
    names = {row.row for row in rows}
    assert {"β = 1, w = 1", "flow likelihood", "DeepSVDD and flow"} <= names
    assert "β = 1, w = 10" not in names
    assert all(set(row.cells) <= {s.label for s in PAPER.signals} for row in rows)


def test_published_areas_are_those_of_the_files() -> None:
    (row,) = [
        r for r in PAPER.published(config(1)) if r.metric == "auc" and r.row == "β = 1, w = 1"
    ]
    assert row.values["stlp_st1000"] == pytest.approx(93.2, abs=0.05)
    assert row.values["glgl1400_neutralino1100"] == pytest.approx(63.9, abs=0.05)
    assert row.title == "paper Fig. 7: β = 1, w = 1"
    assert row.score == "kl"


def test_improvements_follow_from_the_published_efficiencies() -> None:
    by_metric = defaultdict(dict)
    for row in PAPER.rows:
        key = (row.row, str(row.choices.get("data.channel")))
        by_metric[key][row.metric] = row.values
    assert len(by_metric) == 6 * 4
    for metrics in by_metric.values():
        for signal, value in metrics[ostdiek2022.SIGNIFICANCE.key].items():
            parts = [
                metrics[f"efficiency_at_rejection_{r}"][signal] / 100 * r**0.5
                for r in ostdiek2022.REJECTIONS
            ]
            assert value == pytest.approx(max(parts), rel=0.01, abs=0.001)


def test_the_challenges_improvements_are_quoted_with_their_source() -> None:
    path = Path(ostdiek2022.__file__).with_name("ostdiek2022_improvements.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["flow likelihood"]["median"]) == 15
    assert float(rows["DeepSVDD and flow (average)"]["median"]) == 10
    assert float(rows["DeepSVDD and flow (average)"]["minimum"]) == 0.8
    assert float(rows["Deep Set β-VAE, β = 1, w = 1"]["median"]) == 3.5


def test_models_of_a_scan_stand_in_the_order_of_their_numbers() -> None:
    values: list[dict[str, object]] = [
        {"beta": b, "w": w} for b in (1e-6, 0.001, 1) for w in (1, 10)
    ]
    shuffled = random.Random(1).sample(values, len(values))
    assert shuffled != values
    assert sorted(shuffled, key=combination._rank) == values
