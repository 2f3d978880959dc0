"""The tables of a firmware run, on the console and as a page that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anomaly_hep.evaluate.cells import NOTHING, Cell, percent
from anomaly_hep.evaluate.labels import decay, ordered
from anomaly_hep.evaluate.render import page

Row = list[str | Cell]
# Columns of a console that the names of rows have at least.
_NAMES = 24
_CAPTIONS = {
    "efficiencies.png": "Signal efficiency where 1 in 100 background events fires, float models "
    "beside the chip. Bars: central 68 % interval.",
    "agreement.png": "Score of the chip against that of the float trigger encoder, event by event.",
}


def proof_rows(content: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Return head and rows of the table of stages, efficiencies as their mean over signals."""
    head = ["implementation", "events", "exactly equal", "off by [LSB]", "decisions differ",
                 "mean efficiency [%]"]  # fmt: skip
    rows: list[Row] = [
        [
            stage["implementation"],
            f"{stage['events']:,}",
            *map(_count, (stage["equal"], stage["max_difference_lsb"], stage["decision_flips"])),
            percent(*stage["mean_efficiency"]) if stage["mean_efficiency"] else NOTHING,
        ]
        for stage in content["stages"]
    ]
    return head, rows


def efficiency_rows(content: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Return head and rows of the signal efficiencies, in %, of stages that differ in them."""
    signals = ordered(content["stages"][0]["efficiency"])
    rows: list[Row] = []
    for stage in content["stages"]:
        cells = [percent(*stage["efficiency"][s]) for s in signals if s in stage["efficiency"]]
        if len(cells) == len(signals) and (not rows or cells != rows[-1][1:]):
            rows.append([stage["implementation"].split(": ")[0], *cells])
    return ["stage", *map(decay, signals)], rows


def resource_rows(content: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Return head and rows of the table of resources and latency, in clocks and in time."""
    clock_ns = content["design"]["clock_ns"]
    head = [
        "tool",
        "LUT",
        "FF",
        "DSP",
        "BRAM",
        "clocks",
        "interval",
        f"time at {clock_ns:g} ns",
    ]
    keys = ("lut", "ff", "dsp", "bram", "pipeline_stages", "initiation_interval")
    rows: list[Row] = [
        [
            row["tool"],
            *(_count(row[key]) for key in keys),
            f"{row['pipeline_stages'] * clock_ns:,g} ns",
        ]
        for row in content["resources"]
    ]
    return head, rows


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def show(path: Path, console: Console) -> None:
    """Print the tables of a run directory and where its page is."""
    content = json.loads((path / "fpga.json").read_text(encoding="utf-8"))
    for part in text_tables(content, console.width):
        console.print(part)
    console.print(f"report: {path / 'report.html'}", soft_wrap=True)


def text_tables(content: Mapping[str, Any], width: int) -> Iterator[Table | Text]:
    """Yield the tables for a console of some width, and what has to be known to read them."""
    yield Text(f"Proof, {_measured_on(content)}", style="bold")
    yield from _fitting(*proof_rows(content), width)
    yield Text("Resources", style="bold")
    yield from _fitting(*resource_rows(content), width)
    yield Text(
        "Resources are estimates: nothing was placed or routed, and no vendor's tool has shown "
        "that the clock can be met (timing is not closed).",
        style="dim",
    )


def _fitting(head: list[str], rows: Sequence[Row], width: int) -> Iterator[Table]:
    """Yield as many tables as it takes to break no word, each with the names of the rows.

    A heading stands in two lines, a number's interval below the number.
    """
    head = ["\n".join(name.split(maxsplit=1)) if i else name for i, name in enumerate(head)]
    texts = [[c if isinstance(c, str) else f"{c.value}\n{c.spread}" for c in row] for row in rows]
    names, *columns = zip(head, *texts, strict=True)
    room = width - max(_NAMES, *(len(word) for name in names for word in name.split()))
    while columns:
        sizes = accumulate(1 + max(map(cell_len, "\n".join(c).split("\n"))) for c in columns)
        count = max(1, sum(size <= room for size in sizes))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
        table.add_column(names[0])
        for heading, *_ in columns[:count]:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in zip(names[1:], *(cells for _, *cells in columns[:count]), strict=True):
            table.add_row(*map(Text, row))
        yield table
        columns = columns[count:]


def html(directory: Path, content: Mapping[str, Any]) -> str:
    """Return report.html of a run directory, its figures inside."""
    design = content["design"]
    return page(
        "firmware.html.j2",
        title=f"{content['model']['title']} in firmware",
        subtitle=f"From {content['model']['checkpoint']}; {_measured_on(content)}.",
        compared=", ".join(s["implementation"].rpartition(": ")[2] for s in _compared(content)),
        wrong="" if content["exact"] else _differences(content),
        cards=_cards(content),
        design=design | {"rejection": f"{design['rejection']:g}"},
        proof=proof_rows(content),
        efficiencies=efficiency_rows(content),
        resources=resource_rows(content),
        remarks=content["remarks"],
        figures={
            directory / "figures" / name: caption
            for name, caption in _CAPTIONS.items()
            if (directory / "figures" / name).exists()
        },
        ports=_ports(content),
        layers=_layers(content),
        seconds=[[name, f"{seconds:,.1f}"] for name, seconds in content["seconds"].items()],
        content=content,
    )


def _measured_on(content: Mapping[str, Any]) -> str:
    """Return what events the numbers are of: simulated ones are called so."""
    background, counts = content["background"], content["events"]
    signals = sum(n for label, n in counts.items() if label != background)
    return (
        f"measured on {content['model']['origin']} events: {counts[background]:,} {background} "
        f"and {signals:,} signal"
    )


def _compared(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [stage for stage in content["stages"] if stage["equal"] is not None]


def _differences(content: Mapping[str, Any]) -> str:
    """Say how many events of each implementation differ."""
    return "; ".join(
        f"{s['implementation']}: {s['events'] - s['equal']:,} of {s['events']:,} events differ"
        for s in _compared(content)
        if s["equal"] < s["events"] or s["decision_flips"]
    )


def _cards(content: Mapping[str, Any]) -> dict[str, str | Cell]:
    design, resources = content["design"], content["resources"]
    values: dict[str, str | Cell] = {
        "constituents × inputs": f"{design['constituents']} × {len(design['ports'])}",
        "weights / activations": f"{design['weight_bits']} / {design['activation_bits']} bits",
        "score": f"{design['score']}, {design['score_type']}",
        "fires above": f"{design['threshold']:,}",
        "background that fires [%]": percent(*content["background_firing"]),
        "events with a clipped input": f"{100 * content['inputs_beyond_range']['events']:.2f} %",
    }
    if resources:
        values[f"LUT ({resources[0]['tool']})"] = f"{resources[0]['lut']:,}"
    return values


def _ports(content: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    cut = content["inputs_beyond_range"]["ports"]
    rows: list[Row] = [
        [
            port["name"],
            port["type"],
            f"{port['lsb'] / port['scale']:.4g}",
            f"{port['center']:g}",
            f"{100 * cut[port['name']]:.2f} %",
        ]
        for port in content["design"]["ports"]
    ]
    return ["input", "type", "step", "zero at", "events clipped"], rows


def _layers(content: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    rows: list[Row] = [
        [
            layer["name"],
            " × ".join(map(str, layer["shape"])),
            layer["input"],
            layer["accumulator"],
            layer["output"],
            f"{100 * layer['zero_weights']:.0f} %",
        ]
        for layer in content["design"]["layers"]
    ]
    return ["layer", "weights", "input", "accumulator", "output", "zero weights"], rows
