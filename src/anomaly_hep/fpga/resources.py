"""The cost of firmware, as one tool counts or estimates it."""

from __future__ import annotations

from dataclasses import dataclass

# the compilers' estimates, by name: da4ml in runs of earlier versions, alkaid, its successor, since
ESTIMATES = ("alkaid estimate", "da4ml estimate")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Cells of the device, and the timing in clock cycles; None where a tool does not say.

    `bram` are blocks of memory, `carry` blocks of carry logic. `pipeline_stages` is the latency
    from an event's arrival to its result, `initiation_interval` the time from one event to the
    next. `clock_mhz` is the clock that place and route has reached; without it nothing was placed.
    """

    tool: str
    lut: int
    ff: int | None
    dsp: int
    bram: int
    pipeline_stages: int
    initiation_interval: int
    carry: int | None = None
    clock_mhz: float | None = None
