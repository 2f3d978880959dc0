"""What every test may use. Shapes in signatures are checked while the tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("anomaly_hep", "beartype.beartype")


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
