"""What a processor says of itself, on machines of other makers too."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_hep import processor as module
from anomaly_hep.processor import Processor, processor

# the lines that count, as Linux writes them
AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9354 32-Core Processor
flags\t\t: fpu avx2 avx512f

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9354 32-Core Processor
flags\t\t: fpu avx2 avx512f
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd sve
CPU implementer\t: 0x41
"""


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    processor.cache_clear()


@pytest.mark.parametrize(
    ("text", "vendor", "instructions"),
    [(AMD, "AuthenticAMD", "fpu avx2 avx512f"), (ARM, "", "fp asimd sve"), (None, "", "")],
)
def test_vendor_and_instructions(
    text: str | None,
    vendor: str,
    instructions: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(module, "CPUINFO", path)
    found = processor()
    processor.cache_clear()
    assert found == Processor(found.name, vendor, instructions)
    assert found.name.startswith("AMD EPYC 9354") == (text == AMD)
    assert found.name
