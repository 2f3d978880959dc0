"""Dashboards in addition to metrics.csv: Weights & Biases, with `logger=wandb`."""

from __future__ import annotations

import hashlib
import importlib.util
import netrc
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from lightning.pytorch.loggers.logger import Logger
from rich.console import Console

from anomaly_hep.errors import ConfigError, in_one_line
from anomaly_hep.evaluate.results import Results
from anomaly_hep.run import default_path, identity
from anomaly_hep.settings import NoDashboard, WandbSettings, shown

# what W&B takes: characters of a tag, and of a name or an id
LONGEST_TAG, LONGEST_NAME = 64, 128
_FORBIDDEN = r"[/\\#?%:]"
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline",
          "disabled": "disabled"}  # fmt: skip
_PATIENCE = 8.0  # s for the first answer of the server


def open_dashboards(
    settings: NoDashboard | WandbSettings, config: Mapping[str, Any], path: Path, console: Console
) -> list[Logger]:
    """Return the loggers that a run's configuration requests in addition to metrics.csv.

    Raises ConfigError, within seconds, where W&B cannot be reached; with `required=false` the run
    is logged offline then.
    """
    if isinstance(settings, NoDashboard):
        return []
    if importlib.util.find_spec("wandb") is None:
        raise ConfigError(
            "logger=wandb needs the package wandb. Cure: pip install 'anomaly_hep[wandb]'"
        )
    mode = chosen_mode(settings, os.environ)
    choices = _choices(settings, config, path, console)
    problem = unreachable(os.environ) if mode == "online" else None
    if not problem:
        opened = _opened(choices, mode)
        if not isinstance(opened, str):
            return [opened]
        problem = opened
    if settings.required or mode != "online":
        raise ConfigError(
            f"logger=wandb: {problem}. Cure: logger.mode=offline, to upload later; or "
            "logger.required=false, which does so by itself"
        )
    console.print(f"logger=wandb: {problem}; the run is logged offline, below {path / 'wandb'}")
    opened = _opened(choices, "offline")
    if isinstance(opened, str):
        raise ConfigError(f"logger=wandb: {opened}. Cure: logger=none")
    return [opened]


def chosen_mode(settings: WandbSettings, environment: Mapping[str, str]) -> str:
    """Return the mode of logger.mode or of WANDB_MODE; raises ConfigError if they disagree."""
    given = environment.get("WANDB_MODE", "").strip().lower()
    if not given:
        return settings.mode or "online"
    if given not in _MODES:
        raise ConfigError(f"WANDB_MODE={given} is no mode. Cure: online, offline or disabled")
    if settings.mode not in (None, _MODES[given]):
        raise ConfigError(
            f"logger.mode={settings.mode} and WANDB_MODE={given} contradict each other. Cure: "
            "leave one of them out"
        )
    return _MODES[given]


def unreachable(environment: Mapping[str, str]) -> str | None:
    """Return in a few words why nothing can be sent to W&B; None if it answers."""
    address = environment.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")
    host = urlsplit(address).hostname or address
    if not _has_key(host, environment):
        return f"there is no API key for {host} (WANDB_API_KEY or `wandb login`)"
    answers: list[bool] = []

    def ask() -> None:
        try:
            requests.head(address, timeout=_PATIENCE / 2, allow_redirects=False).close()
        except requests.RequestException:
            return
        answers.append(True)

    # in a thread, as looking up a name has no time limit of its own
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return None if answers else f"{host} cannot be reached"


