"""`benchmark`: rates of reading, training and scoring, beside this machine's matrix products."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from anomaly_hep.atomic import write_text
from anomaly_hep.commands.simulate import ensure
from anomaly_hep.commands.train import make_model
from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.reading import Reading, reading_of
from anomaly_hep.data.stream import EventStream
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.models.layers.product import product, rounded
from anomaly_hep.models.setvae import SetVAE
from anomaly_hep.runtime import keep_freed_memory

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PASSES = 3  # a training step multiplies about three times as much as a forward pass


class Clock:
    """Calls something again and again for `seconds`, `repeats` times."""

    def __init__(self, seconds: float, repeats: int) -> None:
        self.seconds, self.repeats = seconds, repeats

    def rate(self, call: Callable[[], Any], amount: float) -> dict[str, float]:
        """Return `amount` per second of wall time: best, median and worst of the repeats."""
        call()
        rates = []
        for _ in range(self.repeats):
            begin, calls = time.perf_counter(), 0
            while time.perf_counter() - begin < self.seconds / self.repeats or calls < 2:
                call()
                calls += 1
            rates.append(amount * calls / (time.perf_counter() - begin))
        return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}


def run(config: Mapping[str, Any]) -> None:
    """Measure, print and write bench.json."""
    keep_freed_memory()
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    torch.manual_seed(0)
    console = Console()
    ensure(config["data"], console)
    clock = Clock(config["seconds"], config["repeats"])
    reading = reading_of(config["data"])
    stream = _stream(config, reading)
    batches = [batch for batch, _ in zip(stream, range(8), strict=False)]
    result: dict[str, Any] = {
        "machine": _machine(),
        "batch": _describe(batches),
        "matrix_products": {p: _products(clock, batches[0], t) for p, t in PRECISIONS.items()},
        "reading": _reading_rate(config, reading),
        "models": {
            name: {p: _model_rates(name, batches, clock, t) for p, t in PRECISIONS.items()}
            for name in ("setvae", "clipvae")
        },
    }
    _add_fractions(result)
    if config["stream_gigabytes"]:
        result["memory"] = _memory(config, reading)
    write_text(Path(config["output"]), json.dumps(result, indent=2) + "\n")
    for table in _tables(result):
        console.print(table)
    console.print(f"written to {config['output']}")


def _stream(config: Mapping[str, Any], reading: Reading) -> EventStream:
    data = config["data"]
    paths = find_files(Path(data["dir"]), "train", data["classes"][data["background"]])
    files, first = [], 0
    for path in paths:
        entries = format_of(path).describe(path).entries
        files.append(Slice(path, 0, entries, first))
        first += entries
    plan = Plan(
        files=files,
        batch_size=config["batch_size"],
        chunk_events=data["chunk_events"],
        pool_batches=data["pool_batches"],
        seed=1,
        shuffle=True,
    )
    return EventStream(plan, reading)


def _machine() -> dict[str, Any]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].split(":", 1)[1].strip() if named else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def _describe(batches: list[ParticleBatch]) -> dict[str, float]:
    jets = sum(len(batch) for batch in batches)
    particles = sum(len(batch.types) for batch in batches)
    return {"jets": jets / len(batches), "mean_particles": particles / jets}


def _products(clock: Clock, batch: ParticleBatch, dtype: torch.dtype) -> dict[str, float]:
    """Return operations per second of the layers' own product: particles x 64 x 128.

    It is made as torch.mm does it and as the layers do it; the quicker one is what the machine can.
    """
    left = torch.randn(rounded(len(batch.types)), 64).to(dtype)
    right = torch.randn(128, 64).to(dtype)
    out = torch.empty(len(left), 128, dtype=dtype)
    operations = 2.0 * left.numel() * len(right)
    with torch.inference_mode():
        rates = [
            clock.rate(lambda: torch.mm(left, right.t(), out=out), operations),
            clock.rate(lambda: product(left, right), operations),
        ]
    return max(rates, key=lambda rate: rate["best"])


def _reading_rate(config: Mapping[str, Any], reading: Reading) -> dict[str, float]:
    """Return jets per CPU-second from file to features, the whole training set once per repeat."""
    rates = []
    for _ in range(config["repeats"]):
        stream = _stream(config, reading)
        begin = time.process_time()
        jets = sum(len(batch) for batch in stream)
        rates.append(jets / (time.process_time() - begin))
    return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}


def _model(name: str) -> SetVAE:
    config = hydra.compose("train", overrides=[f"model={name}"])
    settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    model = make_model(settings)
    assert isinstance(model, SetVAE)
    return model


def _model_rates(
    name: str, batches: list[ParticleBatch], clock: Clock, dtype: torch.dtype
) -> dict[str, Any]:
    model = _model(name)
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    jets = float(sum(len(batch) for batch in batches))

    def train() -> None:
        for batch in batches:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss = model.loss(batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()

    result: dict[str, Any] = {"train_jets_per_second": clock.rate(train, jets)}
    model.eval()
    gc.collect()
    # what each of the two is for: Set-VAE scores with its decoder, CLIP-VAE with its encoder alone
    score = model.scores if name == "setvae" else model.encoder_score
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        result["score_jets_per_second"] = clock.rate(lambda: [score(b) for b in batches], jets)
        one = _one_jet(batches[0])
        threads = torch.get_num_threads()
        # a trigger has one jet at a time: more threads only wait for each other
        torch.set_num_threads(1)
        single = clock.rate(lambda: score(one), 1.0)
        torch.set_num_threads(threads)
    result["one_jet_milliseconds"] = {
        "best": 1e3 / single["best"],
        "median": 1e3 / single["median"],
        "worst": 1e3 / single["worst"],
    }
    flops = model.flops(_describe(batches)["mean_particles"])
    result["flops_per_jet"] = flops["total" if name == "setvae" else "encoder"]
    result["train_flops_per_jet"] = PASSES * flops["total"]
    return result


def _one_jet(batch: ParticleBatch) -> ParticleBatch:
    return batch.part(0, 1, 0, int(batch.lengths[0]))


def _add_fractions(result: dict[str, Any]) -> None:
    """Say of each rate what share of the machine's products it is, real particles only."""
    for models in result["models"].values():
        for precision, rates in models.items():
            products = result["matrix_products"][precision]["best"]
            for what, flops in (("train", "train_flops_per_jet"), ("score", "flops_per_jet")):
                used = rates[f"{what}_jets_per_second"]["best"] * rates[flops]
                rates[f"{what}_fraction_of_products"] = used / products


