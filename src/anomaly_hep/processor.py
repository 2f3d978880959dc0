"""The processor at hand: its name, and what decides which code is quick on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """What a processor says of itself.

    vendor: as in `AuthenticAMD`, empty where it is not told. instructions: the names of the
    instruction sets it has, in one text.
    """

    name: str
    vendor: str
    instructions: str


@cache
def processor() -> Processor:
    """Return the processor of this machine."""
    if not CPUINFO.exists():  # not a Linux
        return Processor(platform.processor() or platform.machine(), "", "")
    said: dict[str, str] = {}
    for line in CPUINFO.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())  # the first of equal cores
    return Processor(
        name=said.get("model name") or platform.machine(),
        vendor=said.get("vendor_id", ""),
        instructions=said.get("flags") or said.get("Features", ""),  # x86; ARM
    )
