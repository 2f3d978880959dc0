"""`benchmark`: rates of reading, training and scoring, and of this machine's matrix products."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from anomaly_hep.atomic import check_output, write_text
from anomaly_hep.checking import model_settings
from anomaly_hep.commands.simulate import ensure
from anomaly_hep.commands.speeds import Clock, ModelRates, one_busy_process, product_rate
from anomaly_hep.commands.train import execution_of, make_data, make_model
from anomaly_hep.configuration import compose
from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.stream import EventStream
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.files import format_of
from anomaly_hep.models.arithmetic import arithmetic
from anomaly_hep.models.execution import Execution
from anomaly_hep.runtime import keep_freed_memory
from anomaly_hep.settings import BenchmarkSettings
from anomaly_hep.sharing import share_cores

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_MEMORY_BATCH = 256
_LEVELS = ("best", "median", "worst")


def run(settings: BenchmarkSettings) -> None:
    """Measure, print and write bench.json."""
    keep_freed_memory()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    share_cores()
    torch.manual_seed(0)
    console, execution = Console(markup=False), execution_of(settings.trainer)
    measured, sizes = _measured(settings, execution)
    check_output(Path(settings.output))
    ensure(settings.data, console)
    clock = Clock(settings.seconds, settings.repeats, execution.device)
    module = make_data(settings.data, 1)
    batches = {size: _batches(module, size, measured["batches"]) for size in sizes}
    products = {
        name: product_rate(clock, measured[execution.place]["product"], dtype)
        for name, dtype in PRECISIONS.items()
    }
    result: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "load_before": os.getloadavg()[0],
            "accelerator": execution.name,
        },
        "batches": {size: _describe(same_size) for size, same_size in batches.items()},
        "matrix_products": products,
        "reading": _reading_rate(settings, module, sizes[0]),
        "loader": {size: _loader_rate(settings, module, execution, size) for size in sizes},
        "models": {
            name: {
                size: _rates(name, settings, batches[size], execution, clock, products)
                for size in sizes
            }
            for name in measured["models"]
        },
    }
    result["machine"] |= arithmetic()  # known only after the models ran
    if settings.stream_gigabytes:
        result["memory"] = _memory(settings, module)
    write_text(Path(settings.output), json.dumps(result, indent=2) + "\n")
    for table in _tables(result):
        console.print(table)
    console.print(f"written to {settings.output}")


def _measured(
    settings: BenchmarkSettings, execution: Execution
) -> tuple[Mapping[str, Any], list[int]]:
    """Return what to measure on these data, and the batch sizes."""
    if settings.measured is None:
        name = settings.data.name
        raise ConfigError(
            f"nothing says which models to measure on data={name}. Cure: write conf/measured/"
            f"{name}.yaml like the others in that folder"
        )
    measured = settings.measured
    size = settings.batch_size
    return measured, [size] if size else list(measured[execution.place]["batch_sizes"])


def _stream(
    module: EventDataModule,
    batch_size: int,
    execution: Execution | None = None,
    workers: int = 0,
) -> EventStream:
    parts, first = [], 0
    for file in module.files("train", module.background):
        parts.append(Slice(file, 0, len(file), first))
        first += len(file)
    plan = Plan(
        files=parts,
        batch_size=batch_size,
        chunk_events=module.chunk_events,
        pool_batches=module.pool_batches,
        seed=1,
        shuffle=True,
    )
    feed = execution.feed(batch_size) if execution else None
    return EventStream(plan, module.reading, workers=workers, feed=feed)


def _batches(module: EventDataModule, size: int, number: int) -> list[JaggedBatch]:
    """Return the first `number` batches, repeating those of a small data set."""
    stream = _stream(module, size)
    batches: list[JaggedBatch] = []
    while len(batches) < number:
        batches += list(stream)
    return batches[:number]


def _describe(batches: list[JaggedBatch]) -> dict[str, float]:
    events = sum(len(batch) for batch in batches)
    rows = sum(int(batch.lengths.sum()) for batch in batches)
    return {"events": events / len(batches), "mean_rows": rows / events}


def _rates(
    name: str,
    settings: BenchmarkSettings,
    batches: list[JaggedBatch],
    execution: Execution,
    clock: Clock,
    products: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return a model's rates in every precision, those of float32 on a CPU also when it is busy.

    `name` may be followed by overrides of its configuration.
    """
    clip, results = settings.trainer.gradient_clip_val, {}
    for precision, dtype in PRECISIONS.items():
        chosen, *choices = name.split()
        config = compose("train", [f"model={chosen}", f"data={settings.data.name}", *choices])
        model = make_model(model_settings(config["model"]))
        rates = ModelRates(model, batches, execution, dtype, clip)
        results[precision] = rates.measure(clock, products[precision]["best"])
        if settings.busy and dtype == torch.float32 and execution.place == "cpu":
            with one_busy_process():
                for task, rate in rates.beside(clock).items():
                    results[precision][task]["beside_one_busy_process"] = rate
    return results


