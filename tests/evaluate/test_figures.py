"""Figures: all are drawn, say what they show, and draw the numbers they should."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.figures.distributions import joint_density, score_histogram
from anomaly_hep.evaluate.figures.jets import reconstructed_jets
from anomaly_hep.evaluate.figures.rocs import kl_roc_comparison, roc_by_signal, roc_of_score
from anomaly_hep.evaluate.published import published_row
from anomaly_hep.evaluate.record import Record
from PIL import Image
from scipy.stats import norm

from anomaly_hep.evaluate.figures import samples_of, score_pairs, write_figures
from anomaly_hep.evaluate.figures.efficiencies import efficiency_summary
from anomaly_hep.evaluate.figures.training import loss_curves, loss_terms

NAMES = {
    "efficiencies", "roc", "roc_chamfer", "roc_kl", "roc_total",
    "histogram_chamfer", "histogram_kl", "histogram_total",
    "histogram_n_subjettiness", "histogram_soft_drop_mass", "histogram_multiplicity",
    "reconstruction_kl", "losses", "jets",
}  # fmt: skip


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


@pytest.fixture(scope="module")
def record(drawn_run):
    return Record(drawn_run)


@pytest.fixture(scope="module")
def figures(record):
    samples, metrics = samples_of(record), record.metrics
    return {
        "efficiencies": efficiency_summary(metrics, [published_row(2, "DeepSet w/ PID")]),
        "roc": roc_by_signal(samples, metrics),
        "roc_kl": roc_of_score("kl", samples["kl"], metrics),
        "comparison": kl_roc_comparison({"a": samples["kl"], "b": samples["total"]}, metrics),
        "histogram": score_histogram("kl", samples["kl"], metrics),
        "joint": joint_density(score_pairs(record), metrics),
        "losses": loss_curves(record.losses, metrics),
        "jets": reconstructed_jets(record.reconstructions, metrics),
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
    assert {path.stem for path in paths} == NAMES - {"jets", "losses"}
    for path in paths:
        assert path.read_bytes() == (drawn_run / "figures" / path.name).read_bytes()


def test_every_figure_says_that_data_are_simulated(figures):
    for figure in figures.values():
        assert "JetClass (simulated)" in texts(figure)


def test_every_figure_says_how_many_events(figures, record):
    counts = record.metrics["data"]["events"]
    said = f"{counts['QCD']:,} QCD and {1000 - counts['QCD']:,} signal events"
    for name in ("efficiencies", "roc", "roc_kl", "comparison", "histogram"):
        assert said in texts(figures[name])
    assert f"QCD, {counts['QCD']:,} events" in texts(figures["joint"])
    assert "5 jets" in texts(figures["jets"])


def test_published_data_are_not_called_simulated(record):
    metrics = record.metrics | {"data": record.metrics["data"] | {"origin": "published"}}
    assert not any("simulated" in text for text in texts(efficiency_summary(metrics)))


def test_only_published_files_go_by_the_data_sets_plain_name(record):
    data = record.metrics["data"] | {"origin": "user"}
    assert "JetClass (user's files)" in texts(efficiency_summary(record.metrics | {"data": data}))


def test_every_axis_has_a_name_with_its_unit(figures):
    for name, axis in {
        "histogram": "KL divergence (nats per latent dimension)",
        "joint": "Chamfer loss (dimensionless)",
        "jets": r"true   $\Delta\phi$ (rad)",
        "efficiencies": "signal efficiency at rejection 100 (%)",
        "losses": "loss per jet (dimensionless)",
    }.items():
        assert axis in texts(figures[name])


def test_the_roc_is_the_exact_one(record):
    grid = norm.ppf((np.arange(5000) + 0.5) / 5000)
    metrics = {
        "data": {"name": "toy", "origin": "user", "background": "QCD",
                 "events": {"QCD": 5000, "Hbb": 5000}},
    }  # fmt: skip
    samples = {"QCD": Sample.of(grid), "Hbb": Sample.of(grid + 1)}
    axes = roc_of_score("kl", samples, metrics).axes[0]
    efficiency, rejection = axes.lines[0].get_data()
    np.testing.assert_allclose(efficiency, norm.sf(norm.isf(1 / rejection) - 1), atol=3e-3)


def test_histograms_hold_every_event(figures):
    axes = figures["histogram"].axes[0]
    assert len(axes.patches) == 4
    for patch in axes.patches:
        assert np.nansum(patch.get_data().values) == pytest.approx(1.0)


def test_the_joint_density_says_its_rank_correlation(record):
    pairs = score_pairs(record)
    order = np.argsort(np.argsort(np.stack([pairs["QCD"].x, pairs["QCD"].y]), axis=1), axis=1)
    expected = np.corrcoef(order)[0, 1]
    figure = joint_density({"QCD": pairs["QCD"]}, record.metrics)
    assert f"rank correlation ${expected:+.2f}$" in texts(figure)


def test_loss_terms_are_those_validated(record):
    assert loss_terms(record.losses) == ["loss", "kl", "reconstruction"]
    drawn = loss_curves(record.losses, record.metrics).axes[0].lines
    assert [line.get_label() for line in drawn] == ["training", "validation"]
    assert len(drawn[0].get_xdata()) == 100
    np.testing.assert_array_equal(drawn[1].get_xdata(), [240, 490, 740, 990])


def test_discs_have_the_area_of_the_particles_share(record):
    jets = record.reconstructions
    figure = reconstructed_jets(jets, record.metrics, most=1)
    (discs,) = figure.axes[0].collections
    chosen = slice(0, jets["lengths"][0])  # the first jet is the QCD one
    np.testing.assert_allclose(discs.get_offsets(), jets["truth"][chosen, 1:])
    share = jets["truth"][chosen, 0] / 10
    np.testing.assert_allclose(discs.get_sizes() / discs.get_sizes().sum(), share, rtol=1e-5)
