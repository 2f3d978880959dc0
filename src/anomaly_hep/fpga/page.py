"""The tables of a firmware run, on the console and as a page that loads nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from anomaly_hep.evaluate.cells import percent
from anomaly_hep.evaluate.labels import decay, model_name, ordered
from anomaly_hep.evaluate.page import STYLE

Row = list[str]
_CAPTIONS = {
    "efficiencies.png": "Signal efficiency where 1 in 100 background events fires, float models "
    "beside the chip. Bars: central 68 % interval.",
    "agreement.png": "Score of the chip against that of the float trigger encoder, event by event.",
}
_NOT_CLOSED = "not closed"


def proof_rows(content: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Return head and rows of the table of stages, efficiencies as their mean over signals."""
    head = ["stage", "implementation", "events", "exactly equal", "largest difference (LSB)",
            "decisions that differ", "efficiency, mean of signals [%]"]  # fmt: skip
    rows = [
        [
            *stage["implementation"].split(": "),
            f"{stage['events']:,}",
            *(
                "–" if stage[key] is None else f"{stage[key]:,}"
                for key in ("equal", "max_difference_lsb", "decision_flips")
            ),
            str(percent(*stage["mean_efficiency"])) if stage["mean_efficiency"] else "–",
        ]
        for stage in content["stages"]
    ]
    return head, rows


