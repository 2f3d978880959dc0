"""`doctor`: what this machine has and lacks for each part of the package."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anomaly_hep.errors import ConfigError

# the purpose of the package itself and of each extra
PURPOSES = {
    "": "train, score, evaluate",
    "sim": "simulate (extra sim, GPL)",
    "wandb": "logger=wandb (extra wandb)",
    "hpc": "sweeps on many cores or SLURM (extra hpc)",
    "fpga": "fpga (extra fpga)",
    "routing": "fpga.rtl.routing (extra routing)",
}
# optional programs and their purpose
PROGRAMS = {
    "g++": "layers of images, hls4ml's C simulation",
    "verilator": "fpga: simulation of the Verilog",
    "ghdl": "fpga: simulation of the VHDL",
    "yosys": "fpga: synthesis of the RTL",
    "vitis_hls": "fpga: the vendor's synthesis",
    "vivado": "fpga: the vendor's place and route",
}


def run(arguments: Sequence[str]) -> None:
    """Print versions, cores and free disk; nothing is changed."""
    if arguments and not {*arguments} & {"-h", "--help"}:
        raise ConfigError(
            f"doctor takes no arguments, and {' '.join(arguments)} is one. Cure: python -m "
            "anomaly_hep doctor"
        )
    console = Console()
    free = shutil.disk_usage(".").free / 1e9
    console.print(
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, "
        f"{free:.0f} GB free here"
    )
    table = Table("for", "package", "version")
    for extra, purpose in PURPOSES.items():
        for number, requirement in enumerate(_requirements(extra)):
            table.add_row("" if number else purpose, requirement.name, _state(requirement, extra))
    for program, purpose in PROGRAMS.items():
        table.add_row(purpose, program, shutil.which(program) or "not on PATH")
    console.print(table)


def _requirements(extra: str) -> list[Requirement]:
    """Return the requirements of the installed package itself, or of one of its extras."""
    known = [Requirement(text) for text in importlib.metadata.requires("anomaly_hep") or ()]
    return [r for r in known if (r.marker.evaluate({"extra": extra}) if r.marker else not extra)]


def _state(requirement: Requirement, extra: str) -> str:
    """Return the installed version, or the cure if it is missing or unsuitable."""
    cure = f"pip install 'anomaly_hep[{extra}]'" if extra else "pip install anomaly_hep"
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"[red]missing: {escape(cure)}[/red]"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"[red]{version}, needs {requirement.specifier}: {escape(cure)}[/red]"
    return version
