"""`doctor`: what this machine has and lacks for each part of the package."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

NEEDS = {
    "train, score, evaluate": ("torch", "lightning", "hydra-core", "uproot", "pyarrow", "mplhep"),
    "simulate (extra sim, GPL)": ("pythia8mc", "fastjet", "vector"),
    "logger=wandb (extra wandb)": ("wandb",),
    "sweeps on many cores or SLURM (extra hpc)": (
        "hydra-joblib-launcher",
        "hydra-submitit-launcher",
    ),
    "fpga (extra fpga)": ("brevitas", "da4ml", "hls4ml", "onnx", "onnxruntime", "qonnx"),
}
# programs that are used where they are found
PROGRAMS = {
    "g++": "layers of images, hls4ml's C simulation",
    "verilator": "fpga: simulation of the RTL",
    "yosys": "fpga: synthesis of the RTL",
    "vitis_hls": "fpga: the vendor's synthesis",
}


def run(arguments: Sequence[str]) -> None:
    """Print versions, cores and free disk; nothing is changed."""
    del arguments
    console = Console()
    free = shutil.disk_usage(".").free / 1e9
    console.print(
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, "
        f"{free:.0f} GB free here"
    )
    table = Table("for", "package", "version")
    for purpose, packages in NEEDS.items():
        for number, package in enumerate(packages):
            table.add_row("" if number else purpose, package, _version(package))
    for program, purpose in PROGRAMS.items():
        table.add_row(purpose, program, shutil.which(program) or "not on PATH")
    console.print(table)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "[red]missing: pip install the extra[/red]"
