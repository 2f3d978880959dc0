"""How much memory a file may ask for: what it declares must fit its size and this machine."""

from __future__ import annotations

from pathlib import Path

from anomaly_hep.errors import BadFileError

# The best ratio of deflate, and more than that of LZ4 and zstd on physics data.
_RATIO = 1100
_SMALL_BYTES = 2**26  # a file may always ask for this much: a constant column takes no space
_SHARE = 0.5  # of the memory that is available
CURE = "it is damaged or made to exhaust memory: fetch or simulate it again, or leave it out"


def check_declared(path: Path, declared: int, branch: str | None = None) -> None:
    """Refuse a file that declares more content, in bytes, than its size can hold compressed."""
    size = path.stat().st_size
    if declared > max(_SMALL_BYTES, _RATIO * size):
        problem = f"{size:,} bytes declare {declared:,} bytes of content"
        raise BadFileError(path, problem, branch=branch, cure=CURE)


def check_fits(path: Path, needed: int, branch: str | None = None) -> None:
    """Refuse content that would take more than half of the memory that is available, in bytes."""
    available = available_bytes()
    if available is not None and needed > _SHARE * available:
        problem = f"{needed:,} bytes of content would fill {available:,} bytes of memory"
        raise BadFileError(path, problem, branch=branch, cure=CURE)


def available_bytes() -> int | None:
    """Return the memory that new allocations may take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kilobytes[0]) * 1024 if kilobytes else None
