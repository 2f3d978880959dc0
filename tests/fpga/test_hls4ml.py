"""The C++ that hls4ml writes computes what the integer encoder does, event by event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import hls4ml
from anomaly_hep.fpga.chipscore import ChipScore
from tests.fpga.encoders import hard_inputs, random_encoder


def test_every_event_is_exact(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = random_encoder()
    project = hls4ml.write(encoder, tmp_path / "project")
    integers = hard_inputs(encoder, 3000)
    np.testing.assert_array_equal(hls4ml.simulate(project, integers), encoder(integers))
    assert capfd.readouterr() == ("", "")
