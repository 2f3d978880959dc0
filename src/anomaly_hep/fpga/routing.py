"""The pipeline's stages, shortened until phi meets the clock after place and route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anomaly_hep.fpga import ecp5, phi_alone, rtl, yosys
from anomaly_hep.fpga.export import ExportJob
from anomaly_hep.fpga.resources import Resources

# place and route takes a minute each time
_TRIES = 3
# the longest delay between two registers shrinks by at least this factor from try to try
_STEP = 0.6
# an adder, in alkaid's units: shorter stages would hold nothing
_SHORTEST = 1.2


@dataclass(frozen=True)
class Routed:
    """The delay per stage to ship, a row for each try, and what is to be said of them."""

    delay: float
    rows: tuple[Resources, ...]
    remark: str


def fit(job: ExportJob, delay: float, directory: Path) -> Routed:
    """Route phi alone on an ECP5 with ever shorter stages, until it meets the clock asked for.

    Where no try meets it, or nothing can be routed, `delay` is kept and the remark says so. Each
    try's project stays in the directory.
    """
    if ecp5.program() is None or yosys.program() is None:
        return Routed(delay, (), (
            "nextpnr or yosys is not installed, so phi was not placed and routed. Cure: "
            "pip install 'anomaly_hep[routing]'"
        ))  # fmt: skip
    encoder, asked = job.design.integers, 1000 / job.settings.clock_ns
    rows: list[Resources] = []
    latest, stages = delay, 0
    while len(rows) < _TRIES:
        circuit = phi_alone.trace(encoder, latest)
        if ecp5.pins(circuit) > ecp5.PINS:
            return Routed(delay, (), (
                f"phi alone needs {ecp5.pins(circuit):,} pins, and the ECP5 has {ecp5.PINS}: it "
                "was not placed and routed. Cure: fewer inputs or bits"
            ))  # fmt: skip
        if circuit.latency > stages:
            stages = circuit.latency
            phi_alone.check(circuit, encoder, job.events)
            project = directory / f"stages{stages}"
            rtl.write(circuit, project, job.settings.part, job.settings.clock_ns)
            part = f"phi alone, delay_per_stage {latest:g}"
            row = ecp5.route(project / "verilog", circuit, job.settings.clock_ns, part)
            rows.append(row)
            assert row.clock_mhz is not None
            if row.clock_mhz >= asked:
                return Routed(latest, tuple(rows), _met(latest, delay, asked))
        if latest <= _SHORTEST:
            break
        reached = max((row.clock_mhz or 0.0) for row in rows) / asked
        latest = round(max(_SHORTEST, latest * min(_STEP, reached)), 2)
    return Routed(delay, tuple(rows), _not_met(rows, delay, asked))


def _met(latest: float, delay: float, asked: float) -> str:
    change = "as asked" if latest == delay else f"and not {delay:g}, so in the whole design too"
    return (
        f"phi alone meets {asked:,.0f} MHz on a Lattice ECP5-85 with delay_per_stage {latest:g}, "
        f"{change}. The rest of the design was not routed."
    )


def _not_met(rows: list[Resources], delay: float, asked: float) -> str:
    best = max((row.clock_mhz or 0.0) for row in rows)
    return (
        f"phi alone does not meet {asked:,.0f} MHz on a Lattice ECP5-85: {best:,.1f} MHz at best, "
        f"after {len(rows)} tries with ever shorter stages. The design is pipelined with "
        f"delay_per_stage {delay:g}, and its clock stays to be shown on the device itself."
    )
