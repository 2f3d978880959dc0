"""Tables of arXiv:2306.12955 against their own means and cells typed a second time."""

from __future__ import annotations

import numpy as np
import pytest
from anomaly_hep.evaluate.published.darkshowers import (
    COLUMNS,
    GROUPS,
    METRICS,
    PUBLISHED,
    RECONSTRUCTION,
    row_of,
    rows_of,
)

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
    assert {row.model for row in printed} == {"codae", "codvae", "imageae"}


def test_the_row_of_hits_is_what_the_aes_mask_row_is_not():
    ours, theirs = row_of(None, "hits"), row_of("imageae", "sae_mask")
    for label in COLUMNS:
        assert ours.values[label] + theirs.values[label] == pytest.approx(100, abs=0.011)


def test_a_models_rows_are_its_own_the_baselines_and_the_supervised_one():
    rows = rows_of("codae")
    assert {row.model for row in rows} == {"codae", None, "cct"}
    assert {row.metric for row in rows} == set(METRICS)
    assert {row.table for row in rows} == {4, 5, 10, 11}


def test_reconstruction():
    assert RECONSTRUCTION["codae"] == {"mse": (12.14, 9.1), "ssim": (0.97, 0.03)}
    assert RECONSTRUCTION["dirichletvae"]["mse"] == (79.29, 26.1)
    assert RECONSTRUCTION["imageae"]["ssim"] == (0.36, 0.12)
