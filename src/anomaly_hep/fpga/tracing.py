"""The arithmetic of encoder, score and decision in alkaid's variables, exact to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from alkaid.trace import FVArray, HWConfig
from alkaid.trace import trace as traced
from alkaid.trace.ops import quantize, relu
from alkaid.trace.passes import optimize

from anomaly_hep.fpga.chipscore import TABLE, ChipScore
from anomaly_hep.fpga.design_settings import Output
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import ChannelBits, IntegerEncoder, Layer
from anomaly_hep.fpga.masstable import MassTable

# how far alkaid may go beyond the shallowest adder tree to save adders
_SOLVER = {"hard_dc": 2}
# alkaid's own delays: an adder 1.1 units, and each bit of its carry chain 0.025 more
_COST_MODEL = HWConfig(1, 1, -1)


def combinational(inputs: FVArray, outputs: FVArray) -> Any:
    """Return the logic from inputs to outputs.

    Two things that alkaid offers are left out. Its second trace narrows the range of a number that
    chooses by its highest bit, which then is another bit: alkaid 0.8.2 computes wrong values after
    it. And three numbers in one adder count on carry chains that yosys does not make: 3,412 LUTs
    were estimated for a network that takes 4,905; with plain adders 4,467, and it takes 4,538.
    """
    return optimize(traced(inputs, outputs, optimize=False), retrace=False)


def variables(types: Sequence[FixedPoint]) -> FVArray:
    """Return one variable of each type."""
    if not types:
        return FVArray(np.array([]), _SOLVER, _COST_MODEL)
    bits = (np.array(column) for column in zip(*map(kif, types), strict=True))
    return FVArray.from_kif(*bits, hwconf=_COST_MODEL, solver_options=_SOLVER)


def between(intervals: Sequence[Any], late: Any = 0.0) -> FVArray:
    """Return one variable for each interval (lowest, highest, step), which arrives so late."""
    low, high, step = np.array([tuple(interval) for interval in intervals]).T
    return FVArray.from_lhs(low, high, step, _COST_MODEL, late, solver_options=_SOLVER)


def array(values: Sequence[Any], like: FVArray) -> FVArray:
    """Return variables and constants as one array."""
    return FVArray(np.array(values), like.solver_options, hwconf=like.hwconf)


def port_types(encoder: IntegerEncoder) -> list[FixedPoint]:
    """Return the type of each input of each constituent: its bits that are read.

    A flag is one wire that stands for 1/2.
    """
    shape = (encoder.constituents, len(encoder.ports))
    if encoder.read is None:
        return [_port_type(encoder, port, 1, 0) for port in range(shape[1])] * shape[0]
    bits = np.broadcast_to(encoder.read.bits, shape)
    dropped = np.broadcast_to(encoder.read.dropped, shape)
    return [
        _port_type(encoder, port, int(number), int(dropped[constituent, port]))
        for (constituent, port), number in np.ndenumerate(bits)
    ]


def _port_type(encoder: IntegerEncoder, port: int, bits: int, dropped: int) -> FixedPoint:
    if not bits:
        return FixedPoint(False, 0, 0)
    if encoder.ports[port].flag:
        return FixedPoint(False, 1, 1)
    kind = encoder.input
    return replace(kind, bits=kind.bits - dropped, fraction=kind.fraction - dropped)


def phi(values: FVArray, encoder: IntegerEncoder) -> FVArray:
    """Return phi of each constituent: [constituent, port] to [constituent, channel]."""
    if encoder.read is not None:
        values = _of_channels(values, encoder.input, encoder.read)
    for layer in encoder.phi:
        values = _layer(values, layer)
    return values


def event_types(encoder: IntegerEncoder, table: MassTable | None) -> list[FixedPoint]:
    """Return the types of what is known of the whole event: its context, then the mass."""
    return [encoder.input] * len(encoder.context) + ([] if table is None else [table.mass])


def latents(sums: FVArray, encoder: IntegerEncoder, event: FVArray) -> FVArray:
    """Return the latent vector for the sums over constituents, and what `event_types` names."""
    values = _rounded(sums, encoder.pool, encoder.pooled)
    context = event[: len(encoder.context)]
    values = np.concatenate([values, context]) if encoder.context else values
    for layer in (*encoder.rho, encoder.head):
        values = _layer(values, layer)
    return values


def score_of(latent: FVArray, score: ChipScore) -> Any:
    """Return the score, as one variable."""
    if score.name == "squared":
        return np.sum(latent * latent, axis=0)
    dimensions = score.outputs // 2
    mean, log_variance = latent[:dimensions], latent[dimensions:]
    exponential = quantize(np.exp(log_variance), *kif(TABLE), "SAT", "TRN")
    return np.sum(mean * mean, axis=0) + np.sum(exponential - log_variance, axis=0)


def results(
    sums: FVArray,
    encoder: IntegerEncoder,
    score: ChipScore,
    threshold: int | MassTable,
    event: FVArray,
    outputs: Sequence[Output],
) -> FVArray:
    """Return the outputs for the sums over constituents, and what `event_types` names."""
    total = score_of(latents(sums, encoder, event), score)
    mass = event[-1] if isinstance(threshold, MassTable) else None
    available = {"score": total, **decided(total, score, threshold, mass)}
    return array([available[name] for name in outputs], sums)


def decided(total: Any, score: ChipScore, threshold: int | MassTable, mass: Any) -> dict[str, Any]:
    """Return the decision, and with a table of thresholds by `mass` the quantile before it."""
    if not isinstance(threshold, MassTable):
        return {"decision": total > threshold * 2.0**-score.fraction}
    columns = threshold.thresholds.T * 2.0**-score.fraction
    passes = [total > mass.lookup(column) for column in columns]
    quantile = passes[0]
    for passed in passes[1:]:
        quantile = quantile + passed
    return {"quantile": quantile, "decision": passes[threshold.deciding]}


def kif(number: FixedPoint) -> tuple[int, int, int]:
    """Return a type as alkaid writes it: sign bit, integer bits and fractional bits."""
    return int(number.signed), number.bits - number.signed - number.fraction, number.fraction


def _layer(values: FVArray, layer: Layer) -> FVArray:
    columns = np.swapaxes(layer.weight, -1, -2) * 2.0**-layer.weight_fraction
    if values.ndim == 1:
        total = _product(values, columns)
    else:  # each slot has its weights, or all have the same
        each = np.broadcast_to(columns, (len(values), *columns.shape[-2:]))
        rows = [list(_product(*pair)) for pair in zip(values, each, strict=True)]
        total = array(rows, values)
    if layer.bias.any():
        total = total + layer.bias * 2.0**-layer.accumulator.fraction
    return _rounded(total, layer.output, layer.kept)


def _product(values: FVArray, weight: Any) -> FVArray:
    # alkaid does not multiply where all that changes has weight 0
    low, high = (np.array([getattr(value, end) for value in values]) for end in ("low", "high"))
    if weight[low != high].any():
        return values @ weight
    return array((low @ weight).tolist(), values)


def _rounded(values: FVArray, number: FixedPoint, kept: ChannelBits | None) -> FVArray:
    """Return values of a type, or of those of its bits that each channel keeps."""
    if kept is None:
        return _quantized(values, number.signed, *kif(number)[1:])
    fits = kept.signed == number.signed and (kept.bits + kept.dropped <= number.bits).all()
    # the bits that are kept saturate and round, or else the whole type has to first
    return _of_channels(values if fits else _rounded(values, number, None), number, kept)


def _of_channels(values: FVArray, number: FixedPoint, kept: ChannelBits) -> FVArray:
    """Return the bits that each channel keeps; a channel of 0 bits becomes the constant 0."""
    fraction = number.fraction - kept.dropped
    sign = kept.signed & (kept.bits > 0)
    return _quantized(values, kept.signed, kept.bits - sign - fraction, fraction, sign)


def _quantized(values: FVArray, signed: bool, whole: Any, fraction: Any, sign: Any = None) -> Any:
    """Return values rounded down and saturated."""
    values = values if signed else relu(values)
    return quantize(values, signed if sign is None else sign, whole, fraction, "SAT", "TRN")
