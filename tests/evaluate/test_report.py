"""report.html: whole, self-contained, honest about its data."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import pytest
from tests.evaluate.test_figures import NAMES

from anomaly_hep.errors import MissingDataError
from anomaly_hep.evaluate.report import write_report


class Page(HTMLParser):
    """What the page loads, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.pictures = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href", "data", "action")]
        self.pictures += tag == "img"
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(drawn_run):
    return write_report(drawn_run).read_text("utf-8")


def test_the_page_loads_nothing(page):
    found = Page(page)
    assert not found.open
    assert found.pictures == len(NAMES)
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    for word in ("http://", "https://", "url(", "@import", "<script"):
        assert word not in page


def test_the_page_fits_phones_and_dark_screens(page):
    assert "width=device-width" in page
    assert "prefers-color-scheme: dark" in page


def test_the_page_says_what_matters(page):
    for words in (
        "CLIP-VAE on JetClass (simulated)",
        "<strong>Simulated data.</strong>",
        "Signal efficiency in % at background rejection 100",
        "KL divergence",
        "N-subjettiness",
        "paper Table 2",
        "Table 1 of arXiv:2311.17162",
        "Area under the ROC curve",
        "205,155",
        "train/ZJetsToNuNu_000.root",
        "truncated &lt;after&gt; 7 %",
        "beta: 0.08",
        "0123abc",
        "python train.py model=clipvae",
        "<dt>measured on</dt><dd>Z80, threads: 3</dd>",
    ):
        assert words in page


def test_the_headline_is_the_default_scores(page, drawn_run):
    metrics = json.loads((drawn_run / "metrics.json").read_text())
    efficiency = {
        s: m["efficiency_at_rejection_100"][0] for s, m in metrics["scores"]["kl"].items()
    }
    assert max(efficiency, key=efficiency.get) == "Tbl"
    assert f"{100 * efficiency['Tbl']:.0f} ±" in page or f"{100 * efficiency['Tbl']:.0f} (+" in page
    assert "of t → bℓν" in page


def test_published_data_have_no_banner(drawn_run, tmp_path):
    copy = shutil.copytree(drawn_run, tmp_path / "copy", ignore=lambda *_: ["figures"])
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["data"]["origin"] = "published"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(copy).read_text("utf-8")
    assert "Simulated data" not in page
    assert "(simulated)" not in page
    assert "No figure was drawn" in page


def test_an_unknown_picture_is_shown_too(drawn_run, tmp_path):
    copy = shutil.copytree(drawn_run, tmp_path / "copy")
    shutil.copy(copy / "figures" / "roc.png", copy / "figures" / "peaks_of_mass.png")
    page = write_report(copy).read_text("utf-8")
    assert Page(page).pictures == len(NAMES) + 1
    assert "peaks of mass" in page


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "ledger.json"])
def test_a_run_that_has_not_come_so_far_is_refused(drawn_run, tmp_path, name):
    copy = shutil.copytree(drawn_run, tmp_path / "copy", ignore=lambda *_: ["figures"])
    (copy / name).unlink()
    with pytest.raises(MissingDataError, match=name):
        write_report(copy)


def test_a_run_without_measured_speed_has_a_dash(drawn_run, tmp_path):
    copy = shutil.copytree(drawn_run, tmp_path / "copy", ignore=lambda *_: ["figures"])
    (copy / "speed.json").write_text("{}")
    assert "<dt>training, events/s</dt><dd>–</dd>" in write_report(copy).read_text("utf-8")
