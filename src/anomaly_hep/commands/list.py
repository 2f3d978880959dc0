"""`list [models|data|experiments|scores]`: show what can be chosen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from anomaly_hep.catalogue import KINDS, Entry

LISTED = ("title", "model", "unit")  # the facts that fit into 80 columns


def run(arguments: Sequence[str]) -> None:
    """Print one table per kind, or all as JSON."""
    parser = argparse.ArgumentParser(prog="anomaly_hep list")
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help="one kind (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    chosen = {kind: KINDS[kind]() for kind in KINDS if args.kind in (None, kind)}
    if args.json:
        print(json.dumps({k: [asdict(e) for e in v] for k, v in chosen.items()}, indent=1))
        return
    for kind, entries in chosen.items():
        Console().print(_table(kind, entries))


def _table(kind: str, entries: Sequence[Entry]) -> Table:
    facts = [fact for fact in LISTED if any(fact in entry.facts for entry in entries)]
    table = Table("name", *facts, "what it is", title=kind)
    for entry in entries:
        table.add_row(entry.name, *(entry.facts.get(fact, "") for fact in facts), entry.summary)
    return table
