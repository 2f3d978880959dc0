"""Sentences of the documents that say what the code does, each tied to the code."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import yaml

from anomaly_hep import run
from anomaly_hep.formats import jetclass, pixels
from anomaly_hep.formats.ledger import Ledger
from anomaly_hep.runtime import ENDINGS

ROOT = Path(__file__).resolve().parents[1]
RESUME = (ROOT / "docs" / "how-to" / "train-and-resume.md").read_text("utf-8")
FORMATS = (ROOT / "docs" / "reference" / "formats.md").read_text("utf-8")
IMPOSSIBLE = FORMATS[FORMATS.index("### Impossible events") :]


def keys(text: str, begin: str, end: str) -> set[str]:
    """The code words of a page between two of its phrases."""
    part = text[text.index(begin) + len(begin) :]
    return set(re.findall(r"`([^`]+)`", part[: part.index(end)]))


def test_what_may_change_in_a_run_is_what_its_identity_leaves_out() -> None:
    said = keys(RESUME, "since the one-cycle schedule depends on their number.", "may change:")
    below = {f"{room}.{key}" for room, names in run._NOT_IDENTITY_BELOW.items() for key in names}
    # another number of threads rounds otherwise, and is refused by its own rule
    assert said == ({*run.NOT_IDENTITY} - {"threads"}) | below


def test_what_the_evaluation_alone_needs_is_said() -> None:
    begin = "What decides only how the network is tested may change until the run is finished:"
    assert keys(RESUME, begin, "where no signal takes part") == set(run._EVALUATION)


@pytest.mark.parametrize("number", ENDINGS)
def test_the_exit_status_of_a_signal_is_said(number: signal.Signals) -> None:
    assert re.search(rf"^\| {number.name}[^|]*\| {128 + number} \|", RESUME, re.MULTILINE)


def test_what_a_kill_costs_is_the_key_that_says_so() -> None:
    assert "| SIGKILL, power | 137 | at most `trainer.checkpoint_every_seconds` of" in RESUME
    for path in (ROOT / "conf" / "trainer").glob("*.yaml"):
        trainer = yaml.safe_load(path.read_text())
        if "checkpoint_every_seconds" in trainer:
            assert 0 < trainer["checkpoint_every_seconds"] <= 60


def test_bounds_of_events_are_those_of_the_format() -> None:
    layout = jetclass.LAYOUT
    found = re.findall(r"^\| `([a-z_]+)`[^|]*\| ([^|]+?) \|", IMPOSSIBLE, re.MULTILINE)
    rows = dict(reversed(found))
    assert rows["jet_pt"] == f"above 0, at most {layout['jet_pt'].most / 1000:g} TeV"
    assert rows["part_energy"] == f"0 to {layout['part_energy'].most / 1000:g} TeV"
    assert rows["part_deta"] == f"−{layout['part_deta'].most} to {layout['part_deta'].most}"
    assert f"−{layout['part_energy'].slack * 1000:g} MeV is read as 0" in FORMATS
    assert "10⁻⁵ beyond is read as the bound" in FORMATS
    assert layout["part_dphi"].slack == 1e-5
    assert "(−1 keV … 0 is empty)" in FORMATS  # of images
    assert pixels.ROUNDING_GEV == 1e-6


def test_every_rule_of_jets_is_in_the_table() -> None:
    words = ("type flags", "charge", "near the sum", "below its momentum", "centred on their jet",
             "the angles of the momenta")  # fmt: skip
    assert all(word in IMPOSSIBLE for word in words)
    # both sums stand in one row
    assert len(jetclass.LAYOUT.rules) == len(words) + 1


def test_the_ledger_has_what_the_page_says() -> None:
    assert {"files", "refused", "left_out"} <= set(Ledger().to_json())
    assert "data files with SHA-256, refused files and why, events rejected" in RESUME
