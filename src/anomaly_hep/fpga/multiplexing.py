"""Time multiplexing: a few copies of phi take the constituents of one event in several clocks.

`start` is high in the clock in which the first part of an event is at the ports; the other parts
follow in the next clocks, without a gap. A result stands at the outputs where `valid` is high.
Between events there may be any number of clocks. `rst` drops the events that are inside: it clears
the chain from `start` to `valid`, and the first part of the next event starts the sum anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from alkaid.stateful import FSM, Conn, Signal
from alkaid.trace import to_pipeline
from jaxtyping import Float64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import tracing
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import MASS, Circuit, refuse_constants, signals
from anomaly_hep.fpga.design_settings import Output, check_cycles
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.masstable import MassTable

_BIT = FixedPoint(False, 1, 0)


class MultiplexedCircuit(Circuit):
    """A circuit of three blocks: phi of a part of the event, the sum of the parts, and the rest."""

    @property
    def contract(self) -> dict[str, Any]:
        """What ports.json says about the signals beside the data."""
        count = sum(field.name.startswith("0.") for field in self.inputs)
        together = (len(self.inputs) - self.has_mass) // count
        return {
            "cycles": self.cycles,
            "constituents_per_clock": together,
            "start": "1 bit in: high in the clock of an event's first part; the other parts follow "
            "in the next clocks, and then the next event, at once or later",
            "valid": "1 bit out: high in the one clock in which model_out is an event's result, "
            "latency_in_clocks after its start was taken over",
            "rst": "1 bit in, synchronous, high: drops all events that are inside; may be left low "
            "for ever, as start begins each sum anew",
            "parts": f"k clocks after start, n.NAME is NAME of constituent {together} * k + n"
            + f"; {MASS} is read with the last part" * self.has_mass,
        }

    def predict(
        self, values: Float64[np.ndarray, "clock input"]
    ) -> Float64[np.ndarray, "event output"]:
        """Return the outputs of alkaid's interpreter, one for the parts of each event."""
        part, add, rest = self.logic
        summed = len(rest.inp_qint) - self.has_mass
        read = [place for place in range(summed) if _bits(rest.inp_qint[place])]
        parts = part.predict(values)
        parts = parts.reshape(-1, self.cycles, parts.shape[1])
        total = np.zeros((len(parts), len(read)))
        for number in range(self.cycles):
            first = np.full((len(parts), 1), float(number == 0))
            total = add.predict(np.hstack([first, parts[:, number, : len(read)], total]))
        inputs = np.zeros((len(parts), len(rest.inp_qint)))
        inputs[:, read] = total
        if parts.shape[2] > len(read):  # the mass comes with the last part
            inputs[:, -1] = parts[:, -1, -1]
        return np.asarray(rest.predict(inputs), np.float64)


def trace(
    encoder: IntegerEncoder,
    score: ChipScore,
    threshold: int | MassTable,
    outputs: Sequence[Output],
    delay: float,
    cycles: int,
) -> MultiplexedCircuit:
    """Return the circuit in which an event takes so many clocks; see `rtl.trace`.

    Raises ExportError where slots have weights or bits of their own: phi cannot be shared then.
    Raises ConfigError where the constituents are no multiple of `cycles`.
    """
    count = _constituents(encoder, cycles)
    table = threshold if isinstance(threshold, MassTable) else None
    masses = [] if table is None else [table.mass]
    types = tracing.port_types(encoder)[: count * len(encoder.ports)]
    inputs = tracing.variables(types + masses)
    values = inputs[: len(types)].reshape(count, len(encoder.ports))
    sums = np.sum(tracing.phi(values, encoder), axis=0)
    changing = [place for place, value in enumerate(sums) if value.low != value.high]
    if not changing:
        refuse_constants(outputs, [])
    intervals = [value.qint for value in sums[changing]]
    totals = tracing.between([_times(interval, cycles) for interval in intervals])
    mass = tracing.variables(masses)[0] if masses else None
    whole = [cycles * value.low for value in sums]
    for place, total in zip(changing, totals, strict=True):
        whole[place] = total
    rest_inputs = tracing.array([*totals, *([mass] if masses else [])], inputs)
    latents = tracing.latents(tracing.array(whole, inputs), encoder)
    made = tracing.results(latents, score, threshold, mass, outputs)
    rest = tracing.combinational(rest_inputs, made)
    found = signals(outputs, rest.out_qint)
    read = [n for n in range(len(changing)) if _bits(rest.inp_qint[n])]
    refuse_constants(outputs, found if read else [])
    leaving = [sums[changing[n]] for n in read]
    leaving += [inputs[-1]] * bool(masses and _bits(rest.inp_qint[-1]))
    part = tracing.combinational(inputs, tracing.array(leaving, inputs))
    add = accumulator([intervals[n] for n in read], cycles)
    blocks = [list(to_pipeline(b, latency_cutoff=delay, verbose=False).logic.values())
              for b in (part, rest)]  # fmt: skip
    names = [f"{n}.{port.name}" for n in range(count) for port in encoder.ports]
    return MultiplexedCircuit(
        (part, add, rest),
        _machine(blocks[0], add, blocks[1], read, cycles),
        signals([*names, *[MASS] * len(masses)], part.inp_qint),
        found,
        len(blocks[0]) + cycles + len(blocks[1]),
        cycles,
    )


