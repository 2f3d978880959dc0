"""Results of a table: their numbers on known distributions, their notes and their refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.evaluate.fake_image_run import image_results, image_scores
from tests.evaluate.fake_run import DATA, PAPER, RATES, described, jet_results, score_table

from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError
from anomaly_hep.evaluate.evaluation import evaluate
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.results import write_results


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


def test_same_table_same_bytes(tmp_path):
    for name in "ab":
        write_results(tmp_path / name, jet_results(score_table(500, weighted=True)))
    one, other = ((tmp_path / name / "metrics.json").read_bytes() for name in "ab")
    assert one == other


def test_gaussian_closed_forms():
    metrics = jet_results(gaussian_table()).scores["kl"]["Hbb"]
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
    found = jet_results(table)
    again = jet_results(table.iloc[::-1])
    auc = found.scores["kl"]["Hbb"]["auc"]
    assert auc.value == pytest.approx(norm.cdf(2 / np.sqrt(1 + 0.25)), abs=1e-3)
    np.testing.assert_allclose(again.scores["kl"]["Hbb"]["auc"], auc, rtol=1e-12)


def test_a_small_background_gives_null_and_a_note():
    results = jet_results(gaussian_table(500))
    assert results.scores["kl"]["Hbb"]["efficiency_at_rejection_1000"] is None
    assert results.scores["kl"]["Hbb"]["efficiency_at_rejection_100"] is not None
    assert any("rejection 1000 for kl" in n and "500 QCD" in n for n in results.notes)


def test_what_is_left_out_is_said():
    table = gaussian_table(200)
    table["label"] = np.where(np.arange(len(table)) < 7, "", table["label"])
    notes = " ".join(jet_results(table).notes)
    assert "7 of 400 events have no label" in notes
    assert "no baseline n_subjettiness: the table has no column jet_tau1" in notes


def test_background_alone_is_said_too():
    table = gaussian_table(200)
    results = jet_results(table[table["label"] == "QCD"])
    assert results.scores == {"kl": {}}
    assert "no signal event" in " ".join(results.notes)


def test_another_background():
    found = jet_results(gaussian_table(200), data=replace(DATA, background="Hbb")).scores["kl"]
    assert list(found) == ["QCD"]
    assert found["QCD"]["auc"].value == pytest.approx(norm.cdf(-np.sqrt(2)), abs=1e-3)


def test_a_non_finite_score_is_refused_with_its_event():
    table = gaussian_table(50)
    table.loc[[4, 5], "score_kl"] = [np.nan, np.inf]
    first = f"{table.event_id[4]} \\({table.label[4]}\\)"
    with pytest.raises(NonFiniteError, match=rf"'kl' is not finite for 2 of 100 .*first: {first}"):
        jet_results(table)


def test_a_non_finite_jet_observable_is_refused():
    table = score_table(100)
    table.loc[3, "jet_tau2"] = np.nan
    with pytest.raises(NonFiniteError, match="'n_subjettiness' is not finite for 1 of 100"):
        jet_results(table)


@pytest.mark.parametrize("column", ["event_id", "label", "weight"])
def test_a_missing_column_is_named(column):
    with pytest.raises(ScoreTableError, match=f"no column '{column}'"):
        jet_results(gaussian_table(10).drop(columns=column))


def test_a_table_without_scores_or_background_is_refused():
    table = gaussian_table(10)
    with pytest.raises(ScoreTableError, match="no column begins with 'score_'"):
        jet_results(table.drop(columns="score_kl"))
    with pytest.raises(ScoreTableError, match=r"no event has the label 'dijet' .*Hbb, QCD"):
        jet_results(table, data=replace(DATA, background="dijet"))
    with pytest.raises(ScoreTableError, match="name of a baseline: multiplicity"):
        jet_results(table.assign(score_multiplicity=1.0))


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_a_bad_weight_is_refused(weight):
    with pytest.raises(ScoreTableError, match=r"no positive sum|are not finite"):
        jet_results(gaussian_table(10).assign(weight=weight))


def test_a_default_score_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="default score 'mse' is not among the scores: kl"):
        evaluate(
            gaussian_table(10),
            data=DATA,
            model=described(),
            default_score="mse",
            speed=RATES,
            paper=PAPER,
        )


@pytest.mark.parametrize("name", ["../../escape", "a b", "", "<b>"])
def test_a_score_that_cannot_be_the_name_of_a_file_is_refused(name):
    table = gaussian_table(10).assign(**{f"score_{name}": 1.0})
    with pytest.raises(ScoreTableError, match="cannot be the name of a score"):
        jet_results(table)


def test_gaussian_background_rate():
    metrics = jet_results(gaussian_table()).scores["kl"]["Hbb"]
    value, low, high = metrics["fpr_at_tpr_40"]
    assert value == pytest.approx(norm.sf(2 + norm.isf(0.4)), abs=3e-4)
    assert 0.003 < high - low < 0.008


def test_the_papers_baselines_are_missed_and_no_others():
    table = image_scores({"QCD": 20, "SUEP400": 20}).drop(columns="n_tracks")
    notes = " ".join(image_results(table).notes)
    assert "no baseline n_tracks: the table has no column n_tracks" in notes
    assert "n_subjettiness" not in notes
    # the columns of another paper's baselines are not looked at
    jets = score_table(300).assign(hits=1.0, energy=2.0)
    found = jet_results(jets)
    assert set(found.baselines) == {"n_subjettiness", "soft_drop_mass", "multiplicity"}
    assert "n_tracks" not in " ".join(found.notes)


def test_data_of_no_paper_have_the_general_metrics_and_no_baselines():
    table = score_table(400)
    found = evaluate(
        table,
        data=DATA,
        model=described(),
        default_score="kl",
        speed=RATES,
        paper=load_paper(None),
    )
    assert not found.baselines
    assert not any("baseline" in note for note in found.notes)
    assert found.scores == jet_results(table).scores
