"""Time multiplexing: a few copies of phi take the constituents of one event in several clocks.

`start` is high in the clock in which the first part of an event is at the ports; the other parts
follow in the next clocks, without a gap. A result stands at the outputs where `valid` is high.
Between events there may be any number of clocks. `rst` drops the events that are inside: it clears
the chain from `start` to `valid`, and the first part of the next event starts the sum anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from alkaid.stateful import FSM, Conn
from alkaid.stateful import Signal as Wire
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


@dataclass(frozen=True, eq=False)
class MultiplexedCircuit(Circuit):
    """A circuit of three blocks: phi of a part of the event, the sum of the parts, and the rest.

    `together` constituents arrive in a clock.
    """

    together: int = 1

    @property
    def contract(self) -> dict[str, Any]:
        """What ports.json says about the signals beside the data."""
        whole = [field.name for field in self.inputs if not re.match(r"\d+\.", field.name)]
        return {
            "cycles": self.cycles,
            "constituents_per_clock": self.together,
            "start": "1 bit in: high in the clock of an event's first part; the other parts follow "
            "in the next clocks, and then the next event, at once or later",
            "valid": "1 bit out: high in the one clock in which model_out is an event's result, "
            "latency_in_clocks after its start was taken over",
            "rst": "1 bit in, synchronous, high: drops all events that are inside; may be left low "
            "for ever, as start begins each sum anew",
            "parts": f"k clocks after start, n.NAME is NAME of constituent {self.together} * k + n"
            + f"; with the last part alone is read: {', '.join(whole)}" * bool(whole),
        }

    def predict(
        self, values: Float64[np.ndarray, "clock input"]
    ) -> Float64[np.ndarray, "event output"]:
        """Return the outputs of alkaid's interpreter, one for the parts of each event."""
        part, add, rest = self.logic
        summed = len(add.out_qint)
        parts = part.predict(values)
        parts = parts.reshape(-1, self.cycles, parts.shape[1])
        total = np.zeros((len(parts), summed))
        for number in range(self.cycles):
            first = np.full((len(parts), 1), float(number == 0))
            total = add.predict(np.hstack([first, parts[:, number, :summed], total]))
        inputs = np.zeros((len(parts), len(rest.inp_qint)))
        # what is known of the whole event comes with the last part
        inputs[:, _read(rest)] = np.hstack([total, parts[:, -1, summed:]])
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
    together = _constituents(encoder, cycles)
    table = threshold if isinstance(threshold, MassTable) else None
    types = tracing.port_types(encoder)[: together * len(encoder.ports)]
    inputs = tracing.variables(types + tracing.event_types(encoder, table))
    values = inputs[: len(types)].reshape(together, len(encoder.ports))
    sums = np.sum(tracing.phi(values, encoder), axis=0)
    changing = [place for place, value in enumerate(sums) if value.low != value.high]
    if not changing:
        raise ExportError(_without_particles(cycles))
    intervals = [value.qint for value in sums[changing]]
    totals = tracing.between([_times(interval, cycles) for interval in intervals])
    event = tracing.variables(tracing.event_types(encoder, table))
    whole = [cycles * value.low for value in sums]
    for place, total in zip(changing, totals, strict=True):
        whole[place] = total
    made = tracing.results(tracing.array(whole, inputs), encoder, score, threshold, event, outputs)
    rest = tracing.combinational(tracing.array([*totals, *event], inputs), made)
    found = signals(outputs, rest.out_qint)
    read = [place for place in _read(rest) if place < len(changing)]
    refuse_constants(outputs, found)
    if not read:
        raise ExportError(_without_particles(cycles))
    add = accumulator([intervals[place] for place in read], cycles)
    # the sums, and behind them what goes through to the rest
    leaving = [*sums[changing], *inputs[len(types) :]]
    leaving = tracing.array([leaving[place] for place in _read(rest)], inputs)
    part = tracing.combinational(inputs, leaving)
    before, behind = (
        list(to_pipeline(block, latency_cutoff=delay, verbose=False).logic.values())
        for block in (part, rest)
    )
    names = [f"{n}.{port.name}" for n in range(together) for port in encoder.ports]
    names += [port.name for port in encoder.context] + [MASS] * (table is not None)
    return MultiplexedCircuit(
        (part, add, rest),
        _machine(before, add, behind, cycles),
        signals(names, part.inp_qint),
        found,
        len(before) + cycles + len(behind),
        cycles,
        together,
    )


