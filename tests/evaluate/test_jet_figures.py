"""Figures of jets before and after: they draw the numbers that they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.fake_run import jet_results, score_table

from anomaly_hep.evaluate.figures.jets import (
    average_image,
    average_jets,
    image_difference,
    masses_before_and_after,
    scores_of_trainings,
)
from anomaly_hep.evaluate.paper import load_paper

PAPER = load_paper("golling2023")


@pytest.fixture(scope="module")
def table():
    table = score_table(600, classes=("QCD", "Tbqq", "Tbl"))
    table["relative_mass"] = table["jet_sdmass"] / table["jet_pt"]
    return table.assign(reconstructed_relative_mass=0.9 * table["relative_mass"])


@pytest.fixture(scope="module")
def results(table):
    return replace(jet_results(table), paper=PAPER)


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_an_average_image_has_the_mean_share_in_the_pixel_of_its_place():
    # (pT share, eta, phi): pixels are 0.05 wide, from -1
    jets = np.array([
        [[0.6, 0.01, 0.02], [0.3, -0.99, 0.96], [0.0, 0.0, 0.0]],
        [[0.8, 0.03, 0.04], [0.2, 1.5, 0.0], [0.0, 0.0, 0.0]],  # the second lies outside
    ])  # fmt: skip
    image = average_image(jets)
    assert image.shape == (40, 40)
    assert image[20, 20] == pytest.approx((0.6 + 0.8) / 2)
    assert image[39, 0] == pytest.approx(0.3 / 2)
    assert image.sum() == pytest.approx((0.6 + 0.3 + 0.8) / 2)


def test_the_difference_of_images_is_0_for_equal_and_1_for_disjoint_ones():
    one, other = np.zeros((2, 4, 4))
    one[0, 0], other[3, 3] = 2.0, 5.0
    assert image_difference(one, 3 * one) == pytest.approx(0)
    assert image_difference(one, other) == pytest.approx(1)
    assert image_difference(one, 0.5 * one / 2 + 0.5 * other / 5) == pytest.approx(0.5)


def test_average_jets_states_the_difference_of_each_class(results):
    rng = np.random.default_rng(0)
    labels = np.repeat(["QCD", "Tbl"], 50)
    truth = np.stack([rng.uniform(0.1, 1, (100, 5)), *rng.normal(0, 0.2, (2, 100, 5))], axis=2)
    events = {"truth": truth, "reconstructed": truth.copy(), "labels": labels}
    events["reconstructed"][50:, :, 1] += 5  # all of it outside
    found = texts(average_jets(events, results))
    assert any("difference 0.000" in text for text in found)
    assert any("difference 0.500" in text for text in found)
    assert "50 jets of QCD" in found


def test_masses_are_in_gev_before_and_after(table, results):
    figure = masses_before_and_after(
        table, ("relative_mass", "reconstructed_relative_mass"), "jet_pt", results
    )
    (axes,) = figure.axes
    assert axes.get_xlabel() == "mass of the constituents (GeV)"
    before, after = axes.patches[:2]  # of the background
    for patch, values in ((before, table["jet_sdmass"]), (after, 0.9 * table["jet_sdmass"])):
        content, edges, _ = patch.get_data()
        chosen = values[table["label"] == "QCD"]
        expected, _ = np.histogram(np.clip(chosen, edges[0], edges[-1]), edges)
        np.testing.assert_allclose(content, expected / len(chosen), atol=1e-9)


def test_scores_of_two_trainings_are_drawn_in_two_styles(table, results):
    other = table.assign(score_kl=table["score_kl"] + 1)
    figure = scores_of_trainings({"one": table, "two": other}, ("kl", "chamfer"), results)
    assert len(figure.axes) == 2
    drawn = figure.axes[0].patches
    assert len(drawn) == 2 * 3
    assert [patch.get_linestyle() for patch in drawn] == ["-"] * 3 + ["--"] * 3
    first, second = (patch.get_data()[0] for patch in (drawn[0], drawn[3]))
    assert not np.allclose(first, second)
    assert {"one", "two"} <= set(texts(figure))
