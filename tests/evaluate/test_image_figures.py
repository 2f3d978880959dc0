"""Figures of images: all are drawn, say what they show, and draw the numbers they should."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from anomaly_hep.evaluate.figures.grids import score_histograms
from anomaly_hep.evaluate.figures.images import reconstructed_images
from anomaly_hep.evaluate.figures.rocs import roc_by_signal, rocs_by_group
from anomaly_hep.evaluate.published.darkshowers import row_of
from anomaly_hep.evaluate.record import Record
from PIL import Image
from tests.evaluate.fake_image_run import GROUPS, fake_image_run, images
from tests.evaluate.test_figures import texts
from tests.models.jets import make_model

from anomaly_hep.evaluate.figures import samples_of, write_figures
from anomaly_hep.evaluate.figures.latent import COLUMNS, latent_scatter
from anomaly_hep.evaluate.figures.style import signal_lines
from anomaly_hep.evaluate.figures.training import loss_curves

NAMES = {
    "group_roc_SUEP", "group_roc_SVJ", "masses", "distributions", "histogram_sae", "latent",
    "images", "losses",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "codae"
    events = {"QCD": 300, "SUEP200": 40, "SUEP1000": 40, "SVJ3100": 40}
    run = fake_image_run(directory, events=events)
    write_figures(run)
    return run


@pytest.fixture(scope="module")
def record(run):
    return Record(run)


def test_every_figure_is_a_picture_and_none_is_of_jets(run):
    paths = list((run / "figures").iterdir())
    assert {path.stem for path in paths} == NAMES
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 400


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy", ignore=lambda *_: ["figures"])
    for path in write_figures(copy):
        assert path.read_bytes() == (run / "figures" / path.name).read_bytes()


def test_a_supervised_run_without_images_and_latent_space_is_drawn(tmp_path):
    events = {"QCD": 100, "SVJ3100": 20}
    run = fake_image_run(tmp_path / "cct", model="cct", supervised=True, events=events)
    assert {path.stem for path in write_figures(run)} == {
        *NAMES - {"latent", "images", "histogram_sae", "group_roc_SUEP"},
        "histogram_signal_probability",
    }


def test_nothing_speaks_of_jets(record):
    samples, metrics = samples_of(record), record.metrics
    figures = [
        roc_by_signal(samples, metrics, [], ["SUEP200"]),
        rocs_by_group("sae", samples["sae"], metrics),
        score_histograms(samples, metrics),
        latent_scatter(record.table, metrics),
        reconstructed_images(record.reconstructions, metrics),
        loss_curves(record.losses, metrics),
    ]
    for figure in figures:
        assert "dark showers" in texts(figure)
        assert not any("jet" in text.lower() for text in texts(figure))


def test_panels_are_those_asked_for_with_the_papers_point(record):
    row = row_of("codae", "sae", "fpr_at_tpr_40")
    figure = roc_by_signal(samples_of(record), record.metrics, [row], ["SUEP200", "SUEP1000"])
    first, second = figure.axes[:2]
    assert (first.get_title("left"), second.get_title("left")) == (
        "SUEP 200 GeV", "SUEP 1000 GeV"
    )  # fmt: skip
    (point,) = (line for line in first.lines if line.get_label() == row.title)
    assert point.get_xydata()[0] == pytest.approx([0.4, 1 / 0.01108])
    # nearly nothing passes, says the paper, and no number
    assert not any(line.get_label() == row.title for line in second.lines)


def test_each_group_has_a_panel_with_its_masses(record):
    figure = rocs_by_group("sae", samples_of(record)["sae"], record.metrics)
    said = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert said == [["200 GeV", "1000 GeV"], ["3.1 TeV"]]
    assert [axes.get_title("left") for axes in figure.axes] == list(GROUPS)


def test_groups_have_one_hue_and_masses_their_shades(record):
    lines = signal_lines(["SUEP200", "SUEP1000", "SVJ3100"], record.metrics)
    assert len({line["color"] for line in lines.values()}) == 3


def test_distributions_are_of_area_one_and_masses_count_alike(record):
    table = record.table
    figure = score_histograms(samples_of(record), record.metrics, bins=10)
    axes = next(a for a in figure.axes if a.get_xlabel().startswith("tracks"))
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)
    suep = axes.patches[1].get_data()
    cut = suep.edges[5]
    shares = [(table.n_tracks[table.label == s] < cut).mean() for s in ("SUEP200", "SUEP1000")]
    assert suep.values[:5].sum() == pytest.approx(np.mean(shares))


def test_the_latent_scatter_draws_each_event_where_it_is(record):
    figure = latent_scatter(record.table, record.metrics)
    background, light, heavy = figure.axes[0].collections
    table = record.table
    assert len(background.get_offsets()) == 300
    for points, label in ((light, "SUEP200"), (heavy, "SUEP1000")):
        expected = table.loc[table.label == label, ["score_latent_1", "score_latent_2"]].to_numpy()
        np.testing.assert_allclose(np.sort(points.get_offsets(), axis=0), np.sort(expected, axis=0))
    assert "300 of 300 QCD events drawn" in texts(figure)


@pytest.mark.parametrize("name", ["codae", "codvae", "dirichletvae"])
def test_the_scatter_finds_its_scores_in_every_model_with_a_latent_space(name):
    model = make_model(f"model={name}", "data=darkshowers")
    assert set(COLUMNS) <= {f"score_{score}" for score in model.score_names}


def test_of_many_events_a_fixed_part_is_drawn(record):
    table = record.table.loc[np.repeat(np.flatnonzero(record.table.label == "QCD"), 10)]
    metrics = record.metrics | {"data": record.metrics["data"] | {"events": {"QCD": 3000}}}
    metrics["data"]["groups"] = {"SUEP": ["QCD"]}
    drawn = [latent_scatter(table, metrics).axes[0].collections[0] for _ in range(2)]
    assert len(drawn[0].get_offsets()) == 300
    np.testing.assert_array_equal(drawn[0].get_offsets(), drawn[1].get_offsets())


def test_images_are_true_probable_and_cut_at_one_half(record):
    shown = record.reconstructions
    figure = reconstructed_images(shown, record.metrics)
    # the images are of QCD, SUEP400 and SVJ3100, but this run has no SUEP of 400 GeV
    pictures = np.array([axes.images[0].get_array() for axes in figure.axes if axes.images])
    pictures = pictures.reshape(3, 2, 72, 58)
    np.testing.assert_array_equal(pictures[0, 0], shown["truth"][0])
    np.testing.assert_allclose(pictures[1, 0], shown["reconstructed"][0])
    np.testing.assert_array_equal(pictures[2, 0], shown["reconstructed"][0] > 0.5)
    assert f"{int(shown['truth'][0].sum())} hits" in texts(figure)


def test_binary_reconstructions_have_no_row_of_probabilities(record):
    shown = images(["QCD", "SVJ3100"])
    shown["reconstructed"] = (shown["reconstructed"] > 0.5).astype(np.float32)
    figure = reconstructed_images(shown, record.metrics)
    assert len([axes for axes in figure.axes if axes.images]) == 4