def _without_particles(cycles: int) -> str:
    return (
        f"fpga.cycles={cycles} adds up parts of an event, and no output depends on a constituent. "
        "Cure: train the encoder longer, or fpga.cycles=1"
    )


def _read(block: Any) -> list[int]:
    """Return the places of the inputs that a block reads."""
    return [place for place, interval in enumerate(block.inp_qint) if sum(interval.kif)]


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


def _machine(part: Sequence[Any], add: Any, rest: Sequence[Any], cycles: int) -> Any:
    """Return the registers and connections between the stages of the blocks."""
    rst, start = (Wire(name, True, _BITS, reg=False, mode="r") for name in ("rst", "start"))
    latency = len(part) + cycles + len(rest)
    chain = [Wire(f"start{n}", False, _BITS, rst_if=rst, rst_to=(0,)) for n in range(latency)]
    chain.append(Wire("valid", True, _BITS, rst_if=rst, rst_to=(0,), mode="w"))
    conns = [Conn(*pair) for pair in zip([start, *chain], chain, strict=False)]
    arriving = Wire("model_inp", True, _kifs(part[0].inp_qint), reg=False, mode="r")
    ends = {name: _ends(name, stage) for name, stage in _named(part, rest, add).items()}
    wire = arriving
    for number, stage in enumerate(part):
        wire = _registered(wire, f"part{number}", stage, ends, conns)
    summed = Wire("part_sum", False, _kifs(part[-1].out_qint))
    count = len(add.out_qint)
    total = Wire("total", False, _kifs(add.out_qint), rst_to=(0.0,) * count)
    into, out = ends["accumulate"]
    conns += [
        Conn(wire, summed),
        Conn(chain[len(part)], into[0:1]),
        Conn(summed[0:count], into[1 : count + 1]),
        Conn(total, into[count + 1 : 2 * count + 1]),
        Conn(out, total),
    ]
    into, wire = ends["rest0"]
    places = _read(rest[0])
    conns += [Conn(total[n : n + 1], into[p : p + 1]) for n, p in enumerate(places[:count])]
    if summed.size > count:
        known = Wire("of_event", False, _kifs(part[-1].out_qint[count:]))
        conns.append(Conn(summed[count : summed.size], known))
        conns += [Conn(known[n : n + 1], into[p : p + 1]) for n, p in enumerate(places[count:])]
    for number, stage in enumerate(rest[1:], 1):
        wire = _registered(wire, f"rest{number}", stage, ends, conns)
    result = Wire("model_out", True, _kifs(rest[-1].out_qint), mode="w")
    return FSM(_named(part, rest, add), (*conns, Conn(wire, result)))


def _named(part: Sequence[Any], rest: Sequence[Any], add: Any) -> dict[str, Any]:
    stages = {f"part{number}": stage for number, stage in enumerate(part)}
    stages["accumulate"] = add
    return stages | {f"rest{number}": stage for number, stage in enumerate(rest)}


def _registered(
    wire: Any, name: str, stage: Any, ends: Mapping[str, tuple[Any, Any]], conns: list[Any]
) -> Any:
    """Connect a wire to a stage behind a register, and return the wires behind the stage."""
    register = Wire(f"{name}_inp", False, _kifs(stage.inp_qint))
    into, out = ends[name]
    conns += [Conn(wire, register), Conn(register, into)]
    return out


_BITS = ((0, 1, 0),)


def _kifs(intervals: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(interval.kif for interval in intervals)


def _ends(name: str, stage: Any) -> tuple[Any, Any]:
    """Return the wires before and behind a block, under the names by which alkaid finds it."""
    return (
        Wire(f"INTERNAL_{name}_inp", False, _kifs(stage.inp_qint), reg=False, mode="r"),
        Wire(f"INTERNAL_{name}_outp", False, _kifs(stage.out_qint), reg=False, mode="w"),
    )
