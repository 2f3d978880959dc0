"""report.html of a run of images: its sections, its stamps, and no word of jets."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from tests.evaluate.fake_image_run import fake_image_run
from tests.evaluate.test_report import Page

from anomaly_hep.evaluate.report import write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_image_run(tmp_path_factory.mktemp("runs") / "codae")


@pytest.fixture(scope="module")
def page(run):
    return write_report(run).read_text("utf-8")


def test_the_page_is_whole_and_loads_nothing(page):
    assert not Page(page).open
    assert "http://" not in page
    assert "https://" not in page


def test_the_page_says_what_matters(page):
    for words in (
        "CoDAE on dark showers",
        "Area under the ROC curve in %",
        "Background that passes in % where 40 % of the signal does",
        "SUEP\n1000 GeV",
        "SVJ\nmean",
        "Quality of the reconstructed images",
        "paper Table 8",
        "Counting hit pixels alone reaches",
        "its code exchanges truth and prediction",
        "1.65 M",
    ):
        assert words in page
    for table in (4, 5, 10, 11):
        assert f"Table {table} of arXiv:2306.12955" in page


def test_nothing_of_jets_is_on_the_page(page):
    assert not re.search(r"\bjets?\b|JetClass|2311\.17162|subjettiness", page)


def test_the_headline_is_the_default_scores(page, run):
    metrics = json.loads((run / "metrics.json").read_text())
    value = metrics["means"]["sae"]["SUEP"]["auc"][0]
    assert (
        f"The SAE separates signals from QCD with an area under the ROC curve of {100 * value:.1f}"
        in page
    )
    assert "(mean over 6 masses)" in page
    assert "(mean over 3 masses)" in page


def test_a_supervised_model_and_simulated_data_are_stamped(tmp_path):
    run = fake_image_run(tmp_path / "cct", model="cct", supervised=True)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["data"]["origin"] = "simulated"
    (run / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(run).read_text("utf-8")
    assert "CCT (supervised) on dark showers (simulated)" in page
    assert "<strong>SUPERVISED.</strong>" in page
    assert "<strong>Simulated data.</strong> These images were made" in page


def test_data_of_no_paper_have_no_published_numbers(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    config = (copy / "config.yaml").read_text().replace("anzalone2023", "null")
    (copy / "config.yaml").write_text(config)
    page = write_report(copy).read_text("utf-8")
    assert "No published numbers are known" in page
    assert "Supervised CCT" not in page
    assert "separates best and worst" in page
