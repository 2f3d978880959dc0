"""The configuration of a command: Hydra composes it from yaml files and overrides.

The files are those of `conf/`, at the top of a clone or inside an installed package, and of the
`conf/` folders beside private modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.base import Container
from omegaconf.errors import (
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from omegaconf.resolvers import oc

from anomaly_hep.channels import check_channel
from anomaly_hep.errors import ConfigError, in_one_line
from anomaly_hep.paths import expand
from anomaly_hep.plugins import configuration_directories
from anomaly_hep.quoting import in_shell, quoted
from anomaly_hep.settings import Composed
from anomaly_hep.signatures import unknown

_HERE = Path(__file__).resolve().parent
_INSTALLED, _CLONED = _HERE / "conf", _HERE.parents[1] / "conf"
UNREADABLE, SEVERAL = object(), object()
DIRECTORY = _INSTALLED if _INSTALLED.is_dir() else _CLONED


class PrivateDirectories(SearchPathPlugin):
    """Let Hydra search the `conf/` folders of private modules, after this package's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders."""
        for directory in configuration_directories():
            search_path.append("anomaly_hep", directory.as_uri())


Plugins.instance().register(PrivateDirectories)
_asked: list[str] = []  # the environment variables that were read


def _environment(name: str, *default: str | None) -> str | None:
    """Return an environment variable as OmegaConf does, and note that it was read."""
    _asked.append(name)
    value: str | None = oc.env(name, *default)
    return value


OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
# a number that is a name, such as channel 1, where a key is looked up by it
OmegaConf.register_new_resolver("text", str, replace=True)


def directories() -> list[Path]:
    """Return every folder that holds yaml files of the configuration, this package's own first."""
    return [DIRECTORY, *configuration_directories()]


def is_folder(key: str) -> bool:
    """Return whether a key chooses a file of a folder, as model=NAME and model/encoder=NAME do."""
    return bool(key) and any((directory / key).is_dir() for directory in directories())


def choices_of(folder: str) -> list[str]:
    """Return the names of the yaml files of a folder."""
    files = [file for directory in directories() for file in (directory / folder).glob("*.yaml")]
    return sorted({file.stem for file in files})


def read_override(override: str) -> Any:
    """Return the value that Hydra reads in an override; UNREADABLE or SEVERAL where it is none."""
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except HydraException:
        return UNREADABLE
    return SEVERAL if parsed.is_sweep_override() else parsed.value()


