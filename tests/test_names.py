"""What users call their things never becomes a path, markup or an invisible text."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.errors import AnomalyHepError, ConfigError, ScoreTableError
from anomaly_hep.evaluate.evaluation import distributions
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.names import is_name
from tests.evaluate.fake_run import PAPER, score_table

HOSTILE = (
    "../../x", "/etc/x", "a/b", "..", ".hidden", "", "a b", "a\nb", "a\x1b[31m", "<script>", "a|b",
    "$\\frac{", "=1+1", "-x", "a" * 101, "a\0b", "[red]",
)  # fmt: skip


@pytest.mark.parametrize("name", ["kl", "SUEP125", "Hττ", "m_1.5+x-y", "2024", "_own"])
def test_plain_names_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_others_are_refused_where_they_are_typed_and_where_they_are_read(name: str) -> None:
    assert not is_name(name)
    base = compose("train")
    knn = {"_target_": "anomaly_hep.models.fitted.NearestNeighbours", "embedding": "latent"}
    phase = base["model"]["phases"]["train"]
    for section, key, value in (
        ("data", "samples", base["data"]["samples"] | {"test": {name: {"files": "x"}}}),
        ("data", "groups", {name: ["Hbb"]}),
        ("data", "name", name),
        ("model", "name", name),
        ("model", "phases", {name: phase}),
    ):
        config = dict(base) | {section: dict(base[section]) | {key: value}}
        with pytest.raises(ConfigError, match=f"{section}.{key}.*cannot be a name. Cure: ") as said:
            settings_of("train", config)
        assert "\n" not in str(said.value)
    with pytest.raises(ConfigError, match=r"fitted_scores: .*cannot be a name"):
        settings_of("train", dict(base) | {"fitted_scores": {name: knn}})
    table = score_table(30).rename(columns={"score_kl": f"score_{name}"})
    with pytest.raises(ScoreTableError, match="cannot be the name of a score"):
        distributions(table, PAPER)
    if name:  # events without a label are left out
        table = score_table(30)
        table.loc[3, "label"] = name
        with pytest.raises(ScoreTableError, match="cannot be the name of a class"):
            distributions(table, PAPER)


@pytest.mark.parametrize("title", ["a $\\frac{", "two\nlines", "\x1b[31m"])
def test_a_title_that_cannot_be_drawn_is_refused(title: str) -> None:
    base = compose("train")
    with pytest.raises(ConfigError, match=r"data.title=.* cannot be drawn"):
        settings_of("train", dict(base) | {"data": base["data"] | {"title": title}})


def test_a_name_of_a_paper_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(AnomalyHepError):
        load_paper("../../x")
