"""The environment of FINN, which needs other versions of onnx and protobuf than this package.

`python -m anomaly_hep.fpga.finn_environment [path]` makes it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import AnomalyHepError, ConfigError, MissingToolError

DEFAULT = Path(".venv-finn")
# What the worker imports, and no more: finn-plus asks for a gigabyte of solvers, for a brevitas
# that no torch of today installs beside, and for torch itself, without a line of ours needing it.
PINS = """\
annotated-types==0.8.0
attrs==26.1.0
bitarray==3.12.3
bitstring==4.3.1
click==8.5.1
finn-plus==1.6.1
flatbuffers==25.12.19
Jinja2==3.1.6
markdown-it-py==4.3.0
MarkupSafe==3.0.4
mdurl==0.1.2
ml_dtypes==0.6.0
mpmath==1.3.0
numpy==2.4.6
onnx==1.21.0
onnx-ir==1.1.0
onnxruntime==1.25.1
onnxscript==0.7.2
packaging==26.3
protobuf==5.29.6
pydantic==2.14.3
pydantic_core==2.50.4
Pygments==2.21.0
PyYAML==6.0.3
qonnx==1.0.0
rich==13.9.4
scipy==1.17.0
sympy==1.14.0
toposort==1.10
typing-inspection==0.4.5
typing_extensions==4.16.0
"""
_UNFINISHED = "unfinished\n"


def ready(path: Path) -> bool:
    """Return whether the environment is there, whole and in these versions."""
    stamp = _stamp(path)
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _state()


def python(path: Path) -> Path:
    """Return the environment's Python; raises MissingToolError if `make` has not made it."""
    if not ready(path):
        raise MissingToolError(
            f"{path} holds no environment of FINN in the versions that this package was tested "
            f"with. Cure: python -m anomaly_hep.fpga.finn_environment {path}"
        )
    return path.absolute() / "bin" / "python"


def make(path: Path) -> bool:
    """Make the environment at `path` and return whether there was anything to do.

    Raises ConfigError if something else is there, MissingToolError with pip's last lines.
    """
    if ready(path):
        return False
    stamp = _stamp(path)
    if path.exists() and not stamp.is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(
            f"{path} is there and is no environment of FINN: nothing was changed in it. Cure: "
            "choose another path, or move it away"
        )
    if stamp.is_file():  # ours, of other versions or unfinished
        shutil.rmtree(path)
    write_text(stamp, _UNFINISHED)
    venv.create(path, with_pip=True)
    pins = path / "pins.txt"
    write_text(pins, PINS)
    options = ["--no-deps", "--disable-pip-version-check", "--requirement", str(pins)]
    command = [str(path.absolute() / "bin" / "python"), "-m", "pip", "install", *options]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    if done.returncode:
        raise MissingToolError(
            f"pip could not install FINN in {path}: {last_lines(done.stderr or done.stdout)}. "
            "Cure: mend what pip names (a proxy, the disk, a Python from 3.11 on) and call again"
        )
    write_text(stamp, _state())
    return True


def last_lines(text: str, count: int = 5) -> str:
    """Return the last lines of a program's output that say something, in one line."""
    lines = [line.strip() for line in text.splitlines()]
    return " | ".join([line for line in lines if line.strip("^~")][-count:])


def _stamp(path: Path) -> Path:
    return path / "anomaly_hep.stamp"


def _state() -> str:
    return f"{PINS}python=={sys.version_info.major}.{sys.version_info.minor}\n"


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
    except AnomalyHepError as error:
        sys.exit(str(error))
