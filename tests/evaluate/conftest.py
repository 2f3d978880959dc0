"""One finished run that the tests of figures and report look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evaluate.fake_run import fake_run

from anomaly_hep.evaluate.figures import write_figures


@pytest.fixture(scope="session")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its figures, of few classes as panels take time; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "clipvae"
    run = fake_run(directory, events=1000, classes=("QCD", "Hbb", "Tbl", "Tbqq"))
    write_figures(run)
    return run
