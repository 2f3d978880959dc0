"""`fpga`: from a trained encoder to firmware, with the proof that they are the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from omegaconf import OmegaConf
from rich.console import Console

from anomaly_hep.atomic import write_text
from anomaly_hep.commands import train
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.runs import find_runs
from anomaly_hep.fpga.design import float_stages, integer_stage, learn, quantized_stage
from anomaly_hep.fpga.exports import EXPORTERS, export
from anomaly_hep.fpga.exports import stages as stages_of
from anomaly_hep.fpga.report import Proof, show, write_report
from anomaly_hep.fpga.source import SPLITS, Source
from anomaly_hep.fpga.verify import compare, refuse_differences
from anomaly_hep.run import claim, digest
from anomaly_hep.runtime import Termination, keep_freed_memory

SMALL = ["experiment=trigger"]  # trained where there is no run to start from


def run(config: Mapping[str, Any]) -> None:
    """Make the firmware that `config` describes, or the part of it that a kill left undone."""
    Termination().install()
    keep_freed_memory()
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    _check(config["fpga"])
    console = Console()
    checkpoint = _checkpoint(config, console)
    # which checkpoint it is decides the results: the newest run may be another one tomorrow
    config = {**config, "checkpoint": str(checkpoint)}
    path = Path(config["run_dir"] or _default_path(config, checkpoint))
    with claim(path, config) as directory:
        if directory.finished:
            console.print(f"{path} is finished; its results:")
        else:
            console.print(f"run directory: {path}")
            _make(config, path, console)
            directory.finish({})
        show(path, console)


def _check(settings: Mapping[str, Any]) -> None:
    if settings["corrupt"] not in (None, "one_weight"):
        raise ConfigError(
            f"fpga.corrupt={settings['corrupt']} does not exist. Cure: choose one_weight or null"
        )


def _checkpoint(config: Mapping[str, Any], console: Console) -> Path:
    """Return the checkpoint to start from; without any run a small model is trained."""
    if config["checkpoint"] is not None:
        return Path(config["checkpoint"])
    newest = _newest(train.OUTPUTS)
    if newest is None:
        console.print("no finished CLIP-VAE run in outputs/: training a small one")
        small = hydra.compose("train", overrides=[*SMALL, f"seed={config['seed']}"])
        plain = OmegaConf.to_container(small, resolve=True, throw_on_missing=True)
        train.run(cast(dict[str, Any], plain))
        newest = _newest(train.OUTPUTS)
        assert newest is not None
    console.print(f"from {newest}")
    return newest


def _newest(outputs: Path) -> Path | None:
    """Return the best checkpoint of the CLIP-VAE run that finished last."""
    runs = find_runs(outputs) if outputs.is_dir() else []
    finished = [
        r.record.directory
        for r in runs
        if r.status == "finished" and r.record.config["model"]["name"] == "clipvae"
    ]
    newest = max(finished, key=lambda d: (d / "done.json").stat().st_mtime, default=None)
    return None if newest is None else newest / "checkpoints" / "best.ckpt"


def _default_path(config: Mapping[str, Any], checkpoint: Path) -> Path:
    source = checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else "model"
    return train.OUTPUTS / f"fpga-{source}-{digest(config)}"


class Steps:
    """The seconds that each step of a run took, kept over a kill."""

    def __init__(self, directory: Path, console: Console) -> None:
        self.file, self.console = directory / "seconds.json", console
        known = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
        self.seconds: dict[str, float] = known

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure and announce one step."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 2)
        write_text(self.file, json.dumps(self.seconds, indent=1) + "\n")
        self.console.print(f"{name}: {self.seconds[name]:.1f} s")


def _make(config: Mapping[str, Any], path: Path, console: Console) -> None:
    steps = Steps(path, console)
    source = Source.open(Path(config["checkpoint"]), config["data_dir"])
    settings = source.settings(config["fpga"])
    jets = {name: source.jets(name, settings, path, steps.timed) for name in SPLITS}
    design = learn(source, settings, jets, path, config["seed"], steps.timed)
    test = jets["test"]
    inputs, beyond = design.integers.quantize(test.inputs)
    with steps.timed("float, Brevitas and integer scores"):
        stages = [
            *float_stages(design, jets["validation"], test, settings["rejection"]),
            quantized_stage(design, test.inputs),
            integer_stage(design, inputs),
        ]
    exports = {
        name: export(name, design, inputs, settings, path, steps.timed)
        for name in EXPORTERS
        if name in settings
    }
    for results in exports.values():
        stages += stages_of(results, design)
    comparisons = compare(stages)
    proof = Proof(settings, source, design, test, beyond, comparisons, exports, steps.seconds)
    write_report(path, proof)
    refuse_differences(comparisons)
