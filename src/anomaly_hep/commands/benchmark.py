"""`benchmark`: rates of reading, training and scoring, beside this machine's matrix products."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from anomaly_hep.atomic import write_text
from anomaly_hep.commands.rates import Clock, model_rates, product_rate
from anomaly_hep.commands.simulate import ensure
from anomaly_hep.commands.train import make_data, make_model
from anomaly_hep.configuration import compose
from anomaly_hep.data.batch import ImageBatch, JaggedBatch, ParticleBatch
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.stream import EventStream
from anomaly_hep.formats.files import format_of
from anomaly_hep.models.arithmetic import arithmetic
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.runtime import keep_freed_memory
from anomaly_hep.settings import BenchmarkSettings

BATCH_SIZES: Mapping[type, int] = {ParticleBatch: 270, ImageBatch: 64}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# by what the data give: the models measured and how many of their batches; images cost more each
MODELS: Mapping[type, tuple[tuple[str, ...], int]] = {
    ParticleBatch: (("setvae", "clipvae"), 8),
    ImageBatch: (("codae", "codvae"), 2),
}


def run(settings: BenchmarkSettings) -> None:
    """Measure, print and write bench.json."""
    keep_freed_memory()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    console = Console()
    ensure(settings.data, console)
    clock = Clock(settings.seconds, settings.repeats)
    module = make_data({"data": settings.data, "seed": 1})
    names, number = MODELS[module.reading.makes]
    batches = [batch for batch, _ in zip(_stream(settings, module), range(number), strict=False)]
    products = {p: product_rate(clock, batches[0], t) for p, t in PRECISIONS.items()}
    result: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "load_before": os.getloadavg()[0],
        },
        "batch": _describe(batches),
        "matrix_products": products,
        "reading": _reading_rate(settings, module),
        "models": {
            name: {
                p: model_rates(_model(name, settings), batches, clock, t, products[p]["best"])
                for p, t in PRECISIONS.items()
            }
            for name in names
        },
    }
    result["machine"] |= arithmetic()  # once the models ran, it knows how
    if settings.stream_gigabytes:
        result["memory"] = _memory(settings, module)
    write_text(Path(settings.output), json.dumps(result, indent=2) + "\n")
    for table in _tables(result):
        console.print(table)
    console.print(f"written to {settings.output}")


def _stream(settings: BenchmarkSettings, module: EventDataModule) -> EventStream:
    parts, first = [], 0
    for file in module.files("train", module.background):
        parts.append(Slice(file, 0, len(file), first))
        first += len(file)
    plan = Plan(
        files=parts,
        batch_size=settings.batch_size or BATCH_SIZES[module.reading.makes],
        chunk_events=module.chunk_events,
        pool_batches=module.pool_batches,
        seed=1,
        shuffle=True,
    )
    return EventStream(plan, module.reading)


def _describe(batches: list[JaggedBatch]) -> dict[str, float]:
    events = sum(len(batch) for batch in batches)
    rows = sum(int(batch.lengths.sum()) for batch in batches)
    return {"events": events / len(batches), "mean_rows": rows / events}


def _model(name: str, settings: BenchmarkSettings) -> AnomalyModel:
    return make_model(compose("train", [f"model={name}", f"data={settings.data['name']}"]))


def _reading_rate(settings: BenchmarkSettings, module: EventDataModule) -> dict[str, float]:
    """Return events per CPU-second from file to batch, the whole training set once per repeat."""
    rates = []
    for _ in range(settings.repeats):
        stream = _stream(settings, module)
        begin = time.process_time()
        events = sum(len(batch) for batch in stream)
        rates.append(events / (time.process_time() - begin))
    return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}


def _memory(settings: BenchmarkSettings, module: EventDataModule) -> dict[str, Any]:
    """Stream until so many bytes of columns were read; return the resident memory on the way."""
    wanted = settings.stream_gigabytes * 1e9
    # columns are single precision numbers of particles or pixels; what events have is negligible
    layout = format_of(module.files("train", module.background)[0].path).LAYOUT
    per_row = 4 * sum(name in layout.particles for name in module.reading.columns)
    resident: list[dict[str, float]] = []
    stream, read = _stream(settings, module), 0
    while read < wanted:
        for batch in stream:
            read += int(batch.lengths.sum()) * per_row
            if read >= wanted * len(resident) / 10:
                resident.append({"gigabytes_read": read / 1e9, "resident_mb": _resident_mb()})
    return {"gigabytes_read": read / 1e9, "resident_mb": resident}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _tables(result: Mapping[str, Any]) -> list[Table]:
    machine, batch = result["machine"], result["batch"]
    rates = Table(
        "model", "precision", "what", "events/s", "of products", "one event ms",
        title=f"{machine['processor']}, {machine['threads']} threads, batch {batch['events']:.0f}, "
        f"{batch['mean_rows']:.1f} particles or pixels an event (best of the repeats)",
    )  # fmt: skip
    for name, precisions in result["models"].items():
        for precision, measured in precisions.items():
            for what, rate in measured.items():
                one = rate.get("one_event_milliseconds")
                rates.add_row(
                    name,
                    precision,
                    what.replace("_", " "),
                    f"{rate['best']:,.0f}",
                    f"{rate['fraction_of_products']:.0%}",
                    f"{one['best']:.3f}" if one else "",
                )
    other = Table("quantity", "best", "median", "worst")
    for name, values in result["matrix_products"].items():
        other.add_row(
            f"products {name}, GFLOP/s",
            *(f"{values[k] / 1e9:,.0f}" for k in ("best", "median", "worst")),
        )
    values = result["reading"]
    other.add_row(
        "from file to batch, events per CPU-second",
        *(f"{values[k]:,.0f}" for k in ("best", "median", "worst")),
    )
    if "memory" in result:
        levels = [r["resident_mb"] for r in result["memory"]["resident_mb"]]
        read = result["memory"]["gigabytes_read"]
        other.add_row(
            f"resident MB while reading {read:.1f} GB (first, middle, last tenth)",
            *(f"{levels[i]:,.0f}" for i in (1, len(levels) // 2, -1)),
        )
    return [rates, other]
