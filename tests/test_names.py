"""What users call their things never becomes a path, markup or an invisible text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.errors import AnomalyHepError, ConfigError, ScoreTableError
from anomaly_hep.evaluate.evaluation import events_by_label, score_names
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.names import is_name
from tests.evaluate.fake_run import score_table

HOSTILE = (
    "../../x", "/etc/x", "a/b", "..", ".hidden", "", "a b", "a\nb", "a\x1b[31m", "<script>", "a|b",
    "$\\frac{", "=1+1", "-x", "a" * 101, "a\0b", "[red]",
)  # fmt: skip


@pytest.mark.parametrize("name", ["kl", "SUEP125", "Hττ", "m_1.5+x-y", "2024", "_own"])
def test_plain_names_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_others_are_none_and_are_refused_in_a_table(name: str) -> None:
    assert not is_name(name)
    table = score_table(30)
    with pytest.raises(ScoreTableError, match=r"cannot be the name of a score. Cure: ") as said:
        score_names(table.rename(columns={"score_kl": f"score_{name}"}))
    assert "\n" not in str(said.value)
    if name:  # events without a label are left out
        table.loc[3, "label"] = name
        with pytest.raises(ScoreTableError, match="cannot be the name of a class"):
            events_by_label(table)


@pytest.mark.parametrize(
    ("section", "key", "change"),
    [
        ("data", "samples", {"test": {"../x": {"files": "x"}}}),
        ("data", "groups", {"../x": ["Hbb"]}),
        ("data", "name", "../x"),
        ("model", "name", "../x"),
        ("model", "phases", {"../x": {}}),
    ],
)
def test_others_are_refused_where_they_are_typed(section: str, key: str, change: Any) -> None:
    base = compose("train")
    if key == "phases":
        change = {"../x": base["model"]["phases"]["train"]}
    config = dict(base) | {section: base[section] | {key: change}}
    with pytest.raises(ConfigError, match=rf"{section}.{key}.*: '../x' cannot be a name. Cure: "):
        settings_of("train", config)


def test_a_fitted_score_is_no_path() -> None:
    knn = {"_target_": "anomaly_hep.models.fitted.NearestNeighbours", "embedding": "latent"}
    with pytest.raises(ConfigError, match=r"fitted_scores: '../x' cannot be a name"):
        settings_of("train", dict(compose("train")) | {"fitted_scores": {"../x": knn}})


@pytest.mark.parametrize("title", ["a $\\frac{", "two\nlines", "\x1b[31m"])
def test_a_title_that_cannot_be_drawn_is_refused(title: str) -> None:
    base = compose("train")
    with pytest.raises(ConfigError, match=r"data.title=.* cannot be drawn"):
        settings_of("train", dict(base) | {"data": base["data"] | {"title": title}})


def test_a_name_of_a_paper_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(AnomalyHepError):
        load_paper("../../x")