def compose(
    name: str, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Composed:
    """Return the configuration of a command as plain values; raises ConfigError.

    `overrides` are those of a command line. `values` are set afterwards, by dotted key; a key that
    does not exist is added, and the command accepts or refuses it.
    """
    with explained(name, overrides), _initialized():
        config = hydra.compose(name, overrides=list(overrides))
        for key, value in (values or {}).items():
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        return plain(config)


def plain(config: DictConfig) -> Composed:
    """Return a composed configuration as plain values; a missing value raises OmegaConf's error."""
    check_channel(config)
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    shown = _shown(config, values)
    expand(values)
    expand(shown)
    return Composed(values, shown)


def resolved(saved: Mapping[str, Any]) -> Composed:
    """Return a saved configuration with the values of this process's environment variables."""
    with explained("train", []):
        return plain(OmegaConf.create(dict(saved)))


def _shown(node: Any, values: Any) -> Any:
    """Return the values with texts of environment variables as they are written in `node`.

    Numbers are no secrets, and seeds among them tell runs apart: they stay values.
    """
    if not isinstance(node, Container):
        return values
    written: Any = OmegaConf.to_container(node, resolve=False)
    keys = values if isinstance(values, dict) else range(len(values))
    content = {}
    for key in keys:
        before = len(_asked)
        inner = node[key]
        from_environment = isinstance(values[key], str) and len(_asked) > before
        content[key] = written[key] if from_environment else _shown(inner, values[key])
    return content if isinstance(values, dict) else list(content.values())


def alternatives(name: str, overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield the overrides of single runs in which each value of a sweep occurs at least once."""
    with explained(name, overrides), _initialized():
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        choices = [
            [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override() and o.is_discrete_sweep()
            else [o.input_line or ""]
            for o in parsed
            if not o.is_sweep_override() or o.is_discrete_sweep()
        ]
    first = [values[0] for values in choices if values]
    yield first
    for position, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:position], value, *first[position + 1 :]]


@contextmanager
def _initialized() -> Iterator[None]:
    with hydra.initialize_config_dir(str(DIRECTORY), version_base="1.3"):
        yield


@contextmanager
def explained(name: str, overrides: Sequence[str]) -> Iterator[None]:
    """Turn Hydra's errors about a command's overrides into a ConfigError for the user."""
    try:
        yield
    except InterpolationResolutionError as error:
        raise ConfigError(_unresolved(error, overrides)) from error
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} is missing. Cure: {error.full_key}=VALUE") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(name, overrides, error)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override must be"):
            raise
        raise ConfigError(_no_choice(overrides) or in_one_line(error)) from error


def _no_choice(overrides: Sequence[str]) -> str | None:
    """Return the message on a group that is given something else than the name of a file."""
    for override in overrides:
        key = override.partition("=")[0]
        if not override.startswith("~") and is_folder(key.lstrip("+")):
            value = read_override(override)
            if value not in (UNREADABLE, SEVERAL) and not isinstance(value, str | list):
                choices = ", ".join(choices_of(key.lstrip("+")))
                return f"{override} chooses no file. Cure: {key.lstrip('+')}=NAME, one of {choices}"
    return None


def _unresolved(error: InterpolationResolutionError, overrides: Sequence[str]) -> str:
    """Return the message on a value that another key, or the environment, should have given."""
    key, reason = error.full_key, str(error).splitlines()[0]
    if variable := re.search("Environment variable '(.*)' not found", reason):
        return (
            f"{key} needs the environment variable {variable[1]}, which is not set. Cure: set "
            f"{variable[1]}, or give {key}=VALUE"
        )
    for override in overrides:
        taken = override.partition("=")[0].removeprefix("~")
        if override.startswith("~") and re.search(rf"'{re.escape(taken)}[.']", reason):
            return f"{key} needs {taken}, which is taken away. Cure: leave {override} out"
    if resolver := re.search("Unsupported interpolation type (.*)", reason):
        return f"{key}: nothing is known as ${{{resolver[1]}:...}}. Cure: {key}=VALUE"
    if "RecursionError" in reason:
        return f"{key} takes its value from itself. Cure: {key}=VALUE"
    for override in overrides:
        text = read_override(override)
        if override.lstrip("+").partition("=")[0] == key and isinstance(text, str):
            return (
                f"{key}={text}: {reason}. Cure: name a key that is set; for these very characters "
                f"type {in_shell(f'{key}={text}', whole=True)}"
            )
    return (
        f"{key} takes its value from a key that is not set ({reason}). Cure: set what is named, or "
        "choose a model and data that belong together"
    )


def _explain(name: str, overrides: Sequence[str], error: Exception) -> str:
    """Return in one line what is wrong with the overrides, and the cure."""
    message = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if said := _no_choice(overrides):
        return said
    if choice := re.search("Could not find '(.+)/(.*?)' Available options in '.+?': (.*)", message):
        options = choice[3].split("Config search path", 1)[0].split()
        return f"{choice[1]}={choice[2]} does not exist. Cure: one of {', '.join(options)}"
    for text in overrides:
        key = text.split("=", 1)[0].lstrip("+~")
        if key in message.replace("'", " ").split() and (hint := _missing(name, overrides, key)):
            return hint
    for pattern, said in _SAID:
        if found := re.search(pattern, message):
            return found.expand(said)
    if cause := str(error.__cause__ or "").splitlines()[:1]:
        message = f"{message} ({cause[0]})"
    return f"{message}. Cure: see the keys and their values with --cfg job"


def _unreadable(error: OverrideParseException) -> str:
    """Return the message on an override that is not of Hydra's grammar."""
    override = error.override
    if "=" in override and read_override(quoted(override)) is not UNREADABLE:
        return (
            f"{override} has characters that mean something else to Hydra. Cure: type "
            f"{in_shell(override)}"
        )
    return f"{override} cannot be read. Cure: write overrides as key=value"


# what Hydra says, and what we say instead: \\1 is the first group of the pattern
_SAID = (
    (
        r"Ambiguous value for argument '(.+?)=(.*?)' 1\. To",
        r"""\1=\2 is several values. Cure: -m runs each, '\1=[\2]' is a list, '\1="\2"' a text""",
    ),
    (r"Sweep parameters '(.+)' requires --multirun", r"\1 is several values. Cure: add -m"),
    (r"An item is already at '(.+?)'", r"\1 exists already. Cure: \1=VALUE, without the +"),
    (
        r"Multiple values for (\S+)\. To override a value use 'override \S+: (.+?)'",
        r"\1 is chosen already. Cure: \1=\2, without the +",
    ),
    (
        r"Could not delete from config\. (The value of '.+?' is .+ and not .+?)\.+$",
        r"\1. Cure: leave the value out",
    ),
    (
        r"Could not delete from config\. '(.+?)' does not exist",
        r"\1 does not exist, so it cannot be taken away. Cure: --cfg job shows the keys",
    ),
    (
        r"Could not override '(.+?)'\..*",
        r"\1 does not exist. Cure: --cfg job shows the keys",
    ),
)


def _missing(name: str, overrides: Sequence[str], key: str) -> str | None:
    """Return the message for a key that does not exist; None if it exists."""
    # the chosen groups decide which keys exist: model=NAME has other keys than the default
    groups = [o for o in overrides if is_folder(o.split("=", 1)[0])]
    with _initialized():
        config: Any = hydra.compose(name, overrides=groups)
    parts = key.split(".")
    while parts[:-1] and isinstance(config, DictConfig) and parts[0] in config:
        config = config[parts.pop(0)]
    if not isinstance(config, DictConfig) or parts[0] in config:
        return None
    above = key.split(".")[: -len(parts)]
    return unknown(".".join([*above, parts[0]]), ".".join(above) or name, map(str, config))
