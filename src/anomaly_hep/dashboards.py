"""Dashboards in addition to metrics.csv: Weights & Biases, with `logger=wandb`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.results import Results
from anomaly_hep.run import default_path, identity
from anomaly_hep.settings import NoDashboard, RunSettings, WandbSettings, shown


def open_dashboards(
    settings: NoDashboard | WandbSettings, config: Mapping[str, Any], path: Path
) -> list[Logger]:
    """Return the loggers that a run's configuration requests in addition to metrics.csv."""
    if isinstance(settings, NoDashboard):
        return []
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger
    except ModuleNotFoundError as error:
        raise ConfigError(
            "logger=wandb needs the package wandb. Cure: pip install 'anomaly_hep[wandb]'"
        ) from error
    name = default_path(config, Path()).name
    logger = WandbLogger(
        name=name,
        # the same id at every start: a resumed run continues in the same dashboard
        id=name,
        resume="allow",
        save_dir=path,
        project=settings.project,
        entity=settings.entity,
        tags=list(settings.tags),
        mode=settings.mode,
        config=identity(shown(config)),
        settings=wandb.Settings(silent=True),
    )
    return [logger]


def close_dashboards(settings: RunSettings, path: Path, results: Results) -> None:
    """Log efficiencies, figures and the best checkpoint to the run's dashboard, if it has one."""
    if isinstance(settings.logger, NoDashboard):
        return
    import wandb

    run = wandb.run
    if run is None:
        return
    table = wandb.Table(columns=["score", "signal", "metric", "value", "low", "high"])
    for score, signals in (*results.scores.items(), *results.baselines.items()):
        for signal, values in signals.items():
            for metric, interval in values.items():
                table.add_data(score, signal, metric, *(interval or (None, None, None)))
    run.log({"efficiencies": table})
    run.log(
        {f"figures/{f.stem}": wandb.Image(str(f)) for f in sorted((path / "figures").glob("*.png"))}
    )
    default_score = results.scores[results.default_score]
    run.summary.update(
        {
            f"{signal}/{metric}": interval.value
            for signal, values in default_score.items()
            for metric, interval in values.items()
            if interval
        }
    )
    artifact = wandb.Artifact(f"{settings.model.name}-{run.id}", type="model")
    artifact.add_file(str(path / "checkpoints" / "best.ckpt"))
    run.log_artifact(artifact)
    run.finish()
