"""FINN's virtual environment: it needs other versions of onnx and protobuf than this package.

`python -m anomaly_hep.fpga.finn_environment [path]` makes it.
"""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import AnomalyHepError, ConfigError, MissingToolError
from anomaly_hep.fpga import programs

DEFAULT = Path(".venv-finn")
# the packages that finn_worker.py imports, in versions that work together
REQUIREMENTS = Path(__file__).with_name("finn_requirements.txt")
_UNFINISHED = "unfinished\n"


def ready(path: Path) -> bool:
    """Return whether the environment exists, is complete and has these versions."""
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

    Raises ConfigError if something else is there, ExportError with pip's last lines.
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
    options = ["--no-deps", "--disable-pip-version-check", "--requirement", REQUIREMENTS]
    programs.run(
        [path.absolute() / "bin" / "python", "-m", "pip", "install", *options],
        path,
        cure="mend what pip names (a proxy, the disk, a Python from 3.11 on) and call again",
    )
    write_text(stamp, _state())
    return True


def _stamp(path: Path) -> Path:
    return path / "anomaly_hep.stamp"


def _state() -> str:
    version = f"python=={sys.version_info.major}.{sys.version_info.minor}\n"
    return REQUIREMENTS.read_text(encoding="utf-8") + version


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
    except AnomalyHepError as error:
        sys.exit(str(error))
