"""Overrides whose value Hydra takes as a text, whatever characters it has."""

from __future__ import annotations

import re
import shlex


def quoted(override: str, *, whole: bool = False) -> str:
    """Return an override whose value Hydra takes as a text, every character of it.

    What `${...}` stands for is put in, unless the `whole` text is meant as it is.
    """
    key, _, text = override.partition("=")
    if whole or "${" in re.sub(r"\$\{[^{}]*\}", "", text):
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    # a backslash before a quote is one for Hydra, elsewhere it is a character
    return f'{key}="' + re.sub(r'(\\*)("|\Z)', _escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    backslashes, quote = match.groups()
    return backslashes * 2 + ('\\"' if quote else "")


def in_shell(override: str) -> str:
    """Return an override as it must be typed in a shell, with values that Hydra takes as texts."""
    key, _, text = override.partition("=")
    if text.startswith("[") and text.endswith("]"):
        each = [quoted(f"={one.strip()}")[1:] for one in text[1:-1].split(",")]
        return shlex.quote(f"{key}=[{','.join(each)}]")
    return shlex.quote(quoted(override))
