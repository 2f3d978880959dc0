"""Overrides whose value Hydra takes as a text, whatever characters it has."""

from __future__ import annotations

import re
import shlex
from inspect import signature

from omegaconf import OmegaConf

from anomaly_hep.settings import COMMANDS

# the first words of what `${...}` may name
_KNOWN = {name for settings in COMMANDS.values() for name in signature(settings).parameters}
_NAMED = re.compile(r"\$\{\s*(?P<name>[^\s:{}]*)\s*(?P<end>[:}])")


def quoted(override: str, *, whole: bool = False) -> str:
    """Return an override whose value Hydra takes as a text, every character of it.

    What `${...}` stands for is put in where it can be known, unless the `whole` text is meant.
    """
    key, _, text = override.partition("=")
    as_written = whole or "${" in re.sub(r"\$\{[^{}]*\}", "", text)

    def escaped(match: re.Match[str]) -> str:
        meant = not as_written and _stands_for_something(text[match.end() - 2 :])
        return match[0] if meant else f"{2 * match[1]}\\${{"

    text = re.sub(r"(\\*)\$\{", escaped, text)
    # a backslash before a quote is one for Hydra, elsewhere it is a character
    return f'{key}="' + re.sub(r'(\\*)("|\Z)', _escaped, text) + '"'


def is_literal(text: str) -> bool:
    """Return whether a text has a `${` that stands for nothing, not escaped."""
    return any(
        not _stands_for_something(text[m.start() :]) for m in re.finditer(r"(?<!\\)\$\{", text)
    )


def _stands_for_something(text: str) -> bool:
    """Return whether `${...}`, which begins the text, names a resolver or may name a key."""
    if not (found := _NAMED.match(text)):
        return False
    if found["end"] == ":":
        return OmegaConf.has_resolver(found["name"]) or found["name"] == "hydra"
    return found["name"].split(".")[0] in {"", *_KNOWN}


def _escaped(match: re.Match[str]) -> str:
    backslashes, quote = match.groups()
    return backslashes * 2 + ('\\"' if quote else "")


def in_shell(override: str, *, whole: bool = False) -> str:
    """Return an override as it must be typed in a shell, with values that Hydra takes as texts."""
    key, _, text = override.partition("=")
    if text.startswith("[") and text.endswith("]"):
        each = [quoted(f"={one.strip()}")[1:] for one in text[1:-1].split(",")]
        return shlex.quote(f"{key}=[{','.join(each)}]")
    return shlex.quote(quoted(override, whole=whole))
