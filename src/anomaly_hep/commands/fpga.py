"""`fpga`: from a trained encoder to firmware, with the proof that both compute the same."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from anomaly_hep.atomic import write_text
from anomaly_hep.checking import settings_of
from anomaly_hep.commands import train
from anomaly_hep.configuration import compose
from anomaly_hep.errors import ConfigError, MissingToolError
from anomaly_hep.evaluate.ensembles import find_runs
from anomaly_hep.evaluate.thresholds import Thresholds, read_thresholds
from anomaly_hep.fpga.proof_tables import budget, decorrelation, proof, rate, resources, routed
from anomaly_hep.fpga.summary import FirmwareSummary
from anomaly_hep.models.loading import model_class
from anomaly_hep.run import OUTPUTS, digest, hold
from anomaly_hep.runtime import Termination, keep_freed_memory
from anomaly_hep.settings import Composed, FirmwareSettings, shown

PACKAGES = ("alkaid", "brevitas", "hls4ml", "onnx", "onnxruntime", "qonnx")
SMALL = ["experiment=trigger"]  # trained if there is no run to start from


def run(settings: FirmwareSettings) -> None:
    """Make the requested firmware, or resume it after a kill."""
    Termination().install()
    keep_freed_memory()
    _check_packages()
    console = Console(markup=False)
    if settings.run_dir and settings.fpga.rtl is not None:
        _check_for_make(Path(settings.run_dir))
    checkpoint = _checkpoint(settings, console)
    thresholds = _thresholds(settings, checkpoint)
    design = settings.fpga
    if thresholds is not None:
        rejection = thresholds.input_rate_hz / thresholds.wanted_hz
        design = replace(design, rejection=rejection)
    # these decide the results: the newest run and the rates may be others tomorrow
    own = {**settings.config["fpga"], "rejection": design.rejection}
    chosen = {"checkpoint": str(checkpoint), "fpga": own}
    written = chosen | {k: v for k, v in shown(settings.config).items() if v is not None}
    config = Composed({**settings.config, **chosen}, {**shown(settings.config), **written})
    path = Path(settings.run_dir or _default_path(config, checkpoint))
    from anomaly_hep.fpga.vendor_reports import with_reports

    with hold(path, config) as directory:
        if directory.finished:
            console.print(f"{path} is finished; its results:")
        else:
            console.print(f"run directory: {path}")
            # the tools are optional and slow to import
            from anomaly_hep.fpga.build import build
            from anomaly_hep.fpga.source import Source

            steps, source = Steps(path, console), Source.open(checkpoint, settings.data_dir)
            build(source, design, settings.seed, path, steps.timed, steps.seconds, thresholds)
            directory.finish({})
        summary = with_reports(FirmwareSummary.read(path / "fpga.json"), path)
        console.print(proof(summary))
        if summary.rate is not None:
            console.print(rate(summary.rate))
        if summary.decorrelation is not None:
            console.print(decorrelation(summary.decorrelation))
        if summary.budget is not None:
            console.print(budget(summary.budget))
        console.print(resources(summary))
        placed = routed(summary)
        if placed is not None:
            console.print(placed)
        console.print(f"report: {path / 'report.html'}", soft_wrap=True)


def _check_for_make(path: Path) -> None:
    """Raise ConfigError for a directory in which make, which builds the simulation, fails."""
    if set(str(path.absolute())) & set(" \t\n:#$%"):
        raise ConfigError(
            f"run_dir={path}: make builds the simulation of the RTL there and takes no space nor "
            "any of : # $ % in a path. Cure: a run_dir without them"
        )


def _check_packages() -> None:
    """Raise MissingToolError for a package of the extra `fpga` that is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingToolError(
            f"the command fpga needs {', '.join(missing)}. Cure: make setup, or "
            "pip install 'anomaly_hep[fpga]'"
        )


def _checkpoint(settings: FirmwareSettings, console: Console) -> Path:
    """Return the checkpoint to start from; without any run a small model is trained first."""
    if settings.checkpoint is not None:
        return Path(settings.checkpoint)
    if settings.fpga.threshold is not None:
        return Path(settings.fpga.threshold).parent / "checkpoints" / "best.ckpt"
    newest = _newest(OUTPUTS)
    if newest is None:
        console.print(
            "no finished run in outputs/ has a model that can become firmware: training a small one"
        )
        train.run(settings_of("train", compose("train", [*SMALL, f"seed={settings.seed}"])))
        newest = _newest(OUTPUTS)
        assert newest is not None
    console.print(f"from {newest}")
    return newest


def _thresholds(settings: FirmwareSettings, checkpoint: Path) -> Thresholds | None:
    """Return the thresholds whose rates are asked for; raises ConfigError for another model's."""
    if settings.fpga.threshold is None:
        return None
    path = Path(settings.fpga.threshold)
    thresholds = read_thresholds(path)
    thresholds.check(path, checkpoint, {})
    return thresholds


def _newest(outputs: Path) -> Path | None:
    """Return the best checkpoint of the latest finished run that can become firmware."""
    runs = find_runs(outputs) if outputs.is_dir() else []
    finished = [
        r.files.directory
        for r in runs
        if r.status == "finished" and _can_be_firmware(r.files.config)
    ]
    newest = max(finished, key=lambda d: (d / "done.json").stat().st_mtime, default=None)
    return None if newest is None else newest / "checkpoints" / "best.ckpt"


def _can_be_firmware(config: Mapping[str, Any]) -> bool:
    try:
        return model_class(config["model"]["_target_"]).firmware_refusal is None
    except ConfigError:  # a private model that is not installed here
        return False


def _default_path(config: Mapping[str, Any], checkpoint: Path) -> Path:
    source = checkpoint.parent.parent.name if checkpoint.parent.name == "checkpoints" else "model"
    return OUTPUTS / f"fpga-{source}-{digest(config)}"


class Steps:
    """The seconds that each step of a run took, kept on disk in case of a kill."""

    def __init__(self, directory: Path, console: Console) -> None:
        self.file, self.console = directory / "seconds.json", console
        known = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
        self.seconds: dict[str, float] = known

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time one step and print its duration."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 2)
        write_text(self.file, json.dumps(self.seconds, indent=1) + "\n")
        self.console.print(f"{name}: {self.seconds[name]:.1f} s")
