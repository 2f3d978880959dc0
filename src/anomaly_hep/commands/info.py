"""`info NAME`: describe a model, data set, experiment or score, and its keys."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anomaly_hep.catalogue import Entry, find


def run(arguments: Sequence[str]) -> None:
    """Print every entry of the name, as text or as JSON."""
    parser = argparse.ArgumentParser(prog="anomaly_hep info")
    parser.add_argument("name", metavar="NAME", help="as `list` shows it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    entries = find(options.name)
    if options.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        _print(entry, Console())


def _print(entry: Entry, console: Console) -> None:
    console.print(f"[bold]{entry.name}[/bold]: {entry.kind}. {escape(entry.summary)}")
    console.print(f"Chosen by: {escape(entry.choice)}", highlight=False)
    for fact, text in entry.facts.items():
        console.print(f"{fact}: {escape(text)}", highlight=False)
    if entry.scores:
        scores = Table("score", "title", "unit")
        for name, description in entry.scores.items():
            scores.add_row(name, escape(description.title), description.unit)
        console.print(scores)
    if entry.keys:
        keys = Table("key", "default" if entry.kind != "experiment" else "sets")
        for key, value in entry.keys.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            keys.add_row(key, escape(shown))
        console.print(keys)
