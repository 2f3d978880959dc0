"""Figures of images: all are drawn, say what they show, and draw the numbers they should."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.evaluate.fake_image_run import GROUPS, PAPER, fake_image_run, images
from tests.evaluate.test_figures import texts

from anomaly_hep.evaluate.figures import write_figures
from anomaly_hep.evaluate.figures.histograms import score_histograms
from anomaly_hep.evaluate.figures.latent import latent_scatter
from anomaly_hep.evaluate.figures.reconstructions import reconstructed_images
from anomaly_hep.evaluate.figures.roccurves import roc_by_signal, rocs_by_group
from anomaly_hep.evaluate.figures.style import signal_lines
from anomaly_hep.evaluate.figures.training import loss_curves
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.codvae import CoDVAE
from anomaly_hep.models.dirichletvae import DirichletVAE
from anomaly_hep.models.outputs import ImageReconstruction, ParticleReconstruction
from anomaly_hep.papers.anzalone2023 import LATENT

NAMES = {
    "group_roc_SUEP", "group_roc_SVJ", "groups", "distributions", "histogram_sae", "latent",
    "images", "losses",
}  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "codae"
    events = {"QCD": 300, "SUEP200": 40, "SUEP1000": 40, "SVJ3100": 40}
    write_figures(fake_image_run(path, events=events))
    return path


@pytest.fixture(scope="module")
def run(directory):
    return RunFiles(directory)


def test_every_figure_is_a_picture_and_none_is_of_jets(directory):
    paths = list((directory / "figures").iterdir())
    assert {path.stem for path in paths} == NAMES
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 400


def test_the_same_run_gives_the_same_bytes(directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "copy", ignore=lambda *_: ["figures"])
    for path in write_figures(copy):
        assert path.read_bytes() == (directory / "figures" / path.name).read_bytes()


def test_a_supervised_run_without_images_and_latent_space_is_drawn(tmp_path):
    events = {"QCD": 100, "SVJ3100": 20}
    run = fake_image_run(tmp_path / "cct", model="cct", supervised=True, events=events)
    assert {path.stem for path in write_figures(run)} == {
        *NAMES - {"latent", "images", "histogram_sae", "group_roc_SUEP"},
        "histogram_signal_probability",
    }


def test_nothing_speaks_of_jets(run):
    scores, results = run.distributions, run.results
    figures = [
        roc_by_signal(scores, results, [], ["SUEP200"]),
        rocs_by_group("sae", scores["sae"], results),
        score_histograms(scores, results),
        latent_scatter(run.table, results, LATENT),
        reconstructed_images(run.reconstructions(ImageReconstruction), results),
        loss_curves(run.losses, results),
    ]
    for figure in figures:
        assert "dark showers" in texts(figure)
        assert not any("jet" in text.lower() for text in texts(figure))


def test_panels_are_those_asked_for_with_the_papers_point(run):
    published = PAPER.published(run.config)
    (row,) = (r for r in published if (r.score, r.metric) == ("sae", "fpr_at_tpr_40"))
    figure = roc_by_signal(run.distributions, run.results, [row], ["SUEP200", "SUEP1000"])
    first, second = figure.axes[:2]
    assert (first.get_title("left"), second.get_title("left")) == (
        "SUEP 200 GeV", "SUEP 1000 GeV"
    )  # fmt: skip
    (point,) = (line for line in first.lines if line.get_label() == row.title)
    assert point.get_xydata()[0] == pytest.approx([0.4, 1 / 0.01108])
    # nearly nothing passes, says the paper, and no number
    assert not any(line.get_label() == row.title for line in second.lines)


def test_each_group_has_a_panel_with_its_masses(run):
    figure = rocs_by_group("sae", run.distributions["sae"], run.results)
    said = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert said == [["200 GeV", "1000 GeV"], ["3.1 TeV"]]
    assert [axes.get_title("left") for axes in figure.axes] == list(GROUPS)


def test_groups_have_one_hue_and_masses_their_shades(run):
    lines = signal_lines(["SUEP200", "SUEP1000", "SVJ3100"], run.results)
    assert len({line["color"] for line in lines.values()}) == 3


def test_distributions_are_of_area_one_and_masses_count_alike(run):
    table = run.table
    figure = score_histograms(run.distributions, run.results, bins=10)
    axes = next(a for a in figure.axes if a.get_xlabel().startswith("tracks"))
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)
    suep = axes.patches[1].get_data()
    cut = suep.edges[5]
    shares = [(table.n_tracks[table.label == s] < cut).mean() for s in ("SUEP200", "SUEP1000")]
    assert suep.values[:5].sum() == pytest.approx(np.mean(shares))


def test_the_latent_scatter_draws_each_event_where_it_is(run):
    figure = latent_scatter(run.table, run.results, LATENT)
    background, light, heavy = figure.axes[0].collections
    table = run.table
    assert len(background.get_offsets()) == 300
    for points, label in ((light, "SUEP200"), (heavy, "SUEP1000")):
        expected = table.loc[table.label == label, ["score_latent_1", "score_latent_2"]].to_numpy()
        np.testing.assert_allclose(np.sort(points.get_offsets(), axis=0), np.sort(expected, axis=0))
    assert "300 of 300 QCD events drawn" in texts(figure)


@pytest.mark.parametrize("model", [CoDVAE, DirichletVAE])
def test_the_scatter_finds_its_scores_in_every_model_with_a_latent_space(model):
    assert set(LATENT) <= set(model.score_descriptions())


def test_of_many_events_a_fixed_part_is_drawn(run):
    table = run.table.loc[np.repeat(np.flatnonzero(run.table.label == "QCD"), 10)]
    data = replace(run.results.data, background="Other", events={"Other": 1, "QCD": 3000})
    results = replace(run.results, data=replace(data, groups={"SUEP": ["QCD"]}))
    drawn = [latent_scatter(table, results, LATENT).axes[0].collections[1] for _ in range(2)]
    assert len(drawn[0].get_offsets()) == 300
    np.testing.assert_array_equal(drawn[0].get_offsets(), drawn[1].get_offsets())


def test_images_are_true_probable_and_cut_at_one_half(run):
    shown = run.reconstructions(ImageReconstruction)
    assert run.reconstructions(ParticleReconstruction) is None
    figure = reconstructed_images(shown, run.results)
    # the images are of QCD, SUEP400 and SVJ3100, but this run has no SUEP of 400 GeV
    pictures = np.array([axes.images[0].get_array() for axes in figure.axes if axes.images])
    pictures = pictures.reshape(3, 2, 72, 58)
    np.testing.assert_array_equal(pictures[0, 0], shown["truth"][0])
    np.testing.assert_allclose(pictures[1, 0], shown["reconstructed"][0])
    np.testing.assert_array_equal(pictures[2, 0], shown["reconstructed"][0] > 0.5)
    assert f"{int(shown['truth'][0].sum())} pixels" in texts(figure)


def test_binary_reconstructions_have_no_row_of_probabilities(run):
    shown = images(["QCD", "SVJ3100"])
    shown["reconstructed"] = (shown["reconstructed"] > 0.5).astype(np.float32)
    figure = reconstructed_images(shown, run.results)
    assert len([axes for axes in figure.axes if axes.images]) == 4
