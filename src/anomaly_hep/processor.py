"""This machine's processor: its name, and what decides which code is fast on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """Name, vendor and instruction sets of a processor.

    vendor: such as `AuthenticAMD`, empty if unknown. instructions: names of the instruction sets,
    separated by spaces.
    """

    name: str
    vendor: str
    instructions: str


@cache
def processor() -> Processor:
    """Return the processor of this machine."""
    if not CPUINFO.exists():  # not Linux
        return Processor(platform.processor() or platform.machine(), "", "")
    entries: dict[str, str] = {}
    for line in CPUINFO.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())  # keeps the first of equal cores
    return Processor(
        name=entries.get("model name") or platform.machine(),
        vendor=entries.get("vendor_id", ""),
        instructions=entries.get("flags") or entries.get("Features", ""),  # x86; ARM
    )
