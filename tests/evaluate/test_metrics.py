"""metrics.json: its layout, its numbers on known distributions, its notes and its refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.evaluate.fake_image_run import METADATA as IMAGES
from tests.evaluate.fake_image_run import image_scores
from tests.evaluate.fake_run import METADATA, score_table

from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError
from anomaly_hep.evaluate.metrics import EVENT_COLUMNS, evaluate, write_metrics


def gaussian_table(n: int = 4000) -> pd.DataFrame:
    """QCD at 0 and Hbb at 2, as quantiles of unit Gaussians, in an order of no meaning."""
    grid = norm.ppf((np.arange(n) + 0.5) / n)
    table = pd.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(2 * n)],
            "label": ["QCD"] * n + ["Hbb"] * n,
            "weight": 1.0,
            "score_kl": np.r_[grid, grid + 2],
        }
    )
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


def test_layout_that_outsiders_rely_on(tmp_path):
    metrics = evaluate(score_table(), metadata=METADATA)
    write_metrics(tmp_path / "metrics.json", metrics)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert set(found) == {"data", "model", "default_score", "scores", "baselines", "speed", "notes"}
    assert set(found["scores"]) == {"chamfer", "kl", "total"}
    assert set(found["baselines"]) == {"n_subjettiness", "soft_drop_mass", "multiplicity"}
    keys = {"auc", "fpr_at_tpr_40", *(f"efficiency_at_rejection_{r}" for r in (10, 100, 1000))}
    for result in (found["scores"] | found["baselines"]).values():
        assert len(result) == 9
        assert "QCD" not in result
        for signal in result.values():
            assert set(signal) == keys
            for value, low, high in signal.values():
                assert 0 <= low <= value <= high <= 1
    assert found["data"]["background"] == "QCD"
    assert sum(found["data"]["events"].values()) == 3000
    assert found["model"] == METADATA["model"]
    assert found["data"]["origin"] == "simulated"


def test_same_table_same_bytes(tmp_path):
    for name in "ab":
        metrics = evaluate(score_table(500, weighted=True), metadata=METADATA)
        write_metrics(tmp_path / name, metrics)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_gaussian_closed_forms():
    metrics = evaluate(gaussian_table(), metadata=METADATA)["scores"]["kl"]["Hbb"]
    assert metrics["auc"].value == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=1e-5)
    for rejection in (10, 100):
        expected = norm.sf(norm.isf(1 / rejection) - 2)
        found = metrics[f"efficiency_at_rejection_{rejection}"]
        assert found.value == pytest.approx(expected, abs=3e-3)
        assert found.low < expected < found.high


def test_weights_and_order_of_rows():
    table = gaussian_table(500)
    # signal weighted from unit width to half the width, as 2 exp(-3x^2/2) does
    x = table["score_kl"] - 2
    table["weight"] = np.where(table["label"] == "Hbb", 2 * np.exp(-1.5 * x**2), 1.0)
    found = evaluate(table, metadata=METADATA)
    again = evaluate(table.iloc[::-1], metadata=METADATA)
    auc = found["scores"]["kl"]["Hbb"]["auc"]
    assert auc.value == pytest.approx(norm.cdf(2 / np.sqrt(1 + 0.25)), abs=1e-3)
    np.testing.assert_allclose(again["scores"]["kl"]["Hbb"]["auc"], auc, rtol=1e-12)


def test_a_small_background_gives_null_and_a_note():
    metrics = evaluate(gaussian_table(500), metadata=METADATA)
    assert metrics["scores"]["kl"]["Hbb"]["efficiency_at_rejection_1000"] is None
    assert metrics["scores"]["kl"]["Hbb"]["efficiency_at_rejection_100"] is not None
    assert any("rejection 1000 for kl" in n and "500 QCD" in n for n in metrics["notes"])


def test_what_is_left_out_is_said():
    table = gaussian_table(200)
    table["label"] = np.where(np.arange(len(table)) < 7, "", table["label"])
    notes = " ".join(evaluate(table, metadata=METADATA)["notes"])
    assert "7 of 400 events have no label" in notes
    assert "no baseline n_subjettiness: the table has no column jet_tau1" in notes


def test_background_alone_is_said_too():
    table = gaussian_table(200)
    metrics = evaluate(table[table["label"] == "QCD"], metadata=METADATA)
    assert metrics["scores"] == {"kl": {}}
    assert "no signal event" in " ".join(metrics["notes"])


def test_another_background():
    found = evaluate(gaussian_table(200), background="Hbb", metadata=METADATA)["scores"]["kl"]
    assert list(found) == ["QCD"]
    assert found["QCD"]["auc"].value == pytest.approx(norm.cdf(-np.sqrt(2)), abs=1e-3)


def test_a_non_finite_score_is_refused_with_its_event():
    table = gaussian_table(50)
    table.loc[[4, 5], "score_kl"] = [np.nan, np.inf]
    first = f"{table.event_id[4]} \\({table.label[4]}\\)"
    with pytest.raises(NonFiniteError, match=rf"'kl' is not finite for 2 of 100 .*first: {first}"):
        evaluate(table, metadata=METADATA)


def test_a_non_finite_jet_observable_is_refused():
    table = score_table(100)
    table.loc[3, "jet_tau2"] = np.nan
    with pytest.raises(NonFiniteError, match="'n_subjettiness' is not finite for 1 of 100"):
        evaluate(table, metadata=METADATA)


@pytest.mark.parametrize("column", ["event_id", "label", "weight"])
def test_a_missing_column_is_named(column):
    with pytest.raises(ScoreTableError, match=f"no column '{column}'"):
        evaluate(gaussian_table(10).drop(columns=column), metadata=METADATA)


def test_a_table_without_scores_or_background_is_refused():
    table = gaussian_table(10)
    with pytest.raises(ScoreTableError, match="no column begins with 'score_'"):
        evaluate(table.drop(columns="score_kl"), metadata=METADATA)
    with pytest.raises(ScoreTableError, match=r"no event has the label 'dijet' .*Hbb, QCD"):
        evaluate(table, background="dijet", metadata=METADATA)
    with pytest.raises(ScoreTableError, match="name of a baseline: multiplicity"):
        evaluate(table.assign(score_multiplicity=1.0), metadata=METADATA)


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_a_bad_weight_is_refused(weight):
    with pytest.raises(ScoreTableError, match="weights are negative or not finite"):
        evaluate(gaussian_table(10).assign(weight=weight), metadata=METADATA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default_score": "mse"}, "default score 'mse' is not among the scores"),
        ({"data": {"name": "JetClass", "origin": "cms"}}, "data origin 'cms' is none of"),
        ({"data": {"origin": "user"}}, "does not name its data"),
    ],
)
def test_contradicting_metadata_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(gaussian_table(10), metadata=METADATA | change)


def test_incomplete_metadata_is_refused():
    with pytest.raises(ConfigError, match="lacks model, speed"):
        evaluate(gaussian_table(10), metadata={"data": METADATA["data"], "default_score": "kl"})


def test_gaussian_background_rate():
    metrics = evaluate(gaussian_table(), metadata=METADATA)["scores"]["kl"]["Hbb"]
    value, low, high = metrics["fpr_at_tpr_40"]
    assert value == pytest.approx(norm.sf(2 + norm.isf(0.4)), abs=3e-4)
    assert 0.003 < high - low < 0.008


def test_only_baselines_of_the_own_family_are_missed():
    table = image_scores({"QCD": 20, "SUEP400": 20}).drop(columns="n_tracks")
    notes = " ".join(evaluate(table, metadata=IMAGES)["notes"])
    assert "no baseline n_tracks: the table has no column n_tracks" in notes
    assert "n_subjettiness" not in notes
    jets = " ".join(evaluate(score_table(300), metadata=METADATA)["notes"])
    assert "n_tracks" not in jets


def test_columns_to_copy_are_those_of_the_baselines_and_the_mass():
    assert set(EVENT_COLUMNS["jets"]) == {f"jet_tau{i}" for i in (1, 2, 3, 4)} | {
        "jet_sdmass",
        "jet_nparticles",
    }
    energies = {f"energy{part}" for part in ("", "_tracker", "_ecal", "_hcal")}
    assert set(EVENT_COLUMNS["images"]) == {"mass", "n_tracks", "hits"} | energies
    notes = evaluate(image_scores(), metadata=IMAGES)["notes"]
    assert not any("no baseline" in note for note in notes)
