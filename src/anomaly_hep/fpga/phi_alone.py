"""phi on one constituent as a circuit of its own: a part of the design that small devices hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from alkaid.trace import to_pipeline
from jaxtyping import Int64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import rtl, tracing
from anomaly_hep.fpga.circuit import Circuit, signals
from anomaly_hep.fpga.fixedpoint import Integers
from anomaly_hep.fpga.integers import ChannelBits, ChipEvents, IntegerEncoder, Layer


def trace(encoder: IntegerEncoder, delay: float) -> Circuit:
    """Return the circuit of phi on the first constituent; its outputs are phi's channels.

    `delay` is the longest delay allowed between two registers, in alkaid's units. Where slots have
    weights of their own these are those of the first.
    """
    one = _first(encoder)
    inputs = tracing.variables(tracing.port_types(one))
    channels = tracing.phi(inputs.reshape(1, -1), one).ravel()
    logic = tracing.combinational(inputs, channels)
    outputs = signals([f"channel{n}" for n in range(len(channels))], logic.out_qint)
    if not any(signal.type.bits for signal in outputs):
        raise ExportError(
            "phi is 0 for every constituent, and no wire leaves it. Cure: train the encoder longer"
        )
    machine = to_pipeline(logic, latency_cutoff=delay, verbose=False)
    ports = signals([port.name for port in one.ports], logic.inp_qint)
    return Circuit((logic,), machine, ports, outputs, len(machine.logic))


def check(circuit: Circuit, encoder: IntegerEncoder, events: ChipEvents) -> None:
    """Raise ExportError unless the circuit gives phi's integers for each event's constituent."""
    one = _first(encoder)
    hardest = ChipEvents(events.inputs[:, :1], np.zeros_like(events.masses))
    found = rtl.interpret(circuit, one, hardest)
    expected, fraction = _phi(one, hardest.inputs), one.phi[-1].output.fraction
    wrong = np.zeros(len(events), bool)
    for signal, channel in zip(circuit.outputs, expected.T, strict=True):
        wrong |= found[signal.name] << (fraction - signal.type.fraction) != channel
    if wrong.any():
        raise ExportError(
            f"phi alone differs from the design's for {wrong.sum():,} of {len(wrong):,} "
            "constituents, so another logic would be routed. Cure: report this"
        )


def _phi(
    encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event 1 port"]
) -> Int64[np.ndarray, "event channel"]:
    values: Integers = inputs if encoder.read is None else encoder.read(inputs)
    for layer in encoder.phi:
        values = layer(values)
    return values[:, 0]


def _first(encoder: IntegerEncoder) -> IntegerEncoder:
    """Return the encoder of one constituent, with what belongs to the first slot."""
    phi = tuple(_of_first_slot(layer) for layer in encoder.phi)
    return replace(encoder, constituents=1, phi=phi, read=_bits_of_first_slot(encoder.read))


def _of_first_slot(layer: Layer) -> Layer:
    def first(values: Any, dimensions: int) -> Any:
        return values[:1] if values.ndim > dimensions else values

    return replace(
        layer,
        weight=first(layer.weight, 2),
        bias=first(layer.bias, 1),
        kept=_bits_of_first_slot(layer.kept),
    )


def _bits_of_first_slot(kept: ChannelBits | None) -> ChannelBits | None:
    if kept is None or kept.bits.ndim == 1:
        return kept
    return ChannelBits(kept.signed, kept.bits[:1], kept.dropped[:1])
