"""Means over the signals of a group: their numbers, what is absent, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.fake_image_run import DATA, GROUPS, LABELS, image_results, image_scores
from tests.evaluate.fake_run import DATA as JETS
from tests.evaluate.fake_run import jet_results, score_table

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.results import write_results


@pytest.fixture(scope="module")
def results():
    return image_results(image_scores())


def test_every_score_and_baseline_has_means(results):
    names = {*results.scores, *results.baselines}
    assert set(results.means) == names >= {"sae", "latent_1", "hits", "n_tracks", "energy"}
    for name, groups in results.means.items():
        assert set(groups) == set(GROUPS)
        # only what a model gives is compared with counting hits
        gain = {"auc_gain_over_hits"} if name in results.scores else set()
        for values in groups.values():
            assert set(values) == {"auc", "fpr_at_tpr_40"} | gain


@pytest.mark.parametrize("key", ["auc", "fpr_at_tpr_40"])
def test_a_mean_is_that_of_its_signals_each_once(results, key):
    for group, labels in GROUPS.items():
        values = [results.scores["sae"][label][key].value for label in labels]
        found = results.means["sae"][group][key]
        assert found.value == pytest.approx(np.mean(values))
        assert found.low < found.value < found.high
        widths = [np.ptp(results.scores["sae"][label][key][1:]) for label in labels]
        assert found.high - found.low < max(widths)


def test_groups_pass_through_to_json(results, tmp_path):
    write_results(tmp_path, results)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["data"]["groups"] == GROUPS
    assert results.data.measured_groups == GROUPS


def test_absent_signals_are_left_out_of_the_mean_and_said():
    table = image_scores({"QCD": 100, "SUEP125": 20, "SUEP400": 20})
    results = image_results(table)
    values = [results.scores["sae"][label]["auc"].value for label in ("SUEP125", "SUEP400")]
    assert results.means["sae"]["SUEP"]["auc"].value == pytest.approx(np.mean(values))
    assert set(results.means["sae"]) == {"SUEP"}
    notes = " ".join(results.notes)
    assert "mean over SUEP is without SUEP200, SUEP300, SUEP700, SUEP1000: no event" in notes
    assert "no mean over SVJ: none of its signals has an event" in notes
    assert results.data.measured_groups == {"SUEP": ["SUEP125", "SUEP400"]}


def test_two_events_give_no_background_rate_and_a_note():
    events = {label: 100 if label == "QCD" else 20 for label in LABELS} | {"SVJ2100": 2}
    results = image_results(image_scores(events))
    assert results.scores["sae"]["SVJ2100"]["fpr_at_tpr_40"] is None
    assert results.means["sae"]["SVJ"]["fpr_at_tpr_40"] is None
    assert results.means["sae"]["SVJ"]["auc"] is not None
    assert any("signal efficiency 40 % for sae on SVJ2100" in note for note in results.notes)


@pytest.mark.parametrize("labels", [[], ["SUEP125", "SUEP125"], ["SUEP125", "QCD"]])
def test_a_contradicting_group_is_refused(labels):
    with pytest.raises(ConfigError, match="group SUEP of the data"):
        replace(DATA, groups={"SUEP": labels})


def test_without_groups_there_are_no_means():
    data = replace(DATA, groups={})
    results = image_results(image_scores({"QCD": 10, "SUEP125": 10}), data=data)
    assert results.means is None
    assert "means" not in results.to_json()
    assert results.data.measured_groups == {}


def test_groups_of_jets_are_averaged_in_the_jets_own_headline():
    data = replace(JETS, groups={"Higgs": ["Hbb", "Hcc"]})
    results = jet_results(score_table(3000), data=data)
    key = "efficiency_at_rejection_100"
    found = results.means["kl"]["Higgs"]
    assert set(found) == {"auc", key, "auc_gain_over_n_subjettiness"}
    values = [results.scores["kl"][label][key].value for label in ("Hbb", "Hcc")]
    assert found[key].value == pytest.approx(np.mean(values))
