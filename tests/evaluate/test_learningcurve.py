"""Curves against training size: which runs are taken, what is drawn, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.evaluate.fake_image_run import PAPER, fake_image_run
from tests.evaluate.test_figures import texts

from anomaly_hep.errors import MissingDataError, ScoreTableError
from anomaly_hep.evaluate.collect import collect
from anomaly_hep.evaluate.ensembles import find_runs
from anomaly_hep.evaluate.figures.training import learning_curves
from anomaly_hep.evaluate.learningcurve import COLUMNS, NAME, read_curve, write_curves

TITLES = {"sae": "SAE", "latent_2": "latent 2"}
EVENTS = {"QCD": 100, "SUEP400": 20, "SVJ3100": 20}


def curve(scores=("sae", "latent_2", "hits", "energy"), points=(10_000, 40_000, 160_000)):
    areas = {"sae": 0.8, "latent_2": 0.2, "hits": 0.85, "energy": 0.3}
    rows = [
        (n, score, group, areas[score] + 0.01 * i, areas[score] - 0.02, areas[score] + 0.04)
        for i, n in enumerate(points)
        for score in scores
        for group in ("SUEP", "SVJ")
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A finished run, one that still trains, and one without a curve."""
    directory = tmp_path_factory.mktemp("outputs")
    done = fake_image_run(directory / "done", events=EVENTS)
    running = fake_image_run(directory / "running", events=EVENTS, seed=2)
    (running / "done.json").unlink()
    fake_image_run(directory / "plain", events=EVENTS, seed=3)
    for run, points in ((done, (10_000, 40_000)), (running, (10_000,))):
        curve(points=points).to_csv(run / "curve.csv", index=False)
    return directory


def test_collect_writes_table_and_figure_of_finished_and_running_trainings(outputs):
    table = collect(outputs)
    assert any(f"training size of done, running are in {NAME}.png" in r for r in table.remarks)
    assert (outputs / f"{NAME}.png").stat().st_size > 10_000
    rows = pd.read_csv(outputs / f"{NAME}.csv")
    assert list(rows.columns) == ["run", *COLUMNS]
    assert rows.groupby("run").size().to_dict() == {"done": 16, "running": 8}
    sae = rows[(rows.run == "done") & (rows.score == "sae") & (rows.group == "SVJ")]
    assert sae.auc.tolist() == pytest.approx([0.8, 0.81])


def test_curves_are_there_although_nothing_is_finished(outputs, tmp_path):
    run = fake_image_run(tmp_path / "running", events=EVENTS)
    (run / "done.json").unlink()
    curve().to_csv(run / "curve.csv", index=False)
    with pytest.raises(MissingDataError, match=r"no finished run(.|\n)*Curves against training"):
        collect(tmp_path)
    assert (tmp_path / f"{NAME}.png").exists()


def test_without_curves_nothing_is_written(tmp_path):
    fake_image_run(tmp_path / "plain", events=EVENTS)
    assert write_curves(tmp_path, find_runs(tmp_path)) == []
    assert not (tmp_path / f"{NAME}.png").exists()


def test_lines_bands_and_the_count_of_hits_are_where_the_numbers_are():
    figure = learning_curves({"run": curve()}, PAPER, TITLES, "dark showers")
    axes = figure.axes[0]
    assert axes.get_title("left") == "SUEP"
    line, hits = axes.lines[0], axes.lines[1:]
    np.testing.assert_allclose(line.get_xdata(), [10_000, 40_000, 160_000])
    np.testing.assert_allclose(line.get_ydata(), [80, 81, 82])
    assert {one.get_linestyle() for one in hits} == {"--"}
    assert hits[0].get_ydata()[0] == pytest.approx(85)
    (band,) = axes.collections
    assert band.get_datalim(axes.transData).ymin == pytest.approx(78)
    said = texts(figure)
    assert {"dark showers", "SAE", "hit pixels alone"} <= set(said)
    # below 50 % everywhere, and baselines other than hits
    assert "latent 2" not in said
    assert "total energy" not in said


def test_runs_have_colours_and_scores_lines():
    both = {"one": curve(), "two": curve(scores=("sae",))}
    axes = learning_curves(both, PAPER, TITLES, "dark showers").axes[0]
    colours = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert len(colours) == len(set(colours)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(columns="auc_low"), "has no column auc_low"),
        (lambda c: c.assign(auc=np.nan), r"24 of 24 rows .* not finite \(first: line 2\)"),
    ],
)
def test_a_damaged_curve_is_refused(change, message, tmp_path):
    path = tmp_path / "curve.csv"
    change(curve()).to_csv(path, index=False)
    with pytest.raises(ScoreTableError, match=message):
        read_curve(path)