def _reading_rate(
    settings: BenchmarkSettings, module: EventDataModule, size: int
) -> dict[str, float]:
    """Return events per CPU-second from file to batch, the whole training set once per repeat."""
    rates = []
    for _ in range(settings.repeats):
        stream = _stream(module, size)
        begin = time.process_time()
        events = sum(batch.events for batch in stream)
        rates.append(events / (time.process_time() - begin))
    return _levels(rates)


def _loader_rate(
    settings: BenchmarkSettings, module: EventDataModule, execution: Execution, size: int
) -> dict[str, float]:
    """Return events per second from file to device, one epoch each, as a training loads them.

    The first epoch, which starts the workers of `data.num_workers`, is not counted.
    """
    workers = settings.data.module["num_workers"]
    stream, rates = _stream(module, size, execution, workers), []
    for epoch in range(settings.repeats + 1):
        begin = time.perf_counter()
        events = sum(batch.events for batch in stream)
        if epoch:
            rates.append(events / (time.perf_counter() - begin))
    return _levels(rates)


def _levels(rates: list[float]) -> dict[str, float]:
    return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}


def _memory(settings: BenchmarkSettings, module: EventDataModule) -> dict[str, Any]:
    """Stream `stream_gigabytes` of columns; return the resident memory on the way."""
    wanted = settings.stream_gigabytes * 1e9
    # columns hold a float32 per particle or pixel; columns of events are negligible
    layout = format_of(module.files("train", module.background)[0].path).LAYOUT
    per_row = 4 * sum(name in layout.particles for name in module.reading.columns)
    resident: list[dict[str, float]] = []
    stream, bytes_read = _stream(module, _MEMORY_BATCH), 0
    while bytes_read < wanted:
        for batch in stream:
            bytes_read += int(batch.lengths.sum()) * per_row
            if bytes_read >= wanted * len(resident) / 10:
                resident.append({"gigabytes_read": bytes_read / 1e9, "resident_mb": _resident_mb()})
    return {"gigabytes_read": bytes_read / 1e9, "resident_mb": resident}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _tables(result: Mapping[str, Any]) -> list[Table]:
    machine, rows = result["machine"], next(iter(result["batches"].values()))["mean_rows"]
    where = machine["accelerator"] or f"{machine['processor']}, {machine['threads']} threads"
    rates = Table(
        "model", "batch", "precision", "what", "events/s", "of products", "one event, ms",
        "one core busy", "kernels", "waits",
        title=f"{where}, {rows:.1f} particles or pixels an event (best of the repeats)",
        box=SIMPLE,
    )  # fmt: skip
    for name, sizes in result["models"].items():
        for size, precisions in sizes.items():
            for precision, measured in precisions.items():
                for task, rate in measured.items():
                    rates.add_row(name, str(size), precision, task, *_cells(rate))
    _fit(rates)
    other = Table("quantity", *_LEVELS, box=SIMPLE)
    for name, values in result["matrix_products"].items():
        other.add_row(f"products {name}, GFLOP/s", *(f"{values[k] / 1e9:,.0f}" for k in _LEVELS))
    quantities = {"from file to batch, events per CPU-second": result["reading"]}
    quantities |= {f"loader, batches of {n}, events/s": r for n, r in result["loader"].items()}
    for name, values in quantities.items():
        other.add_row(name, *(f"{values[k]:,.0f}" for k in _LEVELS))
    if "memory" in result:
        levels = [r["resident_mb"] for r in result["memory"]["resident_mb"]]
        gigabytes = result["memory"]["gigabytes_read"]
        other.add_row(
            f"resident MB while reading {gigabytes:.1f} GB (first, middle, last tenth)",
            *(f"{levels[i]:,.0f}" for i in (1, len(levels) // 2, -1)),
        )
    return [rates, other]


def _cells(rate: Mapping[str, Any]) -> list[str]:
    """Return a measurement as the cells of its row, empty where nothing was measured."""
    one, busy = rate.get("one_event_milliseconds"), rate.get("beside_one_busy_process")
    share = rate.get("fraction_of_products")
    launches = [rate.get(name) for name in ("kernels", "host_waits")]
    return [
        f"{rate['best']:,.0f}",
        "" if share is None else f"{share:.0%}",
        f"{one['best']:.3f}" if one else "",
        f"{busy['best']:,.0f}" if busy else "",
        *("" if value is None else f"{value:.1f}" for value in launches),
    ]


def _fit(table: Table) -> None:
    """Drop empty columns, and let the others break between words alone."""
    table.columns = [column for column in table.columns if any(column.cells)]
    for column in table.columns:
        words = f"{column.header} {' '.join(map(str, column.cells))}".split()
        column.min_width = max(map(len, words))
