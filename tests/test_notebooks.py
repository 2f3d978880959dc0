"""The notebooks of the documentation run, on toy jets, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.files import write_toys

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="not set up anew")
    nbclient = pytest.importorskip("nbclient", reason="not set up anew")
    write_toys(tmp_path / "jets", train=90, test=20)
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert (tmp_path / "run" / "done.json").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