def accumulator(parts: Sequence[Any], cycles: int) -> Any:
    """Return the logic that adds a part to the sum, or starts it: first, parts, sums to sums."""
    (first,) = tracing.variables([_BIT])
    part = tracing.between(parts)
    total = tracing.between([_times(interval, cycles) for interval in parts])
    kept = tracing.array([first.msb_mux(0.0, value) for value in total], total)
    # between events the sum goes on: like the register, it wraps
    added = [new.quantize(*old.kif) for new, old in zip(part + kept, total, strict=True)]
    inputs = tracing.array([first, *part, *total], total)
    return tracing.combinational(inputs, tracing.array(added, total))


def _times(interval: Any, cycles: int) -> tuple[float, float, float]:
    """Return the interval of the sum of 1 to `cycles` parts."""
    low, high, step = interval
    return min(low, cycles * low), max(high, cycles * high), step


def _constituents(encoder: IntegerEncoder, cycles: int) -> int:
    """Return the number of constituents that arrive in a clock."""
    if encoder.context:
        names = ", ".join(port.name for port in encoder.context)
        raise ExportError(
            f"fpga.cycles={cycles}: {names} of the whole event have no clock "
            "to arrive in. Cure: fpga.cycles=1"
        )
    kept = [encoder.read, *(layer.kept for layer in encoder.phi)]
    if any(layer.weight.ndim > 2 or layer.bias.ndim > 1 for layer in encoder.phi) or any(
        bits is not None and bits.bits.ndim > 1 for bits in kept
    ):
        raise ExportError(
            f"fpga.cycles={cycles} shares phi among constituents, and here each slot has weights "
            "or bits of its own. Cure: fpga.cycles=1, or fpga.order_aware=false"
        )
    check_cycles(encoder.constituents, cycles)
    return encoder.constituents // cycles


def _machine(
    part: Sequence[Any], add: Any, rest: Sequence[Any], read: Sequence[int], cycles: int
) -> Any:
    """Return the registers and connections between the stages of the blocks."""
    rst, start = (Signal(name, True, _BITS, reg=False, mode="r") for name in ("rst", "start"))
    latency = len(part) + cycles + len(rest)
    chain = [Signal(f"start{n}", False, _BITS, rst_if=rst, rst_to=(0,)) for n in range(latency)]
    chain.append(Signal("valid", True, _BITS, rst_if=rst, rst_to=(0,), mode="w"))
    conns = [Conn(*pair) for pair in zip([start, *chain], chain, strict=False)]
    source = Signal("model_inp", True, _kifs(part[0].inp_qint), reg=False, mode="r")
    logic = {}
    for number, stage in enumerate(part):
        register = Signal(f"part{number}_inp", False, _kifs(stage.inp_qint))
        into, out = _ends(f"part{number}", stage)
        conns += [Conn(source, register), Conn(register, into)]
        logic[f"part{number}"], source = stage, out
    summed = Signal("part_sum", False, _kifs(part[-1].out_qint))
    conns.append(Conn(source, summed))
    count = len(read)
    into, out = _ends("accumulate", add)
    total = Signal("total", False, _kifs(add.out_qint), rst_to=(0.0,) * count)
    conns += [
        Conn(chain[len(part)], into[0:1]),
        Conn(summed[0:count], into[1 : count + 1]),
        Conn(total, into[count + 1 : 2 * count + 1]),
        Conn(out, total),
    ]
    logic["accumulate"] = add
    into, out = _ends("rest0", rest[0])
    conns += [Conn(total[n : n + 1], into[place : place + 1]) for n, place in enumerate(read)]
    if summed.size > count:
        mass = Signal("mass", False, _kifs(part[-1].out_qint[-1:]))
        last = into.size - 1
        conns += [Conn(summed[count : count + 1], mass), Conn(mass, into[last : last + 1])]
    logic["rest0"], source = rest[0], out
    for number, stage in enumerate(rest[1:], 1):
        register = Signal(f"rest{number}_inp", False, _kifs(stage.inp_qint))
        into, out = _ends(f"rest{number}", stage)
        conns += [Conn(source, register), Conn(register, into)]
        logic[f"rest{number}"], source = stage, out
    result = Signal("model_out", True, _kifs(rest[-1].out_qint), mode="w")
    return FSM(logic, (*conns, Conn(source, result)))


_BITS = ((0, 1, 0),)


def _kifs(intervals: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(interval.kif for interval in intervals)


def _bits(interval: Any) -> int:
    return int(sum(interval.kif))


def _ends(name: str, stage: Any) -> tuple[Any, Any]:
    """Return the wires before and behind a block, under the names by which alkaid finds it."""
    return (
        Signal(f"INTERNAL_{name}_inp", False, _kifs(stage.inp_qint), reg=False, mode="r"),
        Signal(f"INTERNAL_{name}_outp", False, _kifs(stage.out_qint), reg=False, mode="w"),
    )
