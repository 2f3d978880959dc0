"""`list [models|data|experiments|scores]`: what there is to choose from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from anomaly_hep.catalogue import KINDS, Entry

LISTED = ("title", "model", "unit")  # the facts that leave room in 80 columns


def run(arguments: Sequence[str]) -> None:
    """Print one table per kind, or all as JSON."""
    parser = argparse.ArgumentParser(prog="anomaly_hep list")
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help="one kind; without, all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    chosen = {kind: KINDS[kind]() for kind in KINDS if given.kind in (None, kind)}
    if given.json:
        print(json.dumps({k: [asdict(e) for e in found] for k, found in chosen.items()}, indent=1))
        return
    for kind, found in chosen.items():
        Console().print(_table(kind, found))


def _table(kind: str, entries: Sequence[Entry]) -> Table:
    facts = [fact for fact in LISTED if any(fact in entry.facts for entry in entries)]
    table = Table("name", *facts, "what it is", title=kind)
    for entry in entries:
        table.add_row(entry.name, *(entry.facts.get(fact, "") for fact in facts), entry.summary)
    return table
