"""Weights & Biases without a network: modes, keys, names, and panels that name what is logged."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from anomaly_hep import dashboards, workspace
from anomaly_hep.commands import dashboard
from anomaly_hep.dashboards import (
    LONGEST_NAME,
    LONGEST_TAG,
    chosen_mode,
    close_dashboards,
    open_dashboards,
    shortened,
    unreachable,
)
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.settings import DashboardSettings, NoDashboard, WandbSettings
from tests.evaluate.fake_run import fake_run

WANDB = WandbSettings("wandb", None, True, "p", None, ())
CONFIG = {"model": {"name": "m"}, "data": {"name": "d"}, "seed": 1}
KEY = {"WANDB_API_KEY": "0" * 40}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without W&B's variables, whose server does not answer."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("mode", "variable", "expected"),
    [
        (None, "", "online"), (None, "offline", "offline"), (None, "dryrun", "offline"),
        (None, "Disabled", "disabled"), ("offline", "", "offline"), ("online", "online", "online"),
        ("offline", "dryrun", "offline"),
    ],
)  # fmt: skip
def test_the_mode_is_the_environments_unless_it_is_given(mode, variable, expected):
    assert chosen_mode(replace(WANDB, mode=mode), {"WANDB_MODE": variable}) == expected


@pytest.mark.parametrize(
    ("mode", "variable", "said"),
    [
        ("online", "offline", "contradict each other"),
        (None, "onlin", "WANDB_MODE=onlin is no mode"),
    ],
)
def test_a_contradiction_is_said(mode, variable, said):
    with pytest.raises(ConfigError, match=said):
        chosen_mode(replace(WANDB, mode=mode), {"WANDB_MODE": variable})


def test_a_key_is_looked_for_where_wandb_does(tmp_path):
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert dashboards._has_key("api.wandb.ai", {"HOME": str(tmp_path)})
    assert not dashboards._has_key("other.host", {"HOME": str(tmp_path)})
    assert not dashboards._has_key("api.wandb.ai", {"HOME": str(tmp_path / "no")})
    assert dashboards._has_key("api.wandb.ai", KEY)


def test_a_server_that_does_not_answer_is_named_within_seconds(monkeypatch):
    monkeypatch.setattr(dashboards, "_PATIENCE", 0.4)
    assert "there is no API key for api.wandb.ai" in str(unreachable({"HOME": "/nowhere"}))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert unreachable({**KEY, "WANDB_BASE_URL": address}) == "127.0.0.1 cannot be reached"
        assert time.monotonic() - began < 30


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("key", [None, "0" * 40])
def test_without_key_or_network_the_run_ends_in_one_line(tmp_path, monkeypatch, key):
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"Cure: logger.mode=offline") as caught:
        open_dashboards(WANDB, CONFIG, tmp_path, Console(quiet=True))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("nowhere")
def test_where_it_is_not_required_the_run_goes_on_offline(tmp_path, finished, capsys):
    long = "t" * 70
    settings = replace(WANDB, required=False, tags=[long, "short", "short"])
    (logger,) = open_dashboards(settings, CONFIG, tmp_path, Console(width=500))
    said = capsys.readouterr().out
    assert "there is no API key for 127.0.0.1" in said
    assert "the run is logged offline" in said
    assert f"W&B takes no name like {long}" in said
    run = logger.experiment
    assert run.offline
    assert len(run.tags) == 2
    assert all(len(tag) <= LONGEST_TAG for tag in run.tags)
    # what W&B does not take at the end is a remark
    results = RunFiles(finished).results
    close_dashboards(settings, tmp_path / "no-such-run", results, Console(width=500))
    assert "the run itself is complete" in capsys.readouterr().out
    run.finish()


def test_no_dashboard_is_no_logger(tmp_path):
    assert open_dashboards(NoDashboard("none"), CONFIG, tmp_path, Console()) == []


@pytest.mark.parametrize("project", ["a/b", "a#b", "", "p" * 129])
def test_a_project_that_wandb_would_refuse_is_refused(tmp_path, project):
    settings = replace(WANDB, project=project, mode="offline")
    with pytest.raises(ConfigError, match="is no name to W&B"):
        open_dashboards(settings, CONFIG, tmp_path, Console())


def test_names_are_cut_and_stay_unique():
    assert shortened("plain-name", LONGEST_NAME) == "plain-name"
    one, other = shortened("x" * 200, LONGEST_NAME), shortened("x" * 201, LONGEST_NAME)
    assert len(one) == len(other) == LONGEST_NAME
    assert one != other
    assert shortened("a/b", 64) != shortened("a:b", 64)
    assert not set("/\\#?%:") & set(shortened("a/b\\c#d?e%f:g", 64))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fake_run(tmp_path_factory.mktemp("run") / "r", events=300, classes=("QCD", "Hbb", "Tbl"))
    (run / "figures").mkdir(exist_ok=True)
    for name in ("roc", "roc_baselines", "losses", "histogram_kl"):
        (run / "figures" / f"{name}.png").touch()
    return run


def test_panels_name_what_the_run_logs_alone(finished):
    header = (finished / "metrics.csv").read_text().split("\n", 1)[0].split(",")
    results = RunFiles(finished).results
    logged = {*header, *dashboards.summary(results), *dashboards.figures(finished)}
    sections = workspace.sections(finished)
    named = [key for s in sections for keys in s.keys.values() for key in keys]
    assert set(named) <= logged
    assert {"val/loss", "train/loss", "Hbb/auc", "Tbl/auc", "figures/roc"} <= set(named)
    assert len(named) == len(set(named))
    assert {s.title for s in sections} >= {"Metrics by signal", "ROC curves", "Losses"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of that package itself
def test_the_workspace_is_made_and_needs_a_network_to_be_saved(finished, monkeypatch):
    pytest.importorskip("wandb_workspaces")
    made = workspace.workspace(finished, "me", "p")
    assert [section.name for section in made.sections][:3] == [
        "Metrics by signal", "ROC curves", "Losses",
    ]  # fmt: skip
    assert made._to_model().spec
    monkeypatch.setattr(dashboard, "unreachable", lambda _: "api.wandb.ai cannot be reached")
    with pytest.raises(ConfigError, match=r"cannot be reached. Cure: `wandb login`"):
        dashboard.run(DashboardSettings(str(finished), "me", "p"))
    saved = []
    monkeypatch.setattr(type(made), "save", lambda self: saved.append(self) or self)
    monkeypatch.setattr(type(made), "url", "https://wandb.ai/me/p")
    assert workspace.save(finished, "me", "p") == "https://wandb.ai/me/p"
    assert saved
