"""The design as behavioural Verilog: sums, shifts and comparisons as they are defined.

No adder of it is shared or reordered, so it has nothing in common with what a compiler made of the
same integers. It is the reference of proofs for all inputs, and nothing to build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from anomaly_hep.fpga.chipscore import TABLE
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import ChannelBits, Layer

NAME = "behaviour"


def verilog(design: Design, circuit: Circuit) -> str:
    """Return a combinational module with the circuit's ports; the clock is not used."""
    body = _Body(_width(design))
    encoder, fields = design.integers, list(circuit.inputs)
    width = len(encoder.ports)
    total: list[list[str]] = []
    for slot in range(encoder.constituents):
        values = []
        for number, signal in enumerate(fields[slot * width : (slot + 1) * width]):
            shift = encoder.input.fraction - signal.type.fraction
            values.append(body.port(f"pin_{slot}_{number}", signal.low, signal.type, shift))
        values = body.kept(values, encoder.read, slot)
        for layer in encoder.phi:
            values = body.layer(layer, values, slot)
        total.append(values)
    last = encoder.phi[-1].output.fraction
    sums = [body.wire(" + ".join(terms)) for terms in zip(*total, strict=True)]
    pool = encoder.pool
    values = [body.rounded(v, pool.fraction - last, pool.lowest, pool.highest) for v in sums]
    values = body.kept(values, encoder.pooled, 0)
    if encoder.context:
        values = [body.wire(f"{v} <<< {encoder.joined.fraction - pool.fraction}") for v in values]
        first = encoder.constituents * width
        for number, signal in enumerate(fields[first : first + len(encoder.context)]):
            shift = encoder.joined.fraction - signal.type.fraction
            values.append(body.port(f"event_{number}", signal.low, signal.type, shift))
    for layer in (*encoder.rho, encoder.head):
        values = body.layer(layer, values, 0)
    results = {"score": _score(design, body, values)}
    results |= _decided(design, body, results["score"], circuit)
    high = {side: s[-1].low + s[-1].type.bits - 1 for side, s in (
        ("in", circuit.inputs), ("out", circuit.outputs))}  # fmt: skip
    for signal in circuit.outputs:
        if not signal.type.bits:
            continue
        # bits of the score that are always 0 are no wires
        drop = design.score.fraction - signal.type.fraction if signal.name == "score" else 0
        place = f"model_out[{signal.low + signal.type.bits - 1}:{signal.low}]"
        body.lines.append(f"assign {place} = {results[signal.name]} >>> {drop};")
    ports = f"input clk, input [{high['in']}:0] model_inp, output [{high['out']}:0] model_out"
    return "\n".join([f"module {NAME}({ports});", *body.lines, "endmodule\n"])


def _width(design: Design) -> int:
    """Return a width, with a sign, that holds every number of the design."""
    widest = max(layer.accumulator.bits for layer in design.integers.layers)
    shifts = max(
        layer.output.fraction - layer.accumulator.fraction for layer in design.integers.layers
    )
    bits = [
        widest + max(shifts, 0),
        design.integers.sum.bits,
        design.integers.joined.bits,
        design.score.type.bits,
    ]
    return max(bits) + 2