def efficiency_rows(content: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Return head and rows of the signal efficiencies, in %, of stages that differ in them."""
    signals = ordered(content["stages"][0]["efficiency"])
    rows: list[Row] = []
    for stage in content["stages"]:
        cells = [str(percent(*stage["efficiency"][s])) for s in signals if s in stage["efficiency"]]
        if len(cells) == len(signals) and (not rows or cells != rows[-1][1:]):
            rows.append([stage["implementation"].split(": ")[0], *cells])
    return ["stage", *map(decay, signals)], rows


def resource_rows(content: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Return head and rows of the table of resources and latency."""
    head = ["tool", "LUT", "FF", "DSP", "BRAM", "stages", "initiation interval", "latency"]
    keys = ("lut", "ff", "dsp", "bram", "pipeline_stages", "initiation_interval")
    rows = [
        [
            row["tool"],
            *("–" if row.get(key) is None else f"{row[key]:,}" for key in keys),
            _latency(row, content["design"]["clock_ns"]),
        ]
        for row in content["resources"]
    ]
    return head, rows


def _latency(row: Mapping[str, Any], clock_ns: float) -> str:
    """Return stages x clock; only a vendor's report may say that the clock is met."""
    if row.get("pipeline_stages") is None:
        return "–"
    closed = "closed" if row.get("timing_closed") else _NOT_CLOSED
    return f"{row['pipeline_stages']} × {clock_ns:g} ns ({closed})"


def show(path: Path, console: Console) -> None:
    """Print the tables of a run directory and where its page is."""
    content = json.loads((path / "fpga.json").read_text(encoding="utf-8"))
    for table in text_tables(content):
        console.print(table)
    console.print(f"report: {path / 'report.html'}")


def text_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables for a console."""
    yield _text(f"Proof, {_measured_on(content)}", *proof_rows(content))
    yield _text("Resources, estimates unless a vendor's", *resource_rows(content))


def _text(title: str, head: Row, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def html(directory: Path, content: Mapping[str, Any]) -> str:
    """Return report.html of a run directory, its figures inside."""
    design = content["design"]
    title = f"{model_name(content)} in firmware"
    parts = [
        f"<h1>{escape(title)}</h1>",
        (
            f"<p class='soft'>From {escape(content['model']['checkpoint'])}; "
            f"{escape(_measured_on(content))}.</p>"
        ),
        _verdict(content),
        f"<dl class='cards'>{_cards(content)}</dl>",
        "<h2>Proof</h2>",
        (
            "<p>Float rows have their own threshold and are compared with the row above; all "
            "others with the quantised model, output by output in units of its last bit, at one "
            "threshold. "
            f"Efficiencies at rejection {design['rejection']:g}, with 68 % intervals.</p>"
        ),
        _table(*proof_rows(content)),
        "<h2>Signal efficiencies [%]</h2>",
        _table(*efficiency_rows(content)),
        "<h2>Resources and latency</h2>",
        (
            "<p>Estimates: nothing was placed or routed. Latency is stages × the clock asked for; "
            "“not closed” says that no vendor tool has shown this clock to be met.</p>"
        ),
        _table(*resource_rows(content)),
        *(f"<p class='note'>{escape(remark)}</p>" for remark in content["remarks"]),
        "<h2>Figures</h2>",
        *_pictures(directory / "figures"),
        "<h2>For the firmware</h2>",
        _firmware(content),
        "<h2>Seconds of each step</h2>",
        _table(["step", "s"], [[name, f"{s:,.1f}"] for name, s in content["seconds"].items()]),
        (
            f"<details><summary>fpga.json</summary><pre><code>"
            f"{escape(json.dumps(content, indent=1, ensure_ascii=False))}</code></pre></details>"
        ),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        + "\n".join(parts)
        + "</main></body></html>\n"
    )


def _measured_on(content: Mapping[str, Any]) -> str:
    """Return what events the numbers are of: simulated ones are called so."""
    background, counts = content["background"], content["events"]
    signals = sum(n for label, n in counts.items() if label != background)
    return (
        f"measured on {content['model']['origin']} events: {counts[background]:,} {background} "
        f"and {signals:,} signal"
    )


def _verdict(content: Mapping[str, Any]) -> str:
    compared = [s for s in content["stages"] if s["equal"] is not None]
    if content["exact"]:
        names = ", ".join(s["implementation"].rpartition(": ")[2] for s in compared)
        return (
            "<p class='headline'>Every compared event is exactly equal to the quantised model in "
            f"{escape(names)}; no decision differs.</p>"
        )
    wrong = [s for s in compared if s["equal"] < s["events"] or s["decision_flips"]]
    text = "; ".join(
        f"{s['implementation']}: {s['events'] - s['equal']:,} of {s['events']:,} events differ"
        for s in wrong
    )
    return f"<p class='note'><strong>Not equal.</strong> {escape(text)}</p>"


def _cards(content: Mapping[str, Any]) -> str:
    design, resources = content["design"], content["resources"]
    values = {
        "constituents × inputs": f"{design['constituents']} × {len(design['ports'])}",
        "weights / activations": f"{design['weight_bits']} / {design['activation_bits']} bits",
        "score": f"{design['score']}, {design['score_type']}",
        "fires above": f"{design['threshold']:,}",
        "background that fires [%]": str(percent(*content["background_firing"])),
        "events with a clipped input": f"{100 * content['inputs_beyond_range']['events']:.2f} %",
    }
    if resources:
        values[f"LUT ({resources[0]['tool']})"] = f"{resources[0]['lut']:,}"
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{_cell(value)}</dd></div>" for key, value in values.items()
    )


def _table(head: Row, rows: Sequence[Row]) -> str:
    top = "".join(f"<th style='white-space: normal'>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>"
        + "".join(f"<td>{_cell(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    wide = " class='wide'" if len(head) > 9 else ""
    return (
        f"<div class='scroll'><table{wide}><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    """Return a cell's text, the interval of a number below it."""
    value, _, spread = text.partition(" ")
    if spread.startswith(("+", "±")):
        return f"{escape(value)}<small>{escape(spread)}</small>"
    return escape(text)


def _pictures(directory: Path) -> Iterator[str]:
    for name, caption in _CAPTIONS.items():
        path = directory / name
        if path.exists():
            data = base64.b64encode(path.read_bytes()).decode()
            yield (
                f"<figure class='figure'><img alt='' src='data:image/png;base64,{data}'>"
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )


def _firmware(content: Mapping[str, Any]) -> str:
    design = content["design"]
    cut = content["inputs_beyond_range"]["ports"]
    ports = [
        [
            port["name"],
            port["type"],
            f"{port['lsb'] / port['scale']:.4g}",
            f"{port['center']:g}",
            f"{100 * cut[port['name']]:.2f} %",
        ]
        for port in design["ports"]
    ]
    layers = [
        [
            layer["name"],
            " × ".join(map(str, layer["shape"])),
            layer["input"],
            layer["accumulator"],
            layer["output"],
            f"{100 * layer['zero_weights']:.0f} %",
        ]
        for layer in design["layers"]
    ]
    return (
        "<p>Inputs of one constituent, in this order; constituents follow in falling momentum, "
        "zeros where there is none. An integer is (value − zero) / step, rounded down.</p>"
        + _table(["input", "type", "step", "zero at", "events clipped"], ports)
        + f"<p>Layers. The sum over constituents needs {escape(design['sum']['exact'])} and is "
        f"kept as {escape(design['sum']['kept'])}. Accumulators are proved from the weights: no "
        "input can overflow them.</p>"
        + _table(["layer", "weights", "input", "accumulator", "output", "zero weights"], layers)
    )
