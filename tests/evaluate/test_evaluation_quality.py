"""Quality of reconstructions in metrics.json: by hand, absent, refused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluate.fake_image_run import image_results, image_scores

from anomaly_hep.errors import NonFiniteError

EVENTS = {"QCD": 100, "SUEP400": 20, "SVJ3100": 1}


def test_mean_and_deviation_of_each_class():
    table = image_scores(EVENTS)
    found = image_results(table).reconstruction
    assert set(found) == set(EVENTS)
    for name in ("mse", "ssim"):
        values = table.loc[table["label"] == "QCD", f"reconstruction_{name}"]
        assert found["QCD"][name].std == pytest.approx(values.std(ddof=1))
        value, low, high = found["QCD"][name].mean
        assert value == pytest.approx(values.mean())
        assert (high - value, value - low) == pytest.approx([values.sem()] * 2)
        assert found["SVJ3100"][name] is None


def test_weights_count():
    table = image_scores(EVENTS)
    table["weight"] = np.where(table["label"] == "QCD", table["hits"], 1.0)
    qcd = table[table["label"] == "QCD"]
    found = image_results(table).reconstruction["QCD"]["mse"].mean
    expected = np.average(qcd["reconstruction_mse"], weights=qcd["weight"])
    assert found.value == pytest.approx(expected)


def test_a_model_without_reconstructions_has_none():
    table = image_scores(EVENTS).drop(columns="reconstruction_ssim")
    assert image_results(table).reconstruction is None


def test_a_reconstruction_that_is_not_a_number_is_refused():
    table = image_scores(EVENTS)
    table.loc[2, "reconstruction_mse"] = np.nan
    with pytest.raises(NonFiniteError, match="'reconstruction_mse' is not finite for 1 of 121"):
        image_results(table)