def _memory(config: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Stream until so many bytes of columns were read; return the resident memory on the way."""
    wanted = config["stream_gigabytes"] * 1e9
    # columns are single precision numbers of particles; what events have is negligible
    per_particle = 4 * sum(name.startswith("part_") for name in reading.columns)
    resident: list[dict[str, float]] = []
    stream, read = _stream(config, reading), 0
    while read < wanted:
        for batch in stream:
            read += len(batch.types) * per_particle
            if read >= wanted * len(resident) / 10:
                resident.append({"gigabytes_read": read / 1e9, "resident_mb": _resident_mb()})
    return {"gigabytes_read": read / 1e9, "resident_mb": resident}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _tables(result: Mapping[str, Any]) -> list[Table]:
    machine, batch = result["machine"], result["batch"]
    rates = Table(
        "model", "precision", "train jets/s", "of products", "score jets/s", "of products",
        "one jet ms",
        title=f"{machine['processor']}, {machine['threads']} threads, batch {batch['jets']:.0f}, "
        f"{batch['mean_particles']:.1f} particles a jet (best of the repeats)",
    )  # fmt: skip
    for name, precisions in result["models"].items():
        for precision, r in precisions.items():
            rates.add_row(
                name,
                precision,
                f"{r['train_jets_per_second']['best']:,.0f}",
                f"{r['train_fraction_of_products']:.0%}",
                f"{r['score_jets_per_second']['best']:,.0f}",
                f"{r['score_fraction_of_products']:.0%}",
                f"{r['one_jet_milliseconds']['best']:.3f}",
            )
    other = Table("quantity", "best", "median", "worst")
    for name, values in result["matrix_products"].items():
        other.add_row(
            f"products {name}, GFLOP/s",
            *(f"{values[k] / 1e9:,.0f}" for k in ("best", "median", "worst")),
        )
    values = result["reading"]
    other.add_row(
        "reading and features, jets per CPU-second",
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
