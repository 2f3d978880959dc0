"""The commands: each is anomaly_hep.commands.NAME.run applied to conf/NAME.yaml and overrides."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from anomaly_hep.errors import AnomalyHepError, ConfigError

CONFIG_DIRECTORY = Path(__file__).resolve().parents[2] / "conf"
COMMANDS = {
    "simulate": "simulate events in a published format",
    "fetch": "download published data",
    "score": "score files with a trained model",
    "evaluate": "make metrics, figures and report of a run anew",
    "fpga": "make firmware of a trained encoder, and the proof that both agree",
    "curve": "results of a run's milestones against training size",
    "collect": "one table of many runs",
    "benchmark": "measure rates on this machine",
    "doctor": "say what this machine has and lacks",
}
PLAIN = ("collect", "doctor")  # commands without a configuration


def main() -> None:
    """Run `python -m anomaly_hep COMMAND ...`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
        print("usage: python -m anomaly_hep COMMAND [key=value ...]", *lines, sep="\n")
        return
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        sys.exit(f"there is no command '{name}'.{hint} Commands: {', '.join(COMMANDS)}")
    # hydra reads sys.argv itself
    sys.argv = [f"{sys.argv[0]} {name}", *arguments[1:]]
    if name in PLAIN:
        with _PlainErrors():
            importlib.import_module(f"anomaly_hep.commands.{name}").run(arguments[1:])
    else:
        run(name)


def run(name: str) -> None:
    """Run one command on its configuration, composed by Hydra from the command line."""
    # argparse takes the overrides as one block only, so a -m between them would end it
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda a: a not in ("-m", "--multirun"))
    with _PlainErrors():
        _check_overrides(name, [a for a in sys.argv[1:] if not a.startswith("-")])
    command = importlib.import_module(f"anomaly_hep.commands.{name}")

    @hydra.main(version_base="1.3", config_path=str(CONFIG_DIRECTORY), config_name=name)
    def composed(config: DictConfig) -> Any:
        return command.run(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))

    with _PlainErrors():
        composed()


class _PlainErrors:
    """Turn errors that are meant for the user into one message; leave defects their traceback."""

    def __enter__(self) -> None:
        # hydra hides the traceback of what the job raises behind a hint; we need the error itself
        os.environ["HYDRA_FULL_ERROR"] = "1"

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AnomalyHepError):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        if isinstance(error, KeyboardInterrupt):
            print("Interrupted; the same command goes on from what is saved", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)


def _check_overrides(name: str, overrides: list[str]) -> None:
    """Refuse a key or an option that does not exist, and list those that do.

    Hydra refuses unknown keys too, but does not say which ones there are.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(f"{error}. Cure: write overrides as key=value") from error
    single = []
    for override in parsed:
        text = override.input_line or ""
        if override.is_sweep_override() and override.is_choice_sweep():
            first = next(iter(override.sweep_string_iterator()))
            text = f"{text.split('=', 1)[0]}={first}"
        elif override.is_sweep_override():
            continue
        single.append(text)
    with hydra.initialize_config_dir(str(CONFIG_DIRECTORY), version_base="1.3"):
        try:
            config = hydra.compose(name, overrides=single)
            OmegaConf.to_container(config, resolve=True)
        except InterpolationResolutionError as error:
            raise ConfigError(
                f"{error.full_key} takes its value from another key, which these choices leave "
                f"out ({str(error).splitlines()[0]}). Cure: choose a model and data that belong "
                "together"
            ) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(name, single, str(error))) from error
        finally:
            GlobalHydra.instance().clear()


def _explain(name: str, overrides: list[str], message: str) -> str:
    """Return hydra's message, and the keys that exist beside the one it could not find."""
    if "Available options" in message:
        # hydra lists the options of a group, and then where it looked
        return message.split("Config search path", 1)[0]
    for text in overrides:
        key = text.split("=", 1)[0].lstrip("+~")
        if key not in message.replace("'", " ").split():
            continue
        # the groups chosen decide which keys there are: model=NAME has other ones than the default
        groups = [o for o in overrides if (CONFIG_DIRECTORY / o.split("=", 1)[0]).is_dir()]
        config: Any = hydra.compose(name, overrides=groups)
        parts = key.split(".")
        while parts[:-1] and isinstance(config, DictConfig) and parts[0] in config:
            config = config[parts.pop(0)]
        if isinstance(config, DictConfig) and parts[0] not in config:
            close = difflib.get_close_matches(parts[0], [str(k) for k in config], n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            place = (
                key.removesuffix("." + ".".join(parts))
                if len(parts) < len(key.split("."))
                else name
            )
            return (
                f"{key} does not exist.{hint} Keys of {place}: "
                f"{', '.join(sorted(map(str, config)))}"
            )
    return message.splitlines()[0]
