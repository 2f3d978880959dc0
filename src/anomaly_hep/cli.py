"""The command line: COMMAND runs anomaly_hep.commands.COMMAND on its conf/COMMAND.yaml."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from omegaconf import DictConfig

from anomaly_hep.arguments import check_completion, check_primary, split
from anomaly_hep.channels import by_channel
from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import DIRECTORY, alternatives, explained, plain
from anomaly_hep.errors import AnomalyHepError, of_the_machine
from anomaly_hep.ranks import check_variables

COMMANDS = {
    "train": "train, score and evaluate a model",
    "simulate": "simulate events in a published format",
    "fetch": "download published data",
    "cluster": "find the jets of events, and keep their masses beside them",
    "score": "score files with a trained model",
    "evaluate": "redo the metrics, figures and report of a run",
    "search": "look for a bump in the mass after a cut on the score",
    "rate": "the threshold on a score for a wanted trigger rate",
    "fpga": "turn a trained encoder into firmware, and prove that both agree",
    "curve": "results of a run's milestones against training size",
    "dashboard": "save a workspace for such runs in Weights & Biases",
    "collect": "one table of many runs",
    "benchmark": "measure rates on this machine",
    "list": "models, data sets, experiments and scores to choose from",
    "info": "describe one of these, and the keys that it has",
    "doctor": "report what this machine has and lacks",
}
PLAIN = ("collect", "list", "info", "doctor")  # commands without a configuration


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
            check_variables(os.environ)
            _command(name).run(arguments[1:])
    else:
        run(name)


def run(name: str) -> None:
    """Run one command on its configuration, composed by Hydra from the command line."""
    with _PlainErrors():
        check_variables(os.environ)
        options, overrides = split(sys.argv[1:])
        check_completion(options, overrides, sys.argv[0])
        check_primary(options, name)
        if "--multirun" in options:
            once = [option for option in options if option != "--multirun"]
            choices = alternatives(name, overrides)
            # check every value of a sweep before the first job starts
            if None in [_composed(name, once, choice) for choice in choices]:
                return

            def job(config: DictConfig) -> Any:
                return _work(name, _jobs(name, overrides, config))

            _hydra(name, job, options, overrides)
        elif (jobs := _composed(name, options, overrides)) is not None:
            _work(name, jobs)


def _work(name: str, jobs: list[Any]) -> Any:
    """Run a command on its settings, or on those of each channel and then on all together."""
    command = _command(name)
    for job in jobs:
        done = command.run(job)
    if len(jobs) > 1 and hasattr(command, "combine"):
        command.combine(jobs)
    return done


def _composed(name: str, options: list[str], overrides: list[str]) -> list[Any] | None:
    """Return the settings of the command's jobs; None if Hydra was asked to print instead."""
    configs: list[DictConfig] = []

    def take(config: DictConfig) -> None:
        configs.append(config)

    _hydra(name, take, options, overrides)
    return _jobs(name, overrides, configs[0]) if configs else None


def _hydra(
    name: str, task: Callable[[DictConfig], Any], options: list[str], overrides: list[str]
) -> None:
    """Let Hydra compose the configuration and call the task with it."""
    # argparse takes one contiguous block of overrides: an option in between would end it
    sys.argv[1:] = [*options, *overrides]
    with explained(name, overrides):
        hydra.main(version_base="1.3", config_path=str(DIRECTORY), config_name=name)(task)()


def _jobs(name: str, overrides: list[str], config: DictConfig) -> list[Any]:
    """Return the settings of the one job of a configuration, or of the job of each channel."""
    with explained(name, overrides):
        parts = list(by_channel(config).values()) or [config]
        return [settings_of(name, plain(part)) for part in parts]


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"anomaly_hep.commands.{name}")


class _PlainErrors:
    """Turn errors meant for the user into one message; defects keep their traceback."""

    def __enter__(self) -> None:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by `>&-`: what is said goes nowhere
                setattr(sys, name, Path(os.devnull).open("w"))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # characters the terminal cannot show
        # hydra replaces the traceback of a job's error by a hint; we need the error itself
        os.environ["HYDRA_FULL_ERROR"] = "1"
        # figures are files; what a notebook or a user chose need not even exist here
        os.environ["MPLBACKEND"] = "Agg"

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AnomalyHepError):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if isinstance(cause, BrokenPipeError):  # of which rich makes an exit with status 1
            # the reader of our output has gone, as after `| head`; Python flushes again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        if error is not None and (message := of_the_machine(error)):
            print(message, file=sys.stderr)
            sys.exit(1)
        if isinstance(error, KeyboardInterrupt):
            print("Interrupted; the same command goes on from what is saved", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
