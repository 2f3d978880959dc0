"""The archives that others install: what they hold, and that it works outside the clone."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement

from tests import runs
from tests.data.files import write_toys

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "anomaly_hep"
# packages of the extras, and of the tests: training and scoring need none of them
BLOCKED = ("pythia8mc", "fastjet", "vector", "wandb", "brevitas", "alkaid", "hls4ml", "onnx",
           "onnxruntime", "qonnx", "joblib_launcher", "submitit", "beartype", "hypothesis",
           "pytest", "skimage")  # fmt: skip
# where packages of extras are imported
EXTRAS = {"sim": "simulate/", "wandb": "dashboards.py", "fpga": "fpga/"}


def _pip(*arguments: str, cwd: Path = ROOT) -> None:
    # where the build backend is installed no index is asked for it
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "--quiet", *arguments, *offline]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _wheel(source: Path, into: Path) -> Path:
    _pip("wheel", "--no-deps", "--wheel-dir", str(into), str(source))
    (path,) = into.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory outside the clone, with the wheel installed and toy jets beside it."""
    place = tmp_path_factory.mktemp("outside")
    _pip("install", "--no-deps", "--target", str(place / "site"), str(wheel))
    absent = "".join(f"sys.modules[{name!r}] = None\n" for name in BLOCKED)
    (place / "site" / "sitecustomize.py").write_text(f"import sys\n{absent}")
    write_toys(place / "jets", train=60, test=20)
    return place


def _run(outside: Path, *arguments: str) -> str:
    """Run the installed package from a directory that knows nothing of the clone."""
    own = os.environ | {"PYTHONPATH": str(outside / "site"), "COLUMNS": "160"}
    command = [sys.executable, "-m", "anomaly_hep", *arguments]
    done = subprocess.run(
        command, cwd=outside, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_configuration_and_every_file_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    conf = {f"anomaly_hep/{p.relative_to(ROOT)}" for p in (ROOT / "conf").rglob("*.yaml")}
    files = (p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert conf
    assert conf | {str(p.relative_to(PACKAGE.parent)) for p in files} <= names
    assert all(name.startswith("anomaly_hep") for name in names)


def test_built_twice_it_is_the_same_to_the_byte(wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("src", "conf", "pyproject.toml", "README.md", "LICENSE"):
        path = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        (shutil.copytree(path, copy / name, ignore=ignored, copy_function=shutil.copy)
         if path.is_dir() else shutil.copy(path, copy / name))  # fmt: skip
    for path in copy.rglob("*.yaml"):
        path.chmod(0o600)
    assert _wheel(copy, tmp_path / "again").read_bytes() == wheel.read_bytes()


@pytest.mark.skipif(not importlib.util.find_spec("hatchling"), reason="not set up anew")
def test_a_source_archive_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist"]
    subprocess.run([*build, "--directory", str(tmp_path)], cwd=ROOT, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    assert {"train.py", "conf/train.yaml", "tests/test_wheel.py", "Makefile"} <= names
    assert _wheel(archive, tmp_path / "from").read_bytes() == wheel.read_bytes()


def test_what_is_installed_says_what_there_is(outside: Path) -> None:
    assert "train, score, evaluate" in _run(outside, "doctor")
    listed = json.loads(_run(outside, "list", "models", "--json"))
    assert "clipvae" in [entry["name"] for entry in listed["models"]]


def test_what_is_installed_trains_and_scores_without_extras(outside: Path) -> None:
    choices = (*runs.SMALL, *runs.TWO_CLASSES, "data.dir=jets", "run_dir=run")
    _run(outside, "train", *choices)
    files = ("checkpoint=run/checkpoints/best.ckpt", "input=jets/test/ZJets*", "output=s.parquet")
    _run(outside, "score", *files)
    table = pd.read_parquet(outside / "s.parquet")
    of_run = pd.read_parquet(outside / "run" / "scores.parquet")
    same = of_run[of_run["label"] == "QCD"]["score_kl"].to_numpy()
    assert (table["score_kl"].dropna().to_numpy() == same).all()


def _top_level(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"anomaly_hep"}


def _declared(extra: str) -> set[str]:
    text = (ROOT / "pyproject.toml").read_text()
    name = re.escape(extra) if extra else "dependencies"
    (block,) = re.findall(rf"^{name} = \[(.*?)\]\n", text, re.MULTILINE | re.DOTALL)
    return {Requirement(r).name.lower() for r in re.findall(r'"([^"]+)"', block)}


def test_each_dependency_is_imported_and_each_import_is_declared() -> None:
    owners = importlib.metadata.packages_distributions()
    core, extra = set(), set()
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        packages = {owners.get(m, [m])[0].lower() for m in _top_level(path)} - {"finn"}
        optional = name.startswith(tuple(EXTRAS.values())) or path.name in (
            "quantized.py",
            "workspace.py",
        )
        (extra if optional else core).update(packages)
    # torch calls ninja, a program, to compile kernels.cpp
    assert core | {"ninja"} == _declared("")
    assert extra <= core | {p for name in EXTRAS for p in _declared(name)}
