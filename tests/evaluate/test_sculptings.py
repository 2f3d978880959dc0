"""The sculpting of all scores of a run: what is measured, noted, shown and collected."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from rich.console import Console
from tests.evaluate.fake_run import DATA, fake_run, jet_results, score_table

from anomaly_hep.commands import evaluate as command
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.figures import MASS_PLOTS, plots_of
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.report import write_report
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.sculptingtable import RANDOM, sculpting_table
from anomaly_hep.evaluate.tables import result_table
from anomaly_hep.settings import EvaluateSettings

CLASSES = ("QCD", "Hbb", "Tbl")
MASSES = replace(DATA, mass="soft-drop mass")


@pytest.fixture(scope="module")
def table():
    found = score_table(1500, classes=CLASSES)
    return found.assign(mass=found["jet_sdmass"])


@pytest.fixture(scope="module")
def results(table):
    return jet_results(table, data=MASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("masses") / "clipvae"
    fake_run(directory, events=1500, classes=CLASSES, mass=True)
    (directory / "figures").mkdir()
    files = RunFiles(directory)
    for plot in MASS_PLOTS:
        for ending, figure in plot.draw(files).items():
            save(figure, directory / "figures" / f"{plot.name}{ending}.png")
    return directory


def notes(table, data=MASSES):
    found = jet_results(table, data=data)
    return found, [note for note in found.notes if "sculpting" in note]


def test_every_score_and_baseline_is_measured(results):
    assert set(results.sculpting) == {*results.scores, *results.baselines}
    mass = results.sculpting["soft_drop_mass"]
    assert mass.distance_correlation.value == pytest.approx(1)
    assert mass.at_rejection[10].relative_entropy.value == pytest.approx(np.log(10), rel=0.05)
    kl = results.sculpting["kl"]
    assert set(kl.at_signal_efficiency) == {"Hbb", "Tbl"}
    assert kl.at_rejection[10].relative_entropy.value < kl.at_rejection[10].floor.high * 1.5
    assert results.mass_bins.title == "soft-drop mass"


def test_data_without_a_mass_have_none(table):
    found, said = notes(table, DATA)
    assert (found.sculpting, found.mass_bins, said) == (None, None, [])
    assert "sculpting" not in found.to_json()
    assert sculpting_table(found) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns="mass"), "has no column 'mass'. Cure: train or score again"),
        (lambda t: t.assign(mass=np.nan), "none of the .* background events has a soft-drop mass"),
        (lambda t: t.assign(mass=80.4), "have the soft-drop mass 80.4 GeV, which no cut can"),
        (lambda t: t.iloc[:60], "are too few for 5 bins of 20"),
    ],
)
def test_what_can_not_be_measured_is_said(table, change, reason):
    found, (said,) = notes(change(table))
    assert found.sculpting is None
    assert pd.Series([said]).str.contains(reason).all()


def test_events_without_a_mass_are_counted(table):
    mass = table["mass"].where(table.index % 5 > 0)
    found, said = notes(table.assign(mass=mass))
    number = (mass.isna() & (table["label"] == "QCD")).sum()
    total = (table["label"] == "QCD").sum()
    expected = f"{number} of {total} background events have no soft-drop mass and are left out"
    assert any(expected in note for note in said)
    assert found.mass_bins.left_out == number


def test_cuts_that_too_few_events_pass_are_named(results):
    said = [note for note in results.notes if "rejection 1000" in note and "sculpting" in note]
    assert len(said) == 1
    assert "soft_drop_mass" in said[0]
    assert "fewer than 20 background events" in said[0]


def test_the_table_says_what_chance_gives(results):
    found = sculpting_table(results)
    assert found.rows[-1].name == RANDOM
    assert [column.key for column in found.blocks[0]][-1] == "distance_correlation"
    assert result_table(results).also[-1].title == found.title
    console = Console(width=80, file=None, record=True)
    with console.capture() as text:
        console.print(result_table(results))
    assert "Sculpting of the background's soft-drop mass" in text.get()


def test_metrics_json_holds_it(run):
    content = json.loads((run / "metrics.json").read_text())
    assert content["data"]["mass"] == "soft-drop mass"
    kl = content["sculpting"]["kl"]
    assert set(kl) == {"at_rejection", "at_signal_efficiency_50", "distance_correlation"}
    assert len(kl["at_rejection"]["10"]["relative_entropy"]) == 3
    assert kl["at_rejection"]["1000"] is None
    assert len(content["mass_bins"]["edges"]) == 51
    assert RunFiles(run).results.sculpting["kl"].at_rejection[1000] is None


def test_figures_and_report_show_it(run):
    names = {path.stem for path in (run / "figures").glob("*.png")}
    expected = {"sculpting", "sculpting_efficiency", "mass_kl", "mass_chamfer", "mass_total"}
    assert expected <= names
    for name in expected:
        assert np.asarray(Image.open(run / "figures" / f"{name}.png").convert("L")).std() > 5
    page = write_report(run).read_text()
    assert "Mass sculpting: relative entropy" in page
    assert RANDOM in page


def test_a_paper_may_order_the_figures_of_masses_itself(run):
    paper = RunFiles(run).paper
    assert plots_of(paper)[-3:] == MASS_PLOTS
    own = replace(paper, plots=(*MASS_PLOTS, *paper.plots))
    assert plots_of(own) == own.plots


def test_a_run_of_before_evaluates_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "write_figures", lambda _: [])
    directory = fake_run(tmp_path / "old", events=400, classes=CLASSES)
    before = json.loads((directory / "metrics.json").read_text())
    config = yaml.safe_load((directory / "config.yaml").read_text())
    config["data"] |= {"mass": "jet_sdmass"}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    command.run(EvaluateSettings(run_dir=str(directory)))
    after = json.loads((directory / "metrics.json").read_text())
    assert after["scores"] == before["scores"]
    assert "sculpting" not in after
    assert any("no mass sculpting" in note for note in after["notes"])


def test_collect_has_all_models_in_one_table(run, tmp_path):
    shutil.copytree(run, tmp_path / "clip", ignore=shutil.ignore_patterns("figures"))
    for seed in (1, 2):
        fake_run(
            tmp_path / f"set{seed}", model="setvae", seed=seed, events=1500, classes=CLASSES,
            mass=True,
        )  # fmt: skip
    fake_run(tmp_path / "without", model="setvae", seed=9, events=300, classes=CLASSES)
    found = collect(tmp_path)
    (sculpting,) = [t for t in (found, *found.also) if t.title.startswith("Sculpting")]
    names = [row.name for row in sculpting.rows]
    assert "CLIP-VAE: KL divergence (1 seed)" in names
    assert any("Set-VAE" in name and "(2 seeds)" in name for name in names)
    assert "  spread of seeds" in names
    assert names.count("soft-drop mass") == 1
    assert {c.key for c in sculpting.blocks[1]} == {"auc Hbb", "auc Tbl"}
    flat = pd.read_csv(tmp_path / "collected.csv", keep_default_na=False)
    rows = flat[flat["metric"] == "relative_entropy_at_rejection_10"]
    assert set(rows["signal"]) == {""}
    assert {"kl", "soft_drop_mass"} <= set(rows["score"])
    assert (flat["metric"] == "relative_entropy_at_signal_efficiency_50").any()
