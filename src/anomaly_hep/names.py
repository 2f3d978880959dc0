"""Names that a user or a file gives, which become names of files, columns and labels of figures."""

from __future__ import annotations

import re

ALLOWED = "letters, digits and _ . + - alone, 100 at most, the first a letter, a digit or _"
_NAME = re.compile(r"\w[\w.+-]{0,99}")


def is_name(text: object) -> bool:
    """Return whether a text can be part of a file's name: it is no path and holds no markup."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None
