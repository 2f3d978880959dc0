"""Many runs of images, and of images and jets, in one table."""

from __future__ import annotations

import statistics

import pandas as pd
import pytest
from tests.evaluate.fake_image_run import fake_image_run
from tests.evaluate.fake_run import fake_run

from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.runfiles import RunFiles

EVENTS = {"QCD": 100, "SUEP200": 20, "SUEP1000": 20, "SVJ3100": 20}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("outputs")
    for seed in (1, 2):
        fake_image_run(directory / f"codae{seed}", seed=seed, events=EVENTS)
    fake_image_run(directory / "cct", model="cct", seed=1, supervised=True, events=EVENTS)
    return directory


@pytest.fixture(scope="module")
def table(outputs):
    return collect(outputs)


def test_both_metrics_with_means_and_published_rows(table):
    assert [table.title, *(other.title for other in table.also)] == [
        "Area under the ROC curve in %",
        "Background that passes in % where 40 % of the signal does",
    ]
    assert [column.key for column in table.columns] == [
        "SUEP200",
        "SUEP1000",
        "mean SUEP",
        "SVJ3100",
        "mean SVJ",
    ]
    names = [row.name for row in table.rows]
    place = names.index("CoDAE: SAE (2 seeds)")
    assert names[place + 1] == "  spread of seeds"
    assert table.rows[place + 2].cells["mean SVJ"] == Cell("89.26", "")
    assert names[names.index("tracks, images of CoDAE") + 2] == "  paper Table 4"


def test_means_spread_over_seeds(outputs, table):
    found = [
        RunFiles(outputs / f"codae{seed}").results.means["sae"]["SUEP"]["auc"].value
        for seed in (1, 2)
    ]
    rows = pd.read_csv(outputs / "collected.csv")
    row = rows[(rows.ensemble == "CoDAE") & (rows.score == "sae") & (rows.signal == "mean SUEP")]
    row = row.set_index("metric")
    assert set(row.index) == {"auc", "fpr_at_tpr_40"}
    assert row.loc["auc", "mean"] == pytest.approx(statistics.mean(found))
    assert row.loc["auc", "seed_spread"] == pytest.approx(statistics.stdev(found))


def test_a_supervised_run_is_named_and_stamped(table):
    assert "CCT (supervised): signal probability (1 seed)" in [row.name for row in table.rows]
    assert any(remark.startswith("SUPERVISED") for remark in table.remarks)


def test_jets_and_images_have_tables_of_their_own(tmp_path):
    fake_run(tmp_path / "clip", events=300)
    fake_image_run(tmp_path / "codae", events=EVENTS)
    table = collect(tmp_path)
    assert [table.title, *(other.title for other in table.also)] == [
        "JetClass: Signal efficiency in % at background rejection 100",
        "dark showers: Area under the ROC curve in %",
        "dark showers: Background that passes in % where 40 % of the signal does",
    ]
    assert not any("CoDAE" in row.name for row in table.rows)
    assert not any("CLIP" in row.name for other in table.also for row in other.rows)
    text = (tmp_path / "collected.md").read_text()
    assert "N-subjettiness" in text
    assert "**dark showers: Area under the ROC curve in %**" in text


def test_runs_from_before_rates_were_measured_are_still_collected(tmp_path):
    run = fake_run(tmp_path / "clip", events=300)
    text = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text(text.replace("fpr_at_tpr_40", "something_else"))
    collect(tmp_path)
    rows = pd.read_csv(tmp_path / "collected.csv")
    assert rows[rows.metric == "fpr_at_tpr_40"]["mean"].isna().all()
