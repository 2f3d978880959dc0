"""fpga.json: what is written is what is read, and anything else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly_hep.errors import ScoreTableError
from anomaly_hep.fpga.summary import FirmwareSummary
from tests.fpga.summaries import make_summary


@pytest.mark.parametrize("by_mass", [False, True])
def test_a_summary_is_read_as_it_was_written(tmp_path: Path, by_mass: bool) -> None:
    path = tmp_path / "fpga.json"
    summary = make_summary(name=" µ²", by_mass=by_mass)
    path.write_text(summary.to_json())
    assert FirmwareSummary.read(path) == summary
    content = json.loads(path.read_text())
    assert content["stages"][0]["efficiency"]["Hbb µ²"] == list(
        summary.stages[0].efficiency["Hbb µ²"]
    )
    assert content["design"]["phi"] == [16, 8]


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fpga.json"
    content = json.loads(make_summary().to_json())
    for key in ("decorrelation", "rate"):
        del content[key]
    path.write_text(json.dumps(content))
    assert FirmwareSummary.read(path) == make_summary()


@pytest.mark.parametrize(
    "change",
    [{"stages": None}, {"resources": [{"tool": "any"}]}, {"exact": []}, {"design": {"phi": 3}}],
)
def test_another_file_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "fpga.json"
    path.write_text(json.dumps(json.loads(make_summary().to_json()) | change))
    with pytest.raises(ScoreTableError, match=rf"fpga\.json is not .*\({next(iter(change))}.*Cure"):
        FirmwareSummary.read(path)
    path.write_text("{")
    with pytest.raises(ScoreTableError, match=r"fpga\.json is not what .*Invalid JSON.*Cure"):
        FirmwareSummary.read(path)
