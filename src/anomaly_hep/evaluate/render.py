"""Result tables as Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from anomaly_hep.evaluate.cells import NOTHING, Cell
from anomaly_hep.evaluate.labels import column_name, decay
from anomaly_hep.evaluate.tables import ResultTable, Row

# More columns than these have to be narrow to fit a page.
_MANY = 9


def to_markdown(table: ResultTable) -> str:
    """Return the table as Markdown, remarks below it."""
    parts = [_markdown_part(part) for part in (table, *table.also)]
    return "\n".join([*parts, "", *(f"{remark}\n" for remark in table.remarks)])


def to_html(table: ResultTable) -> str:
    """Return the table as an HTML figure without style: classes are the rows' kinds."""
    parts = "".join(_html_part(part) for part in (table, *table.also))
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in table.remarks)
    return f"<figure class='results'>{parts}{remarks}</figure>"


def _markdown_part(table: ResultTable) -> str:
    lines = [f"**{table.title}**", ""]
    lines.append("| | " + " | ".join(map(decay, table.signals)) + " |")
    lines.append("|---|" + "---:|" * len(table.signals))
    for row in table.rows:
        name = f"**{row.name}**" if row.chosen else row.name
        cells = (str(row.cells.get(signal, NOTHING)) for signal in table.signals)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + ("\n" if table.also or not table.remarks else "")


def _html_part(table: ResultTable) -> str:
    wide = " class='wide'" if len(table.signals) > _MANY else ""
    heads = [escape(column_name(signal)).replace("\n", "<br>") for signal in table.signals]
    head = "".join(f"<th scope='col'>{text}</th>" for text in heads)
    body = "".join(
        f"<tr class='{classes}'><th scope='row'>{escape(row.name)}</th>"
        + "".join(_html_cell(row.cells.get(signal, NOTHING)) for signal in table.signals)
        + "</tr>\n"
        for row, classes in zip(table.rows, _classes(table.rows), strict=True)
    )
    return (
        f"<figcaption>{escape(table.title)}</figcaption>"
        f"<div class='scroll'><table{wide}><thead><tr><td></td>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def _classes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield each row's kind, whether it is chosen or beside another, and whether a kind begins."""
    before = rows[0].kind if rows else ""
    for row in rows:
        first = not row.beside and row.kind != before
        before = before if row.beside else row.kind
        flags = {"chosen": row.chosen, "beside": row.beside, "first": first}
        yield " ".join([row.kind, *(flag for flag, is_set in flags.items() if is_set)])


def _html_cell(cell: Cell) -> str:
    return f"<td>{escape(cell.value)}<small>{escape(cell.spread)}</small></td>"
