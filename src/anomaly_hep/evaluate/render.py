"""Results as HTML, from the templates beside this module, and as Markdown."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from anomaly_hep.evaluate.cells import NOTHING
from anomaly_hep.evaluate.resulttable import ResultTable

# Characters that begin code, emphasis, a link or the next cell in Markdown.
_MARKUP = re.compile(r"([\\`*~\[\]|]|(?<!\w)_|_(?!\w))")


def page(template: str, **content: Any) -> str:
    """Return a page made from a template, with every text in `content` escaped."""
    return _templates().get_template(template).render(content) + "\n"


def to_markdown(table: ResultTable) -> str:
    """Return the table as Markdown, remarks below it, with every name escaped."""
    parts = [_markdown_part(part) for part in (table, *table.also)]
    return "\n".join([*parts, "", *(f"{_literal(remark)}\n" for remark in table.remarks)])


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("anomaly_hep.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["NOTHING"] = NOTHING
    templates.filters["base64"] = _base64
    templates.filters["json"] = _json
    templates.filters["shell"] = shlex.join
    return templates


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _markdown_part(table: ResultTable) -> str:
    lines = [f"**{_literal(table.title)}**", ""]
    lines.append("| | " + " | ".join(_literal(column.text) for column in table.columns) + " |")
    lines.append("|---|" + "---:|" * len(table.columns))
    for row in table.rows:
        name = f"**{_literal(row.name)}**" if row.chosen else _literal(row.name)
        cells = (str(row.cells.get(column.key, NOTHING)) for column in table.columns)
        lines.append(f"| {name} | " + " | ".join(map(_literal, cells)) + " |")
    return "\n".join(lines) + ("\n" if table.also or not table.remarks else "")


def _literal(text: str) -> str:
    """Return a text in one line that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
