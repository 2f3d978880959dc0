"""metrics.json: its layout, what is read back from it, and what a damaged one says."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.fake_image_run import fake_image_run, image_results, image_scores
from tests.evaluate.fake_run import DATA, described, fake_run, jet_results, score_table

from anomaly_hep.errors import ConfigError, RunDirectoryError
from anomaly_hep.evaluate.results import EventRates, write_results
from anomaly_hep.evaluate.runfiles import RunFiles


def test_layout_that_outsiders_rely_on(tmp_path):
    write_results(tmp_path, jet_results(score_table()))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert set(found) == {"data", "model", "default_score", "scores", "baselines", "notes"}
    assert set(found["data"]) == {"name", "origin", "generator", "background", "events"}
    assert set(found["model"]) == {
        "name", "parameters", "encoder_parameters", "flops_per_event", "encoder_flops_per_event",
    }  # fmt: skip
    speed = json.loads((tmp_path / "speed.json").read_text())
    assert speed == {"train_events_per_second": 3210.0, "score_events_per_second": 17000.0}
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
    assert sum(found["data"]["events"].values()) == 3000


def test_what_is_optional_is_there_where_it_says_something(tmp_path):
    data = replace(DATA, trained_on="simulated", signal_in_training=0.01)
    model = replace(described(), supervised=True, mean_multiplicity=51.0)
    results = replace(jet_results(score_table(300), data=data), model=model)
    content = results.to_json()
    assert (content["data"]["trained_on"], content["data"]["signal_in_training"]) == (
        "simulated",
        0.01,
    )
    assert (content["model"]["supervised"], content["model"]["mean_multiplicity"]) == (True, 51.0)
    assert "flops_at_reference" not in content["model"]
    assert {"means", "reconstruction"} <= set(image_results(image_scores()).to_json())


@pytest.mark.parametrize("make", [fake_run, fake_image_run])
def test_what_is_read_back_is_what_was_written(tmp_path, make):
    run = make(tmp_path / "run")
    before = (run / "metrics.json").read_bytes()
    results = RunFiles(run).results
    write_results(run, results)
    assert (run / "metrics.json").read_bytes() == before
    name = next(iter(results.scores))
    signal = results.signals[0]
    value, low, high = json.loads(before)["scores"][name][signal]["auc"]
    found = results.scores[name][signal]["auc"]
    assert (found.value, found.low, found.high) == (value, low, high)


def test_rates_of_a_run_from_before_speed_json_are_read_from_metrics_json(tmp_path):
    run = fake_run(tmp_path / "run", events=300)
    (run / "speed.json").unlink()
    assert RunFiles(run).results.speed == EventRates()
    metrics = json.loads((run / "metrics.json").read_text())
    speed = {"train_events_per_second": 5.0, "score_events_per_second": None}
    (run / "metrics.json").write_text(json.dumps(metrics | {"speed": speed}))
    assert RunFiles(run).results.speed == EventRates(5.0)


def test_words_come_from_model_paper_and_files(tmp_path):
    results = RunFiles(fake_run(tmp_path / "run", events=300)).results
    assert results.model.full_title == "CLIP-VAE"
    assert results.title("kl") == "KL divergence"
    assert results.axis("kl") == "KL divergence (nats per latent dimension)"
    assert results.axis("soft_drop_mass") == "soft-drop mass (GeV)"
    assert results.title("unknown") == results.axis("unknown") == "unknown"
    assert results.data.title == "JetClass (simulated)"
    assert results.data.event_noun == "jets"
    assert results.sections["scores"] == ["kl", "chamfer", "total"]
    assert results.sections["baselines"] == [b.name for b in results.paper.baselines]
    assert results.names == ["kl", "chamfer", "total", *results.sections["baselines"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": "cms"}, "data origin 'cms' is none of"),
        ({"name": ""}, "does not name them"),
    ],
)
def test_a_contradicting_description_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(DATA, **change)


def _without(key):
    def damage(text):
        content = json.loads(text)
        del content[key]
        return json.dumps(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[]",
        lambda _: '"scores"',
        *(_without(key) for key in ("data", "model", "scores", "baselines", "notes")),
        lambda text: text.replace('"parameters"', '"parametrs"'),
        lambda text: text.replace('"QCD"', '"QCE"', 1),
        lambda text: text.replace('"auc": [', '"auc": [0.5, '),
        lambda text: text.replace('"default_score": "kl"', '"default_score": "kk"'),
    ],
)
def test_a_damaged_file_is_one_line_that_says_which(tmp_path, damage):
    path = fake_run(tmp_path / "run", events=300) / "metrics.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunDirectoryError, match=r"is damaged .*Cure: ") as error:
        _ = RunFiles(path.parent).results
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_is_a_damage_or_another_text(tmp_path):
    path = fake_run(tmp_path / "run", events=300) / "metrics.json"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place, bit in zip(rng.integers(0, len(whole), 60), rng.integers(0, 8, 60), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        # another digit or letter is another text; all else is said in one line
        with suppress(RunDirectoryError, ConfigError):
            _ = RunFiles(path.parent).results
