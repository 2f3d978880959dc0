"""The rules of the house: who may import whom, and what may not be here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from anomaly_hep import plugins
from anomaly_hep.evaluate.paper import load_paper

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "anomaly_hep"
# every room may import from rooms to its left, and from the modules that all share
ROOMS = [
    "simulate",
    "formats",
    "data",
    "models",
    "evaluate",
    "papers",
    "search",
    "fpga",
    "commands",
]
SHARED = {"types", "errors", "atomic", "plugins", "bounds", "processor", "checksums", "names",
          "lifeline"}  # fmt: skip
# what stands around the street: these may be imported by commands only
AROUND = {
    "api",
    "callbacks",
    "catalogue",
    "checking",
    "arguments",
    "configuration",
    "quoting",
    "dashboards",
    "fitting",
    "metrics_csv",
    "provenance",
    "ranks",
    "readiness",
    "resuming",
    "run",
    "runtime",
    "settings",
    "sharing",
    "signatures",
    "workspace",
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _rooms(path: Path) -> set[str]:
    ours = [name.split(".") for name in _imports(path) if name.startswith("anomaly_hep.")]
    return {parts[1] for parts in ours if (PACKAGE / parts[1]).is_dir()} | {
        parts[1] for parts in ours if (PACKAGE / f"{parts[1]}.py").is_file()
    }


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path: Path) -> None:
    room = _room(path)
    if room not in ROOMS or room == "commands":
        return
    # simulate writes files, so formats is on its right although the street starts with it
    # a search reads what evaluate offers of a run, and nothing of data and models
    allowed = {"simulate": {"formats"}, "search": {"evaluate"}}.get(
        room, set(ROOMS[1 : ROOMS.index(room)])
    )
    assert _rooms(path) <= allowed | {room} | SHARED


def test_every_import_between_rooms_is_seen() -> None:
    assert "data" in _rooms(PACKAGE / "models" / "setvae.py")
    assert "formats" in _rooms(PACKAGE / "data" / "samples.py")
    assert "errors" in _rooms(PACKAGE / "cli.py")


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("pythia8mc", {"simulate/generator.py"}),
        ("fastjet", {"simulate/jets.py"}),
        ("wandb", {"dashboards.py"}),
        ("wandb_workspaces", {"workspace.py"}),
        ("brevitas", {"models/layers/quantized.py"}),
        ("alkaid", {f"fpga/{name}.py" for name in ("multiplexing", "phi_alone", "rtl", "tracing")}),
        ("hls4ml", {"fpga/hls4ml_project.py", "fpga/vitis.py"}),
        ("hist", {"search/spectrum.py"}),
        ("pyhf", {"search/histfactory.py"}),
        ("hydra", {"cli.py", "configuration.py"}),
        ("pydantic", {"settings.py", "signatures.py", "fpga/summary.py"}),
    ],
)
def test_a_package_has_one_home(package: str, homes: set[str]) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        if any(name.split(".")[0] == package for name in _imports(path))
    }
    assert users <= homes
    assert users


@pytest.mark.parametrize("room", ["formats", "simulate"])
def test_no_torch_before_data(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        assert not any(name.split(".")[0] in ("torch", "lightning") for name in _imports(path))


def test_nothing_but_commands_imports_the_command_line() -> None:
    for path in SOURCES:
        if _room(path) not in ("cli", "__main__"):
            assert "cli" not in _rooms(path)
        if _room(path) in ROOMS[:-1]:
            assert not _rooms(path) & AROUND


def _arrays_of_many(tree: ast.AST) -> list[tuple[int, str]]:
    """Return the lines and the axes of arrays inside lists, sequences and iterables of them."""
    many = {"Iterable", "Iterator", "Sequence", "Collection", "Generator", "list", "set"}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
            endless = node.value.id == "tuple" and getattr(last, "value", None) is Ellipsis
            if node.value.id in many or endless:
                found += [
                    (inner.lineno, inner.slice.elts[-1].value)
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Subscript)
                    and isinstance(inner.slice, ast.Tuple)
                    and isinstance(inner.slice.elts[-1], ast.Constant)
                    and isinstance(inner.slice.elts[-1].value, str)
                ]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrays_in_a_list_may_differ_in_length(path: Path) -> None:
    # the checker looks at one item drawn at random, before the call and again after it: a name for
    # the length of an item would fail where two items differ, and only now and then
    for line, axes in _arrays_of_many(ast.parse(path.read_text())):
        assert axes.split()[0] in ("_", "..."), f"{path}:{line}: {axes!r}"


def test_a_named_length_in_a_list_is_found() -> None:
    text = 'def f(a: Iterable[Float[T, "event x"]], b: tuple[Int[A, " row"], ...]) -> None: ...'
    assert [axes for _, axes in _arrays_of_many(ast.parse(text))] == ["event x", " row"]


def test_modules_have_one_subject() -> None:
    for path in SOURCES:
        assert path.name != "utils.py"
        assert len(path.read_text().splitlines()) <= 300, path


def _names() -> dict[str, set[str]]:
    """Return the names of models, data sets and papers, by the rooms whose files they may be."""
    conf = ROOT / "conf"
    return {
        "models": {path.stem for path in (conf / "model").glob("*.yaml")},
        "formats simulate": {path.stem for path in (conf / "data").glob("*.yaml")},
        "papers": {path.stem for path in (PACKAGE / "papers").glob("*.csv")},
    }


def _words(path: Path) -> list[tuple[int, str]]:
    """Return the imports and texts of a module with their lines, docstrings left out."""
    tree = ast.parse(path.read_text())
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    said = {id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, nodes) and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip
    words = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]
    return [*words, *((0, name) for name in _imports(path))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_model_data_set_or_paper_is_named_outside_its_own_files(path: Path) -> None:
    room = _room(path)
    if room == "papers":  # a paper is about models and data
        return
    for rooms, names in _names().items():
        for line, word in _words(path):
            for name in names:
                # a variant of a model names that one, a format or a simulation its own modules
                own = room in rooms.split() and (path.stem.startswith(name) or path.stem in names)
                plain = word.lower().replace("-", "").replace(" ", "")
                named = re.search(rf"(?<![a-z0-9]){name}(?![a-z0-9])", plain)
                assert own or not named, f"{path}:{line} names {name}: {word[:80]!r}"


def test_no_source_names_a_machine() -> None:
    for path in [*SOURCES, *(ROOT / "conf").rglob("*.yaml"), *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"(/tmp|/work|/root|/home)/", path.read_text()), path


def test_evaluate_names_no_paper_model_data_set_score_or_signal() -> None:
    papers = [load_paper(name) for name in plugins.modules("papers")]
    names = {
        *plugins.modules("papers"),
        *(
            path.stem
            for room in ("model", "data")
            for path in (ROOT / "conf" / room).glob("*.yaml")
        ),
        *(signal.label for paper in papers for signal in paper.signals),
        *(baseline.name for paper in papers for baseline in paper.baselines),
        *("SUEP", "SVJ", "chamfer", "latent_1", "signal_probability"),
    }
    # words of their own: the energy of an event, the number of its particles, the top of a page
    names -= {"energy", "multiplicity", "top"}
    for path in (PACKAGE / "evaluate").rglob("*.*"):
        if path.suffix in (".py", ".j2"):
            found = [n for n in names if re.search(rf"\b{n}\b", path.read_text(), re.IGNORECASE)]
            assert not found, path
