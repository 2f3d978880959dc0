"""Templates and Markdown: names of every kind are shown, and none becomes a part of the page."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from tests.evaluate.fake_image_run import fake_image_run
from tests.evaluate.test_report import Page

from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.render import page, to_markdown
from anomaly_hep.evaluate.report import write_report
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row

HOSTILE = "<script>alert('1')</script>\"&amp;`|*[a](javascript:b)"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_report(fake_image_run(tmp_path_factory.mktemp("runs") / "codae")).read_text()


def test_a_template_without_its_values_is_refused():
    with pytest.raises(UndefinedError, match="title"):
        page("run.html.j2")


def test_wide_tables_are_narrow_and_kinds_of_rows_begin_with_a_line(images):
    first = images.split("<h2>")[0].split("<figcaption>Quality of")[0]
    assert first.count('<table class="wide">') == first.count("<figcaption>") == 2
    # those beside another row do not count
    assert first.count(' first"') == 4


def _hostile_run(run, directory):
    """A copy of a run in which every text that a user or a file can choose is hostile."""
    copy = shutil.copytree(run, directory / "run")
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["data"] |= {"name": f"data {HOSTILE}", "generator": f"generator {HOSTILE}"}
    metrics["data"]["events"][f"label {HOSTILE}"] = metrics["data"]["events"].pop("Hbb")
    for scores in (*metrics["scores"].values(), *metrics["baselines"].values()):
        scores[f"label {HOSTILE}"] = scores.pop("Hbb")
    metrics["scores"][f"score {HOSTILE}"] = metrics["scores"]["chamfer"]
    metrics["notes"] = [f"note {HOSTILE}"]
    (copy / "metrics.json").write_text(json.dumps(metrics))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    (copy / "config.yaml").write_text(yaml.safe_dump(config | {"seed": HOSTILE}))
    provenance = {"git": f"git {HOSTILE}", "starts": [{"command": ["train.py", f"x={HOSTILE}"]}]}
    (copy / "provenance.json").write_text(json.dumps(provenance))
    file = {"path": f"path {HOSTILE}", "events": 9, "sha256": HOSTILE}
    refused = {"path": f"refused {HOSTILE}", "problem": f"problem {HOSTILE}"}
    (copy / "ledger.json").write_text(json.dumps({"files": [file], "refused": [refused]}))
    (copy / "figures" / "a<b>&.png").write_bytes(b"picture")
    return copy


def test_hostile_names_are_text_on_the_page(drawn_run, tmp_path):
    text = write_report(_hostile_run(drawn_run, tmp_path)).read_text()
    # the parser of `Page` refuses scripts and unbalanced tags
    assert not Page(text).open
    assert "<script" not in text
    for word in ("data", "generator", "label", "score", "note", "git", "path", "refused",
                 "problem"):  # fmt: skip
        assert f"{word} &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;" in text, word


def _table(name: str) -> ResultTable:
    rows = [Row(name, "scores", {name: Cell("1", "±2")}, chosen=True), Row(name, "scores", {})]
    return ResultTable(name, [[Column(name, name, name)]], rows, [name])


def test_hostile_names_are_text_in_markdown():
    text = to_markdown(_table(HOSTILE))
    assert "<script" not in text
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in html
    assert "<a " not in html
    assert html.count("<tr>") == 3
    assert html.count("<td") == 4


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_markdown_shows_every_name_as_it_is(name):
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    found = [
        token.content
        for block in parser.parse(to_markdown(_table(f"a{name}z")))
        if block.type == "inline"
        for token in block.children
        if token.type == "text"
    ]
    tags = {
        token.type
        for block in parser.parse(to_markdown(_table(f"a{name}z")))
        if block.type == "inline"
        for token in block.children
    }
    assert not tags & {"html_inline", "link_open", "image", "code_inline"}
    assert " ".join(f"a{name}z".split()) in found
