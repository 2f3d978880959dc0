"""Means over the signals of a group: their numbers, what is absent, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from anomaly_hep.evaluate.groups import groups_of
from tests.evaluate.fake_image_run import GROUPS, LABELS, METADATA, image_scores

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.metrics import evaluate, write_metrics


@pytest.fixture(scope="module")
def metrics():
    return evaluate(image_scores(), metadata=METADATA)


def test_every_score_and_baseline_has_means(metrics):
    names = {*metrics["scores"], *metrics["baselines"]}
    assert set(metrics["means"]) == names >= {"sae", "latent_1", "hits", "n_tracks", "energy"}
    for name, groups in metrics["means"].items():
        assert set(groups) == set(GROUPS)
        # only what a model gives is compared with counting hits
        gain = {"auc_gain_over_hits"} if name in metrics["scores"] else set()
        for values in groups.values():
            assert set(values) == {"auc", "fpr_at_tpr_40"} | gain


@pytest.mark.parametrize("key", ["auc", "fpr_at_tpr_40"])
def test_a_mean_is_that_of_its_signals_each_once(metrics, key):
    for group, labels in GROUPS.items():
        values = [metrics["scores"]["sae"][label][key].value for label in labels]
        found = metrics["means"]["sae"][group][key]
        assert found.value == pytest.approx(np.mean(values))
        assert found.low < found.value < found.high
        widths = [np.ptp(metrics["scores"]["sae"][label][key][1:]) for label in labels]
        assert found.high - found.low < max(widths)


def test_groups_pass_through_to_json(metrics, tmp_path):
    write_metrics(tmp_path / "metrics.json", metrics)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["data"]["groups"] == GROUPS
    assert groups_of(found) == GROUPS


def test_absent_signals_are_left_out_of_the_mean_and_said():
    table = image_scores({"QCD": 100, "SUEP125": 20, "SUEP400": 20})
    metrics = evaluate(table, metadata=METADATA)
    values = [metrics["scores"]["sae"][label]["auc"].value for label in ("SUEP125", "SUEP400")]
    assert metrics["means"]["sae"]["SUEP"]["auc"].value == pytest.approx(np.mean(values))
    assert set(metrics["means"]["sae"]) == {"SUEP"}
    notes = " ".join(metrics["notes"])
    assert "mean over SUEP is without SUEP200, SUEP300, SUEP700, SUEP1000: no event" in notes
    assert "no mean over SVJ: none of its signals has an event" in notes
    assert groups_of(metrics) == {"SUEP": ["SUEP125", "SUEP400"]}


def test_two_events_give_no_background_rate_and_a_note():
    events = {label: 100 if label == "QCD" else 20 for label in LABELS} | {"SVJ2100": 2}
    metrics = evaluate(image_scores(events), metadata=METADATA)
    assert metrics["scores"]["sae"]["SVJ2100"]["fpr_at_tpr_40"] is None
    assert metrics["means"]["sae"]["SVJ"]["fpr_at_tpr_40"] is None
    assert metrics["means"]["sae"]["SVJ"]["auc"] is not None
    assert any("signal efficiency 40 % for sae on SVJ2100" in note for note in metrics["notes"])


@pytest.mark.parametrize("labels", [[], ["SUEP125", "SUEP125"], ["SUEP125", "QCD"]])
def test_a_contradicting_group_is_refused(labels):
    metadata = METADATA | {"data": METADATA["data"] | {"groups": {"SUEP": labels}}}
    with pytest.raises(ConfigError, match="group SUEP of the data"):
        evaluate(image_scores({"QCD": 10, "SUEP125": 10}), metadata=metadata)


def test_without_groups_there_are_no_means():
    data = {key: value for key, value in METADATA["data"].items() if key != "groups"}
    metrics = evaluate(image_scores({"QCD": 10, "SUEP125": 10}), metadata=METADATA | {"data": data})
    assert "means" not in metrics
    assert groups_of(metrics) == {}
