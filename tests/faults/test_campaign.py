"""A short form of the campaign of faults; `make faults` runs the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import campaign, running
from tests.faults.campaign import SOURCES, Source
from tests.faults.outcomes import KEPT, NAMED, Row


def promised(row: Row) -> bool:
    return row.wrong == 0 and row.outcomes.total() > 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_damage_of_a_file_goes_unnoticed(tmp_path: Path, source: Source) -> None:
    damaged = campaign.flips(source, tmp_path, 40, seed=1)
    assert promised(damaged), damaged
    assert damaged.outcomes[NAMED] > 3
    for kind in (campaign.truncations, campaign.zeros, campaign.appended):
        row = kind(source, tmp_path, 5, seed=2)
        assert promised(row), row


def test_what_is_no_data_file_is_named(tmp_path: Path) -> None:
    row = campaign.strange_files(tmp_path)
    assert row.outcomes == {NAMED: row.outcomes.total()}


def test_impossible_values_are_named() -> None:
    row = campaign.impossible_values()
    assert row.outcomes == {NAMED: row.outcomes.total()}


def test_other_values_are_counted_as_silent() -> None:
    row = Row("a reader that notices nothing")
    row.try_(lambda: {"x": 1}, {"x": 2})
    row.try_(lambda: 1 / 0, None)
    assert row.wrong == 2


def test_no_option_with_a_strange_value_is_a_traceback() -> None:
    row = running.options(40)
    assert promised(row), row
    assert row.outcomes[NAMED] > 12


def test_a_disk_that_is_full_keeps_no_half_file() -> None:
    row = running.full_disk()
    assert row.outcomes == {KEPT: row.outcomes.total()}  # empty where no disk may be mounted