def _has_key(host: str, environment: Mapping[str, str]) -> bool:
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    home = Path(environment.get("HOME") or "/")
    names = [environment["NETRC"]] if "NETRC" in environment else [".netrc", "_netrc"]
    for name in names:
        try:
            if netrc.netrc(str(home / Path(name).expanduser())).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def shortened(text: str, longest: int) -> str:
    """Return a name that W&B takes; a part of its hash keeps one that is changed unique."""
    allowed = re.sub(_FORBIDDEN, "_", text)
    if allowed == text and len(text) <= longest:
        return text
    return f"{allowed[: longest - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _choices(
    settings: WandbSettings, config: Mapping[str, Any], path: Path, console: Console
) -> dict[str, Any]:
    """Return what the logger is told, with names that W&B takes; raises ConfigError."""
    if re.search(_FORBIDDEN, settings.project) or not 0 < len(settings.project) <= LONGEST_NAME:
        raise ConfigError(
            f"logger.project={settings.project} is no name to W&B. Cure: 1 to {LONGEST_NAME} "
            "characters, and none of / \\ # ? % :"
        )
    name = default_path(config, Path()).name
    given = {tag: tag for tag in settings.tags if tag}
    tags = {tag: _short_tag(tag) for tag in given}
    new_name = shortened(name, LONGEST_NAME)
    for old, new in ({name: new_name} | tags).items():
        if old != new:
            console.print(f"W&B takes no name like {old}: it is {new} there")
    # the same id at every start: a resumed run continues in the same dashboard
    return {
        "name": new_name, "id": new_name, "resume": "allow", "dir": path,
        "project": settings.project, "entity": settings.entity, "tags": list(tags.values()),
        "config": identity(shown(config)),
    }  # fmt: skip


def _short_tag(tag: str) -> str:
    if len(tag) <= LONGEST_TAG:
        return tag
    return f"{tag[: LONGEST_TAG - 9]}-{hashlib.sha256(tag.encode()).hexdigest()[:8]}"


def _opened(choices: Mapping[str, Any], mode: Any) -> Any:
    """Return a logger that is ready; a text that says why if W&B refuses it."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    quiet = wandb.Settings(
        silent=True, init_timeout=30.0, finish_timeout=300.0, finish_timeout_raises=False
    )
    try:
        run = wandb.init(mode=mode, settings=quiet, **choices)
        # losses stand over the steps of the training, not over the calls of the logger
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    except Exception as error:  # W&B and its network raise all kinds
        return f"W&B refuses the run ({in_one_line(error)[:150]})"
    return WandbLogger(experiment=run, save_dir=choices["dir"], project=choices["project"])


def close_dashboards(
    settings: NoDashboard | WandbSettings, path: Path, results: Results, console: Console
) -> None:
    """Log efficiencies, figures and the best checkpoint to the run's dashboard, if it has one.

    The run is complete by then: what W&B does not take is said in one line.
    """
    if isinstance(settings, NoDashboard):
        return
    import wandb

    run = wandb.run
    if run is None:
        return
    try:
        _log_results(run, path, results)
        run.finish()
    except Exception as error:  # W&B and its network raise all kinds
        console.print(
            f"W&B did not take all results ({in_one_line(error)[:150]}); the run itself is "
            f"complete. `wandb sync` uploads what is below {path / 'wandb'}"
        )


def _log_results(run: Any, path: Path, results: Results) -> None:
    import wandb

    table = wandb.Table(columns=["score", "signal", "metric", "value", "low", "high"])
    for score, signals in (*results.scores.items(), *results.baselines.items()):
        for signal, values in signals.items():
            for metric, interval in values.items():
                table.add_data(score, signal, metric, *(interval or (None, None, None)))
    run.log({"efficiencies": table})
    run.log({key: wandb.Image(str(file)) for key, file in figures(path).items()})
    run.summary.update(summary(results))
    artifact = wandb.Artifact(
        shortened(f"{results.model.name}-{run.id}", LONGEST_NAME), type="model"
    )
    artifact.add_file(str(path / "checkpoints" / "best.ckpt"))
    run.log_artifact(artifact)


def figures(path: Path) -> dict[str, Path]:
    """Return the figures of a run by the keys under which they are logged."""
    return {f"figures/{f.stem}": f for f in sorted((path / "figures").glob("*.png"))}


def summary(results: Results) -> dict[str, float]:
    """Return the default score's values by the keys under which they are logged."""
    return {
        f"{signal}/{metric}": interval.value
        for signal, values in results.scores[results.default_score].items()
        for metric, interval in values.items()
        if interval
    }
