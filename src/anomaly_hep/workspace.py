"""A saved workspace in Weights & Biases for the runs of a project: panels of what they log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.dashboards import figures, summary
from anomaly_hep.errors import ConfigError, in_one_line
from anomaly_hep.evaluate.runfiles import RunFiles

NAME = "anomaly_hep"


@dataclass(frozen=True)
class Panels:
    """A section of the workspace: `kind` of its panels, and the keys of each panel by its title."""

    title: str
    kind: str  # line, bar or picture
    keys: Mapping[str, Sequence[str]]


def sections(path: Path) -> list[Panels]:
    """Return the sections for runs like the one in `path`: losses, metrics per signal, figures."""
    run = RunFiles(path)
    header = (path / "metrics.csv").read_text(encoding="utf-8").split("\n", 1)[0].split(",")
    terms = [key.partition("/")[2] for key in header if key.startswith("val/")]
    losses = {
        term: [key for key in (f"train/{term}", f"val/{term}") if key in header] for term in terms
    }
    values = list(summary(run.results))
    metrics = {
        metric.title: [key for key in values if key.rpartition("/")[2] == metric.key]
        for metric in run.results.paper.metrics
    }
    pictures = list(figures(path))
    curves = [key for key in pictures if "roc" in key]
    masses = [key for key in pictures if "sculpting" in key or "mass" in key]
    rest = [key for key in pictures if key not in (*curves, *masses)]
    return [
        Panels("Metrics by signal", "bar", _filled(metrics)),
        Panels("ROC curves", "picture", _filled({"ROC curves": curves})),
        Panels("Losses", "line", _filled(losses)),
        Panels("Sculpting of the mass", "picture", _filled({"Masses": masses})),
        Panels("Figures", "picture", {key.rpartition("/")[2]: [key] for key in rest}),
    ]


def _filled(panels: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {title: keys for title, keys in panels.items() if keys}


def workspace(path: Path, entity: str, project: str) -> Any:
    """Return the workspace for runs like the one in `path`, which `save()` would send to W&B."""
    try:
        import wandb_workspaces.reports.v2 as reports
        from wandb_workspaces import workspaces
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a workspace needs the package wandb-workspaces. Cure: pip install "
            "'anomaly_hep[dashboard]'"
        ) from error

    def panel(kind: str, title: str, keys: Sequence[str]) -> Any:
        if kind == "line":
            return reports.LinePlot(title=title, x="Step", y=list(keys))
        if kind == "bar":
            metrics = [reports.SummaryMetric(key) for key in keys]
            return reports.BarPlot(title=title, metrics=metrics)
        return reports.MediaBrowser(title=title, media_keys=list(keys))

    return workspaces.Workspace(
        name=NAME,
        entity=entity,
        project=project,
        sections=[
            workspaces.Section(
                name=section.title,
                panels=[panel(section.kind, title, keys) for title, keys in section.keys.items()],
                is_open=True,
            )
            for section in sections(path)
            if section.keys
        ],
        runset_settings=workspaces.RunsetSettings(
            pinned_columns=["run:displayName", *(f"summary:{key}" for key in _columns(path))]
        ),
    )


def _columns(path: Path) -> list[str]:
    """Return the areas under the ROC curves, which the table of runs shows first."""
    return [key for key in summary(RunFiles(path).results) if key.endswith("/auc")]


def save(path: Path, entity: str, project: str) -> str:
    """Save the workspace in W&B and return its address; raises ConfigError if W&B refuses it."""
    made = workspace(path, entity, project)
    try:
        return str(made.save().url)
    except Exception as error:
        raise ConfigError(
            f"W&B refuses the workspace ({in_one_line(error)[:150]}). Cure: check entity= and "
            "project=, which a run must have been sent to"
        ) from error
