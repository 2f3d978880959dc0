"""The arguments of a command line: Hydra's options, overrides, and paths taken as they are."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from anomaly_hep.configuration import SEVERAL, UNREADABLE, directories, is_folder, read_override
from anomaly_hep.errors import ConfigError
from anomaly_hep.paths import PATHS, exists
from anomaly_hep.quoting import is_literal, quoted

_WRITTEN = ("output", "run_dir", "to")
# sections whose keys are the user's own
_OPEN = re.compile(
    r"(fitted_scores|data\.(selection|samples|features|groups|simulation\.per_class)|"
    r"model\.phases\.[^.=]+\.learning_rates)[.=]"
)
_WITH_TILDE = re.compile(r"""(?:^|(?<=[,\[]))[^,\[\]"']*~[^,\[\]"']*(?=[,\]]|$)""")  # elements
# Hydra's options by their short names; what takes a value is _WITH_VALUE
_SHORT = {"-h": "--help", "-c": "--cfg", "-p": "--package", "-r": "--run", "-m": "--multirun",
          "-sc": "--shell-completion", "-cp": "--config-path", "-cn": "--config-name",
          "-cd": "--config-dir", "-i": "--info"}  # fmt: skip
_WITH_VALUE = {"--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--info",
               "--experimental-rerun"}  # fmt: skip
_WITHOUT_VALUE = {"--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun",
                  "--shell-completion"}  # fmt: skip
_SHELLS = ("bash", "fish", "zsh")
_CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_ONE_OF = ("--cfg", "--info", "--run", "--multirun", "--shell-completion")
# overrides of Hydra's own settings that would do nothing here, or something else than they say
_REFUSED = {
    "hydra.run.dir": "is not where a run is written. Cure: run_dir=PATH",
    "hydra.job.chdir": "is not supported, as paths are relative to where the command was started. "
    "Cure: leave it out; run_dir=PATH says where a run is written",
}


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's options with their values, and the overrides; raises ConfigError.

    Options get their long names. The paths in overrides are quoted for Hydra where they need it.
    """
    options: list[str] = []
    overrides: list[str] = []
    waiting = ""  # for the value of this option
    for argument in arguments:
        if waiting and not (waiting == "--info" and "=" in argument) and argument[:1] != "-":
            options[-1] = f"{waiting}={argument}"
            waiting = ""
        elif argument.startswith("-"):
            name, equals, value = argument.partition("=")
            name = _SHORT.get(name, name)
            waiting = name if name in _WITH_VALUE and not equals else ""
            options.append(f"{name}{equals}{value}")
        else:
            waiting = ""
            overrides.append(argument)
    _check(options)
    several = "--multirun" in options
    return [_absolute(option) for option in options], [literal(o, several) for o in overrides]


def _check(options: Sequence[str]) -> None:
    """Raise ConfigError for an option that Hydra would answer with its usage or a traceback."""
    known = _WITH_VALUE | _WITHOUT_VALUE
    names = []
    for option in options:
        name, equals, value = option.partition("=")
        names.append(name)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ConfigError(f"there is no option {name}. Cure: {hint}--hydra-help lists them")
        if name == "--experimental-rerun":
            raise ConfigError(
                f"{name} is not supported. Cure: give the same overrides again; config.yaml of a "
                "run lists them all"
            )
        choices = _CHOICES.get(name, ())
        if choices and value not in choices and not (name == "--info" and not equals):
            raise ConfigError(f"{option}: the value is missing or unknown. Cure: {name} "
                              f"{' or '.join(choices)}")  # fmt: skip
        if name in _WITH_VALUE and not value and name != "--info":
            raise ConfigError(f"{name} has no value. Cure: {name} VALUE")
        if name in _WITHOUT_VALUE and equals:
            raise ConfigError(f"{name} takes no value. Cure: {name} alone")
        if name in ("--config-dir", "--config-path") and not Path(value).is_dir():
            raise ConfigError(f"{option}: there is no such folder. Cure: give one that exists")
    if len(asked := [name for name in dict.fromkeys(names) if name in _ONE_OF]) > 1 and not (
        set(asked) == {"--multirun", "--cfg"}
    ):
        raise ConfigError(f"{' and '.join(asked)} exclude each other. Cure: leave one out")


def _absolute(option: str) -> str:
    """Return --config-path with an absolute path: Hydra takes it relative to this module."""
    name, _, value = option.partition("=")
    return f"{name}={Path(value).resolve()}" if name == "--config-path" else option


def check_completion(options: Sequence[str], overrides: Sequence[str], program: str) -> None:
    """Raise ConfigError where a shell cannot complete the arguments of a program."""
    if "--shell-completion" not in options:
        return
    if " " in program:  # python -m anomaly_hep COMMAND
        raise ConfigError(
            "a shell can complete the arguments of train.py alone. Cure: python train.py -sc "
            "install=bash; `info` and `list` say what other commands take"
        )
    actions = {f"{do}={shell}" for do in ("install", "uninstall") for shell in _SHELLS}
    if len(overrides) != 1 or (overrides[0] not in actions and "COMP_LINE" not in os.environ):
        raise ConfigError(
            "--shell-completion has no action. Cure: -sc install=bash, or another of "
            f"{', '.join(sorted(actions))}"
        )


def check_primary(options: Sequence[str], name: str) -> None:
    """Raise ConfigError if the options name a primary configuration that does not exist."""
    given = dict(option.partition("=")[::2] for option in options)
    wanted = given.get("--config-name", name).removesuffix(".yaml")
    folders = [Path(given["--config-path"])] if "--config-path" in given else directories()
    folders += [Path(given["--config-dir"])] if "--config-dir" in given else []
    if not any((folder / f"{wanted}.yaml").is_file() for folder in folders):
        places = " or ".join(map(str, folders))
        raise ConfigError(
            f"there is no {wanted}.yaml in {places}. Cure: --config-name names a file there, and "
            "--config-dir DIR adds a folder to search"
        )


def literal(override: str, several: bool = False) -> str:
    """Return an override, its value quoted where it is a path that Hydra would take apart.

    That is a path that exists under the name given, or one that Hydra cannot read, reads as a
    number or takes for several values, unless `several` are wanted. Raises ConfigError for the
    overrides of Hydra's own settings that have no meaning here.
    """
    key, equals, text = override.partition("=")
    key = key.lstrip("+~")
    if not key:
        raise ConfigError(f"{override} names no key. Cure: key=value")
    if key in _REFUSED and text.lower() != "false":
        raise ConfigError(f"{override} {_REFUSED[key]}")
    if not equals or not text:
        return override
    if key in PATHS:
        return _path(override, text, several or key not in _WRITTEN)
    if is_folder(key) and not text.startswith("{"):  # the name of a file, not keys of the user's
        return override
    # a key of the user's own is added where it is new: Hydra alone would refuse it
    added = _OPEN.match(override) and read_override(f"++{override}") is not UNREADABLE
    return f"++{override}" if added else override


def _path(override: str, text: str, several: bool) -> str:
    """Return the override of a path, which may be `several`, quoted where Hydra needs it."""
    if exists(text):
        is_plain = "${" not in text and read_override(override) == text
        return override if is_plain else quoted(override, whole=True)
    is_list = text.startswith("[") and text.endswith("]")
    if is_list or (several and "," in text):
        texts = _WITH_TILDE.sub(lambda match: quoted(f"={match[0].strip()}")[1:], text)
        override = f"{override.partition('=')[0]}={texts}"
    value = read_override(override)
    if (
        (value is UNREADABLE and not is_list)
        or (value is SEVERAL and not several)
        or isinstance(value, bool | int | float | dict)
        or (value == text and is_literal(text))
    ):
        return quoted(override)
    return override
