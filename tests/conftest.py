"""What every test may use. Shapes in signatures are checked while the tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401 - the hook finds it by name

install_import_hook("anomaly_hep", "tests.typecheck.checked")
# a shared machine may stand still in any example
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
# the suite runs in one process per core, and small tensors gain nothing from more threads
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published excerpts that the repository does not carry: required in CI, skipped elsewhere."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        message = f"published excerpts are not at {path}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
