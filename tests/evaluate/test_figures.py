"""Figures: all are drawn, say what they show, and draw the numbers they should."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm
from tests.evaluate.fake_run import DATA, PAPER, fake_run, jet_results, score_table

from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.figures import write_figures
from anomaly_hep.evaluate.figures.efficiencies import efficiency_summary
from anomaly_hep.evaluate.figures.histograms import joint_density, score_histogram, score_pairs
from anomaly_hep.evaluate.figures.reconstructions import reconstructed_particles
from anomaly_hep.evaluate.figures.roccurves import roc_by_signal, roc_of_runs, roc_of_score
from anomaly_hep.evaluate.figures.training import loss_curves, loss_terms
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.outputs import ParticleReconstruction

NAMES = {
    "efficiencies", "roc", "roc_chamfer", "roc_kl", "roc_total",
    "histogram_chamfer", "histogram_kl", "histogram_total",
    "histogram_n_subjettiness", "histogram_soft_drop_mass", "histogram_multiplicity",
    "reconstruction_kl", "losses", "particles",
}  # fmt: skip


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


@pytest.fixture(scope="module")
def run(drawn_run):
    return RunFiles(drawn_run)


@pytest.fixture(scope="module")
def pairs(run):
    return score_pairs(run.table, "QCD", "chamfer", "kl")


@pytest.fixture(scope="module")
def figures(run, pairs):
    scores, results = run.distributions, run.results
    jets = run.reconstructions(ParticleReconstruction)
    return {
        "efficiencies": efficiency_summary(results, 100, PAPER.rows[5:6]),
        "roc": roc_by_signal(scores, results),
        "roc_kl": roc_of_score("kl", scores["kl"], results),
        "comparison": roc_of_runs({"a": scores["kl"], "b": scores["total"]}, results, "kl"),
        "histogram": score_histogram("kl", scores["kl"], results),
        "joint": joint_density(pairs, results, "chamfer", "kl"),
        "losses": loss_curves(run.losses, results),
        "particles": reconstructed_particles(jets, results),
    }


def test_every_figure_is_a_picture(drawn_run):
    paths = list((drawn_run / "figures").iterdir())
    assert {path.name for path in paths} == {f"{name}.png" for name in NAMES}
    for path in paths:
        with Image.open(path) as picture:
            picture.verify()
        with Image.open(path) as picture:
            assert min(picture.size) > 400
            assert len(set(picture.resize((100, 100)).convert("L").tobytes())) > 20


def test_absent_parts_are_left_out_and_the_rest_is_the_same_to_the_byte(drawn_run, tmp_path):
    copy = shutil.copytree(drawn_run, tmp_path / "copy", ignore=lambda *_: ["figures"])
    (copy / "reconstructions.npz").unlink()
    (copy / "metrics.csv").unlink()
    paths = write_figures(copy)
    assert {path.stem for path in paths} == NAMES - {"particles", "losses"}
    for path in paths:
        assert path.read_bytes() == (drawn_run / "figures" / path.name).read_bytes()


def test_every_figure_says_that_data_are_simulated(figures):
    for figure in figures.values():
        assert "JetClass (simulated)" in texts(figure)


def test_every_figure_says_how_many_events(figures, run):
    counts = run.results.data.events
    said = f"{counts['QCD']:,} QCD and {1000 - counts['QCD']:,} signal events"
    for name in ("efficiencies", "roc", "roc_kl", "comparison", "histogram"):
        assert said in texts(figures[name])
    assert f"QCD, {counts['QCD']:,} events" in texts(figures["joint"])
    assert "5 jets" in texts(figures["particles"])


@pytest.mark.parametrize(
    ("origin", "title"), [("published", "JetClass"), ("user", "JetClass (user's files)")]
)
def test_only_published_files_go_by_the_data_sets_plain_name(run, origin, title):
    results = replace(run.results, data=replace(run.results.data, origin=origin))
    found = texts(efficiency_summary(results, 100))
    assert title in found
    assert not any("simulated" in text for text in found)


def test_every_axis_has_a_name_with_its_unit(figures):
    for name, axis in {
        "histogram": "KL divergence (nats per latent dimension)",
        "joint": "Chamfer loss (dimensionless)",
        "particles": r"true   $\Delta\phi$ (rad)",
        "efficiencies": "signal efficiency at rejection 100 (%)",
        "losses": "loss per jet (dimensionless)",
    }.items():
        assert axis in texts(figures[name])


def test_the_roc_is_the_exact_one():
    grid = norm.ppf((np.arange(5000) + 0.5) / 5000)
    results = jet_results(score_table(100))
    samples = {"QCD": ScoreDistribution.of(grid), "Hbb": ScoreDistribution.of(grid + 1)}
    axes = roc_of_score("kl", samples, results).axes[0]
    efficiency, rejection = axes.lines[0].get_data()
    np.testing.assert_allclose(efficiency, norm.sf(norm.isf(1 / rejection) - 1), atol=3e-3)


def test_histograms_hold_every_event(figures):
    axes = figures["histogram"].axes[0]
    assert len(axes.patches) == 4
    for patch in axes.patches:
        assert np.nansum(patch.get_data().values) == pytest.approx(1.0)


def test_the_joint_density_says_its_rank_correlation(run, pairs):
    order = np.argsort(np.argsort(np.stack([pairs["QCD"].x, pairs["QCD"].y]), axis=1), axis=1)
    expected = np.corrcoef(order)[0, 1]
    figure = joint_density({"QCD": pairs["QCD"]}, run.results, "chamfer", "kl")
    assert f"rank correlation ${expected:+.2f}$" in texts(figure)


def test_loss_terms_are_those_validated(run):
    assert loss_terms(run.losses) == ["loss", "kl", "reconstruction"]
    figure = loss_curves(run.losses, run.results)
    drawn = figure.axes[0].lines
    assert [line.get_label() for line in drawn] == ["training", "validation"]
    assert len(drawn[0].get_xdata()) == 100
    np.testing.assert_array_equal(drawn[1].get_xdata(), [240, 490, 740, 990])
    # a term that is a score has the score's title
    assert "KL divergence (nats per latent dimension)" in texts(figure)


def test_discs_have_the_area_of_the_particles_share(run):
    jets = run.reconstructions(ParticleReconstruction)
    figure = reconstructed_particles(jets, run.results, most=1)
    (discs,) = figure.axes[0].collections
    chosen = slice(0, jets["lengths"][0])  # the first jet is the QCD one
    np.testing.assert_allclose(discs.get_offsets(), jets["truth"][chosen, 1:])
    share = jets["truth"][chosen, 0] / 10
    np.testing.assert_allclose(discs.get_sizes() / discs.get_sizes().sum(), share, rtol=1e-5)


def test_jets_in_groups_keep_the_figures_of_jets(tmp_path):
    classes = ("QCD", "Hbb", "Tbl")
    data = replace(DATA, groups={"Higgs": ["Hbb"]})
    run = fake_run(tmp_path / "run", events=300, classes=classes, data=data)
    assert {path.stem for path in write_figures(run)} == NAMES | {"groups"}


def test_figures_are_not_written_through_a_link(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", events=60)
    shutil.rmtree(run / "figures", ignore_errors=True)
    (tmp_path / "outside").mkdir()
    (run / "figures").symlink_to(tmp_path / "outside")
    with pytest.raises(RunDirectoryError, match=r"is a link to .*outside.* Cure: remove the link"):
        write_figures(run)
    assert list((tmp_path / "outside").iterdir()) == []
