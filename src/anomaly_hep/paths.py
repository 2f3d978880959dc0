"""Keys that hold a path, and paths below the home directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# keys that hold a path: what Hydra's grammar would take apart is the name of a file here
PATHS = frozenset({
    "input", "output", "checkpoint", "run_dir", "start_from", "to", "compare", "test_dir",
    "data_dir", "data.dir", "data.test_dir", "files", "run", "threshold",
})  # fmt: skip


def exists(text: str) -> bool:
    """Return whether a path exists, taken as it is."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def at_home(text: str) -> str:
    """Return a path with `~` replaced by the home directory, unless it exists as it is.

    A `~` means home alone or before a slash: `~name` is the name of a file.
    """
    if text.partition("/")[0] != "~" or exists(text):
        return text
    try:
        return f"{Path.home()}{text[1:]}"
    except RuntimeError:  # no home is known
        return text


def expand(config: dict[str, Any]) -> None:
    """Replace `~` in every path of a composed configuration; the paths become texts."""
    for key in PATHS:
        section, _, name = key.rpartition(".")
        node = config.get(section) if section else config
        if not isinstance(node, dict) or name not in node:
            continue
        value = node[name]
        if isinstance(value, str | Path):
            node[name] = at_home(str(value))
        elif isinstance(value, list):
            node[name] = [at_home(one) if isinstance(one, str) else one for one in value]
