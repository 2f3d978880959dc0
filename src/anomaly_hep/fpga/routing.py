"""The pipeline's stages, shortened until phi meets the clock after place and route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anomaly_hep.fpga import ecp5, phi_alone, rtl
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder
from anomaly_hep.fpga.resources import Resources

# place and route takes a minute each time
_TRIES = 3
# the longest delay between two registers shrinks by at least this factor from try to try
_STEP = 0.6
# cells of four inputs for each of alkaid's look-up tables of six, measured on phi
_CELLS_PER_LUT = 1.7
# an adder, in alkaid's units: shorter stages would hold nothing
_SHORTEST = 1.2


_TOO_WIDE = (
    "phi alone needs {} pins and a Lattice ECP5-85 has {}: it was not placed. Fewer inputs, bits "
    "or channels of phi fit."
)


@dataclass(frozen=True)
class Routed:
    """A row for each try of place and route, and what is to be said of them."""

    rows: tuple[Resources, ...]
    remark: str


@dataclass(frozen=True)
class Fitted(Routed):
    """The tries to meet a clock, and the delay per stage that the design is to have."""

    delay: float


def fit(
    encoder: IntegerEncoder,
    events: ChipEvents,
    settings: DesignSettings,
    delay: float,
    directory: Path,
) -> Fitted:
    """Route phi alone on an ECP5 with ever shorter stages, until it meets the clock asked for.

    Where no try meets it `delay` is kept, and the remark says so. Each try's project stays in the
    directory. Raises what `ecp5.route` does, and ExportError where phi alone is not the design's.
    """
    asked = 1000 / settings.clock_ns
    rows: list[Resources] = []
    latest, best, stages = delay, 0.0, 0
    while len(rows) < _TRIES:
        circuit = phi_alone.trace(encoder, latest)
        if ecp5.pins(circuit) > ecp5.PINS:
            return Fitted(tuple(rows), _TOO_WIDE.format(ecp5.pins(circuit), ecp5.PINS), delay)
        if circuit.latency > stages:
            stages = circuit.latency
            phi_alone.check(circuit, encoder, events)
            project = directory / f"stages{stages}"
            rtl.write(circuit, project, settings.part, settings.clock_ns)
            part = f"phi alone, delay_per_stage {latest:g}"
            row = ecp5.route(project / "verilog", circuit, settings.clock_ns, part)
            rows.append(row)
            best = max(best, row.clock_mhz or 0.0)
            if best >= asked:
                return Fitted(tuple(rows), _met(latest, delay, asked), latest)
        if latest <= _SHORTEST:
            break
        latest = round(max(_SHORTEST, latest * min(_STEP, best / asked)), 2)
    return Fitted(tuple(rows), _not_met(best, len(rows), delay, asked), delay)


def whole(project: Path, circuit: Circuit, clock_ns: float) -> Routed:
    """Route a whole design on an ECP5, where its pins and its logic fit; raises as `ecp5.route`."""
    cells, pins = _CELLS_PER_LUT * circuit.estimate.lut, ecp5.pins(circuit)
    part = f"the whole design in {circuit.cycles} clocks"
    if cells > ecp5.CELLS or pins > ecp5.PINS:
        return Routed((), (
            f"{part} needs about {cells:,.0f} cells and {pins:,} pins; a Lattice ECP5-85 has "
            f"{ecp5.CELLS:,} and {ecp5.PINS}, so only phi was placed and routed."
        ))  # fmt: skip
    row = ecp5.route(project, circuit, clock_ns, part)
    return Routed((row,), f"{part} was placed and routed on a Lattice ECP5-85 as it is shipped.")


def _met(latest: float, delay: float, asked: float) -> str:
    change = "as it was set" if latest == delay else f"not {delay:g}; so is the whole design"
    return (
        f"phi alone meets {asked:,.0f} MHz on a Lattice ECP5-85 with delay_per_stage {latest:g}, "
        f"{change}. The rest of the design was not routed."
    )


def _not_met(best: float, tries: int, delay: float, asked: float) -> str:
    return (
        f"phi alone does not meet {asked:,.0f} MHz on a Lattice ECP5-85: {best:,.1f} MHz at best "
        f"in {tries} tries with ever shorter stages. The design is pipelined with delay_per_stage "
        f"{delay:g}, and its clock stays to be shown on the device itself."
    )
