"""What stands below the tables of runs that saw signals, or trained on other events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.evaluate.fake_image_run import DATA, PAPER, image_results, image_scores

from anomaly_hep.evaluate.headline import banners
from anomaly_hep.evaluate.remarks import reading_remarks


def _results(**data):
    table = image_scores({"QCD": 10, "SUEP125": 10})
    return image_results(table, data=replace(DATA, groups={}, **data))


def test_signal_among_the_training_events_is_said_everywhere():
    results = _results(signal_in_training=0.01)
    (remark,) = reading_remarks(results)
    assert remark.startswith("WEAKLY SUPERVISED: signal events of each group, 1 % of")
    ((title, text),) = banners(results)
    assert title == "WEAKLY SUPERVISED"
    assert text.startswith("Signal events of each group, 1 % of")


@pytest.mark.parametrize("data", [{}, {"signal_in_training": None}])
def test_nothing_is_said_where_nothing_was(data):
    assert list(reading_remarks(_results(**data))) == []
    assert banners(_results(**data)) == []


def test_training_on_other_events_than_the_test_is_said():
    (remark,) = reading_remarks(_results(trained_on="simulated"))
    assert remark == "Trained on other events than these: on simulated ones."


def test_what_may_be_compared_is_said_where_published_rows_are_shown():
    results = _results()
    assert list(PAPER.remarks(results, [])) == []
    first, *_ = PAPER.remarks(results, PAPER.rows)
    assert first.startswith("The paper's rows (arXiv:2306.12955) were measured on its whole test")