@dataclass
class _Body:
    """Lines of a module, whose wires are all signed and of one width."""

    width: int
    lines: list[str] = field(default_factory=list)

    def wire(self, expression: str) -> str:
        """Return the name of a new wire."""
        name = f"w{len(self.lines)}"
        self.lines.append(f"wire signed [{self.width - 1}:0] {name} = {expression};")
        return name

    def number(self, value: int) -> str:
        """Return a constant."""
        text = f"{self.width}'sd{abs(value)}"
        return f"(-{text})" if value < 0 else text

    def port(self, name: str, low: int, kind: FixedPoint, shift: int) -> str:
        """Return the wire of a field of the input, as an integer at the encoder's scale."""
        bits, signed = kind.bits, kind.signed
        if not bits:
            return self.wire(self.number(0))
        self.lines.append(
            f"wire {'signed ' if signed else ''}[{bits - 1}:0] {name} = "
            f"model_inp[{low + bits - 1}:{low}];"
        )
        # an unsigned wire would make the whole expression unsigned
        value = name if signed else f"$signed({{1'b0, {name}}})"
        return self.wire(f"{value} * {self.number(1 << shift)}")

    def rounded(self, value: str, places: int, lowest: int, highest: int) -> str:
        """Return value * 2^places, rounded down and saturated."""
        moved = self.wire(f"{value} <<< {places}" if places > 0 else f"{value} >>> {-places}")
        return self._limited(moved, lowest, highest)

    def _limited(self, value: str, lowest: int, highest: int) -> str:
        low, high = self.number(lowest), self.number(highest)
        return self.wire(f"{value} < {low} ? {low} : {value} > {high} ? {high} : {value}")

    def kept(self, values: list[str], kept: ChannelBits | None, slot: int) -> list[str]:
        """Return values with the bits that their channels keep."""
        if kept is None:
            return values
        parts = [_of_slot(part, slot) for part in (kept.dropped, kept.lowest, kept.highest)]
        return [
            self._limited(self.wire(f"({value} >>> {drop}) <<< {drop}"), low, high)
            for value, drop, low, high in zip(values, *parts, strict=True)
        ]

    def layer(self, layer: Layer, values: list[str], slot: int) -> list[str]:
        """Return the outputs of a layer."""
        weight = layer.weight[slot] if layer.weight.ndim > 2 else layer.weight
        places = layer.output.fraction - layer.accumulator.fraction
        found = []
        for row, bias in zip(weight.tolist(), _of_slot(layer.bias, slot), strict=True):
            terms = [f"{v} * {self.number(w)}" for v, w in zip(values, row, strict=True) if w]
            total = self.wire(" + ".join([*terms, self.number(bias)]))
            found.append(self.rounded(total, places, layer.output.lowest, layer.output.highest))
        return self.kept(found, layer.kept, slot)

    def table(self, entries: Sequence[int], index: str, lowest: int) -> str:
        """Return the entry of a table; the first is that of the index `lowest`."""
        name = f"t{len(self.lines)}"
        cases = " ".join(
            f"{self.number(lowest + place)}: {name} = {self.number(entry)};"
            for place, entry in enumerate(entries)
        )
        self.lines.append(
            f"reg signed [{self.width - 1}:0] {name}; "
            f"always @* case ({index}) {cases} default: {name} = {self.number(0)}; endcase"
        )
        return name


def _of_slot(values: Int64[np.ndarray, "*slot channel"], slot: int) -> list[int]:
    return (values[slot] if values.ndim > 1 else values).tolist()


def _score(design: Design, body: _Body, values: list[str]) -> str:
    score = design.score
    means = score.outputs if score.name == "squared" else score.outputs // 2
    square = score.fraction - 2 * score.latent.fraction
    terms = [f"(({value} * {value}) <<< {square})" for value in values[:means]]
    for value in values[means:]:
        entry = body.table(score.table().tolist(), value, score.latent.lowest)
        terms.append(f"({entry} <<< {score.fraction - TABLE.fraction})")
        terms.append(f"-({value} <<< {score.fraction - score.latent.fraction})")
    return body.wire(" + ".join(terms).replace("+ -", "- "))


def _decided(design: Design, body: _Body, score: str, circuit: Circuit) -> Mapping[str, str]:
    if design.table is None:
        return {"decision": body.wire(f"{score} > {body.number(design.threshold)}")}
    signal = circuit.inputs[-1]
    mass = body.port("mass", signal.low, signal.type, 0)
    levels = [body.table(column, mass, 0) for column in design.table.thresholds.T.tolist()]
    passed = " + ".join(f"({score} > {level} ? {body.number(1)} : {body.number(0)})"
                        for level in levels)  # fmt: skip
    quantile = body.wire(passed)
    decision = body.wire(f"{quantile} > {body.number(design.table.deciding)}")
    return {"quantile": quantile, "decision": decision}
