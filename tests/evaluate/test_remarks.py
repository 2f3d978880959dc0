"""What stands below the tables of runs that saw signals, or trained on other events."""

from __future__ import annotations

import pytest

from anomaly_hep.evaluate.headline import banners
from anomaly_hep.evaluate.remarks import reading_remarks


def _metrics(**data):
    described = {"name": "dark showers", "origin": "published", "events": {"QCD": 5}} | data
    return {"data": described, "model": {"name": "dirichletvae"}}


def test_signal_among_the_training_events_is_said_everywhere():
    metrics = _metrics(signal_in_training=0.01)
    (remark,) = reading_remarks(metrics)
    assert remark.startswith("WEAKLY SUPERVISED: signal events of each group, 1 % of")
    ((title, text),) = banners(metrics)
    assert title == "WEAKLY SUPERVISED"
    assert text.startswith("Signal events of each group, 1 % of")


@pytest.mark.parametrize("data", [{}, {"signal_in_training": 0}])
def test_nothing_is_said_where_nothing_was(data):
    assert list(reading_remarks(_metrics(**data))) == []
    assert banners(_metrics(**data)) == []


def test_training_on_other_events_than_the_test_is_said():
    (remark,) = reading_remarks(_metrics(trained_on="simulated"))
    assert remark == "Trained on other events than these: on simulated ones."
