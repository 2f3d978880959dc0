"""report.html of a firmware run: whole, self-contained, and no name becomes a part of the page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from anomaly_hep.fpga.firmware_page import firmware_page
from tests.fpga.summaries import make_summary

HOSTILE = "<script>alert('1')</script>\"&amp;"


class _Page(HTMLParser):
    """The tags that are open at the end, and what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object")
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_says_what_was_found_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "agreement.png").write_bytes(b"picture")
    text = firmware_page(tmp_path, make_summary())
    page = _Page(text)
    assert not page.open
    assert page.sources == ["data:image/png;base64,cGljdHVyZQ=="]
    for words in (
        "Toy in firmware", "exactly equal to the quantised model", "4,000 QCD and 2,000 signal",
        "16 × 1", "ufixed&lt;20,8&gt;", "51,498", "timing is not closed", "31.2",
        "0.00625", "&#34;threshold&#34;: 5123",
    ):  # fmt: skip
        assert words in text, words


def test_thresholds_by_mass_are_shown(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("agreement.png", "passing.png"):
        (tmp_path / "figures" / name).write_bytes(b"picture")
    text = firmware_page(tmp_path, make_summary(by_mass=True))
    page = _Page(text)
    assert not page.open
    assert len(page.sources) == 2
    for words in (
        "fires at quantile", "4 of 4", "ufixed&lt;8,9&gt;, steps of 2 GeV", "1.25 %",
        "Background that fires, by jet_mass", "thresholds by mass", "0.345", "0.0123",
        "Trigger rate of 4e+07 Hz", "1010", "equally full of test background",
    ):  # fmt: skip
        assert words in text, words
    assert "fires above" not in text


def test_differences_are_named(tmp_path: Path) -> None:
    text = firmware_page(tmp_path, make_summary(wrong=7))
    assert "Every compared event" not in text
    assert "<strong>Not equal.</strong>" in text
    assert "QONNX graph: qonnx execution: 7 of 13,000 events differ;" in text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    for wrong in (0, 1):
        summary = make_summary(wrong=wrong, name=HOSTILE, by_mass=bool(wrong))
        text = firmware_page(tmp_path, summary)
        assert not _Page(text).open
        assert "<script" not in text
        # in titles, rows, headings, cards, remarks and fpga.json
        assert text.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") > 40
