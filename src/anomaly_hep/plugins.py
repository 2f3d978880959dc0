"""Modules by name: those of a room (a subpackage) of this package, and private ones.

A private package announces a module by an entry point of the group `anomaly_hep.models`,
`anomaly_hep.data` (a file format) or `anomaly_hep.papers`; yaml files in a folder `conf` beside the
module join those of this package.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from anomaly_hep.errors import ConfigError

# the rooms that private modules may extend, and the entry point group of each
GROUPS = {
    "models": "anomaly_hep.models",
    "formats": "anomaly_hep.data",
    "data": "anomaly_hep.data",
    "papers": "anomaly_hep.papers",
    "simulate": "anomaly_hep.data",
}


def modules(room: str) -> Mapping[str, str]:
    """Return the dotted path of every module of a room by name, including private ones."""
    package = importlib.import_module(f"anomaly_hep.{room}")
    built_in = {
        module.name: f"{package.__name__}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    }
    private = {
        entry.name: entry.module for entry in importlib.metadata.entry_points(group=GROUPS[room])
    }
    return {**private, **built_in}  # a private module never replaces one of this package


def load(room: str, name: str) -> ModuleType:
    """Import a module of a room by name; raises ConfigError, which lists the known names."""
    known = modules(room)
    if name not in known:
        raise ConfigError(
            f"there is no module '{name}' among the {room}. Cure: choose one of "
            f"{', '.join(sorted(known))}, or announce yours by an entry point '{GROUPS[room]}'"
        )
    return importlib.import_module(known[name])


def is_ours(module: str, room: str) -> bool:
    """Return whether a dotted path is a module of the room, so that it may be imported."""
    return module in modules(room).values()


def imported(path: str, room: str) -> ModuleType | None:
    """Return the module of a room at a dotted path; None for any other path.

    The path may come from a checkpoint or a yaml file of unknown origin. This is the only place
    where a text becomes code: no other module is ever imported for it.
    """
    return importlib.import_module(path) if is_ours(path, room) else None


def named(path: str, room: str) -> Any:
    """Return what a dotted path names in a module of the room; None for anything else."""
    module, _, name = path.rpartition(".")
    return getattr(imported(module, room), name, None)


def configuration_directories() -> list[Path]:
    """Return the folders `conf` beside private modules."""
    directories = []
    for group in GROUPS.values():
        for entry in importlib.metadata.entry_points(group=group):
            spec = importlib.util.find_spec(entry.module)
            if spec and spec.origin:
                directories.append(Path(spec.origin).parent / "conf")
    return [path for path in dict.fromkeys(directories) if path.is_dir()]
