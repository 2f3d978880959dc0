"""Tables of arXiv:2306.12955 against their own means and cells typed a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from anomaly_hep.models.loading import model_class
from anomaly_hep.papers.anzalone2023 import PAPER

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = {
    "SUEP": [f"SUEP{mass}" for mass in (125, 200, 300, 400, 700, 1000)],
    "SVJ": [f"SVJ{mass}" for mass in (2100, 3100, 4100)],
}
COLUMNS = (*GROUPS["SUEP"], "mean SUEP", *GROUPS["SVJ"], "mean SVJ")
METRICS = ("auc", "fpr_at_tpr_40")
PUBLISHED = [row for row in PAPER.rows if row.metric in METRICS]


def row_of(model, score, metric="auc"):
    """Row of one score of a model, or of a baseline."""
    (found,) = (
        row
        for row in PUBLISHED
        if (row.choices.get("model.name"), row.score, row.metric) == (model, score, metric)
    )
    return found


# model, score, metric, column, value: cells picked from Tables 4 to 7, 10 and 11
CELLS = [
    (None, "n_tracks", "auc", "SUEP125", 78.68),
    (None, "n_tracks", "fpr_at_tpr_40", "mean SVJ", 2.53),
    (None, "energy_hcal", "auc", "SVJ4100", 88.15),
    (None, "energy", "fpr_at_tpr_40", "SUEP1000", 50.54),
    ("cct", "signal_probability", "auc", "mean SUEP", 97.4),
    ("codae", "latent_1", "auc", "mean SVJ", 87.31),
    ("codae", "latent_2", "auc", "SUEP1000", 0.08),
    ("codae", "sae", "fpr_at_tpr_40", "SUEP400", 0.004),
    ("codae", "sae", "auc", "mean SUEP", 97.1),
    ("codae", "sse", "auc", "mean SUEP", 97.05),
    ("codae", "energy_difference", "auc", "SUEP400", 62.67),
    ("codvae", "sse", "fpr_at_tpr_40", "SVJ2100", 3.065),
    ("codvae", "kl_forward", "auc", "mean SVJ", 83.3),
    ("codvae", "energy_predicted", "fpr_at_tpr_40", "SUEP1000", 3.189),
    ("dirichletvae", "latent_2", "auc", "mean SVJ", 66.72),
]


@pytest.mark.parametrize(("model", "score", "metric", "column", "value"), CELLS)
def test_cells(model, score, metric, column, value):
    assert row_of(model, score, metric).values[column] == value


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.table}-{row.row}")
def test_every_row_has_the_mean_that_is_printed(row):
    assert set(row.values) <= set(COLUMNS)
    for group, labels in GROUPS.items():
        # what is printed as nearly nothing is absent and counts as nothing
        mean = np.mean([row.values.get(label, 0.0) for label in labels])
        assert mean == pytest.approx(row.values[f"mean {group}"], abs=0.0075)


def test_only_small_rates_are_absent():
    for row in PUBLISHED:
        absent = [label for label in COLUMNS if label not in row.values]
        assert not absent or row.metric == "fpr_at_tpr_40"
        for label in absent:
            assert row_of_area(row).values[label] > 93


def row_of_area(row):
    """Row of the same score in the table of areas."""
    (area,) = (r for r in PUBLISHED if r.row == row.row and r.metric == "auc")
    return area


def test_their_bce_stands_beside_our_sae_and_nothing_beside_our_bce():
    assert all(row.score != "bce" for row in PUBLISHED)
    printed = [row for row in PUBLISHED if "printed: BCE" in row.row]
    assert {row.score for row in printed} == {"sae"}
    assert {row.choices["model.name"] for row in printed} == {"codae", "codvae", "imageae"}


def test_the_row_of_hits_is_what_the_aes_mask_row_is_not():
    ours, theirs = row_of(None, "hits"), row_of("imageae", "sae_mask")
    for label in COLUMNS:
        assert ours.values[label] + theirs.values[label] == pytest.approx(100, abs=0.011)


def test_a_models_rows_are_its_own_the_baselines_and_the_supervised_one():
    rows = PAPER.published({"model": {"name": "codae"}})
    assert {row.choices.get("model.name") for row in rows} == {"codae", None, "cct"}
    assert {row.metric for row in rows} == {*METRICS, "mse", "ssim"}
    assert {row.table for row in rows} == {4, 5, 8, 10, 11}
    assert [row for row in PAPER.rows if row in rows] == rows


def test_an_unknown_model_has_no_rows():
    assert PAPER.published({"model": {"name": "newae"}}) == []
    assert PAPER.published({}) == []


@pytest.mark.parametrize(
    ("model", "metric", "mean", "deviation"),
    [
        ("codae", "mse", 12.14, 9.1),
        ("codae", "ssim", 0.97, 0.03),
        ("codvae", "mse", 17.72, 12.98),
        ("imageae", "ssim", 0.36, 0.12),
        ("dirichletvae", "mse", 79.29, 26.1),
    ],
)
def test_quality_of_reconstructions(model, metric, mean, deviation):
    rows = PAPER.published({"model": {"name": model}})
    (row,) = (r for r in rows if r.metric == metric)
    assert (row.table, row.values, row.spread) == (8, {"QCD": mean}, {"QCD": deviation})


def test_every_score_of_a_row_is_one_of_its_model():
    for row in PUBLISHED:
        name = row.choices.get("model.name")
        known = {b.name for b in PAPER.baselines} if name is None else _scores(name)
        assert row.score in {*known, ""}, row.title


def _scores(name):
    config = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())
    return model_class(config.get("model", config)["_target_"]).score_descriptions()


def test_masses_are_said_with_their_unit():
    assert PAPER.text("SUEP125") == "SUEP 125 GeV"
    assert PAPER.text("SVJ2100") == "SVJ 2.1 TeV"
    assert PAPER.short("SUEP1000") == "1000 GeV"
    assert PAPER.signal("SUEP400").heading == "SUEP\n400 GeV"
    assert PAPER.signal("mean SVJ").heading == "SVJ\nmean"


def test_the_table_of_scores_holds_the_mass_and_what_the_baselines_need():
    energies = {f"energy{part}" for part in ("", "_tracker", "_ecal", "_hcal")}
    assert set(PAPER.event_columns) == {"mass", "n_tracks", "hits"} | energies
