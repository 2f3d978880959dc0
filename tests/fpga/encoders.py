"""Small integer encoders with random integers, and the inputs that are hardest to get right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from anomaly_hep.fpga.integers import ChannelBits, ChipEvents, IntegerEncoder, Layer, Port, joined
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.models.fits.decorrelated import MassQuantile

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)


def random_encoder(
    seed: int = 0,
    *,
    constituents: int = 3,
    ports: int = 3,
    phi: Sequence[int] = (5, 4),
    rho: Sequence[int] = (5,),
    outputs: int = 2,
    weight_bits: int = 4,
    activation_bits: int = 5,
    input_bits: int = 5,
    output_bits: int = 6,
    phi_bias: bool = False,
    finer: int | None = None,
    context: int = 0,
) -> IntegerEncoder:
    """An encoder whose scales let roundings drop bits and saturate, at times a bit too far.

    finer: bits behind the point that the outputs have more than the head's accumulator; where it is
    None they have what suits its sums. context: quantities of the whole event.
    """
    random = np.random.default_rng(seed)
    inputs = FixedPoint(True, input_bits, input_bits - 1)
    activation = FixedPoint(False, activation_bits, 0)
    values = random.integers(inputs.lowest, inputs.highest + 1, (200, constituents, ports))
    layers: list[Layer] = []
    kind = inputs
    for number, width in enumerate(phi):
        layer = _layer(
            random, f"phi.{number}", width, weight_bits, values, kind, activation, bias=phi_bias
        )
        layers.append(layer)
        values, kind = layer(values), layer.output
    pool = FixedPoint(False, activation_bits + 2, kind.fraction - int(random.integers(2)))
    values, kind = pool.requantize(values.sum(1), kind.fraction), pool
    if context:
        extra = random.integers(inputs.lowest, inputs.highest + 1, (len(values), context))
        kind = joined(pool, inputs)
        both = (values, pool), (extra, inputs)
        parts = [part << (kind.fraction - own.fraction) for part, own in both]
        values = np.concatenate(parts, axis=1)
    for number, width in enumerate(rho):
        layer = _layer(
            random, f"rho.{number}", width, weight_bits, values, kind, activation, bias=True
        )
        layers.append(layer)
        values, kind = layer(values), layer.output
    latent = FixedPoint(True, output_bits, 0)
    head = _layer(random, "head", outputs, weight_bits, values, kind, latent, bias=True)
    if finer is not None:
        head = replace(head, output=replace(latent, fraction=head.accumulator.fraction + finer))
    return IntegerEncoder(
        constituents,
        tuple(Port(f"p{i}", 1.0, flag=False) for i in range(ports)),
        inputs,
        tuple(layers[: len(phi)]),
        pool,
        tuple(layers[len(phi) :]),
        head,
        context=tuple(Port(f"of_event_{i}", 1.0, flag=False) for i in range(context)),
    )


def with_latents(encoder: IntegerEncoder, fraction: int) -> IntegerEncoder:
    """The same integers, of which the last bit of the outputs is 2^-fraction."""
    head = encoder.head
    output = replace(head.output, fraction=fraction)
    own = head.weight_fraction + fraction - head.output.fraction
    return replace(encoder, head=replace(head, weight_fraction=own, output=output))


def _layer(
    random: np.random.Generator,
    name: str,
    width: int,
    weight_bits: int,
    values: Integers,
    inputs: FixedPoint,
    output: FixedPoint,
    *,
    bias: bool,
) -> Layer:
    """A layer whose output suits the sums that `values` give."""
    high = 1 << (weight_bits - 1)
    weight = random.integers(-high, high, (width, values.shape[-1]))
    # sums that are never positive leave nothing behind a ReLU, and a dead network compares equal
    sums = (values @ weight.T).reshape(-1, width)
    weight[sums.max(0) < -sums.min(0)] *= -1
    usual = int(np.abs(sums).max()) + 2
    offset = (
        random.integers(-usual // 4, usual // 4 + 1, width) if bias else np.zeros(width, np.int64)
    )
    fraction = int(random.integers(-1, weight_bits + 1))
    layer = Layer(name, weight, fraction, offset, inputs, output)
    drop = int(np.ceil(np.log2(usual / output.highest))) - int(random.integers(3))
    return replace(layer, output=replace(output, fraction=layer.accumulator.fraction - drop))


def with_random_channels(encoder: IntegerEncoder, seed: int = 1) -> IntegerEncoder:
    """The encoder whose ports, channels and sums keep random bits of their own, at times none."""
    random = np.random.default_rng(seed)

    def bits(kind: FixedPoint, *shape: int) -> ChannelBits:
        kept = random.integers(kind.bits // 2, kind.bits + 1, shape)
        kept = np.where(random.random(shape) < 0.15, random.integers(0, 2, shape), kept)
        return ChannelBits(kind.signed, kept, random.integers(0, kind.bits - kept + 1))

    def changed(layer: Layer) -> Layer:
        return replace(layer, kept=bits(layer.output, *layer.weight.shape[:-1]))

    return replace(
        encoder,
        phi=tuple(map(changed, encoder.phi)),
        rho=tuple(map(changed, encoder.rho)),
        head=changed(encoder.head),
        read=bits(encoder.input, len(encoder.ports)),
        pooled=bits(encoder.pool, encoder.phi[-1].weight.shape[-2]),
    )


def by_slot(encoder: IntegerEncoder, seed: int = 1) -> IntegerEncoder:
    """The encoder whose constituents have weights and biases of their own, some of them 0."""
    random = np.random.default_rng(seed)

    def changed(layer: Layer) -> Layer:
        shape = (encoder.constituents, *layer.weight.shape)
        weight = layer.weight + random.integers(-1, 2, shape)
        weight[random.random(shape) < 0.3] = 0
        bias = layer.bias + random.integers(-1, 2, shape[:-1]) * bool(layer.bias.any())
        return replace(layer, weight=weight, bias=bias)

    return replace(encoder, phi=tuple(map(changed, encoder.phi)))


def with_one_weight_changed(encoder: IntegerEncoder, rank: int = 0) -> IntegerEncoder:
    """The encoder with one weight of phi's last layer a step nearer to zero.

    rank: which one, by falling size: where a unit is always 0 the largest may not matter.
    """
    layer = encoder.phi[-1]
    weight = layer.weight.copy()
    place = np.unravel_index(np.argsort(-np.abs(weight), axis=None)[rank], weight.shape)
    weight[place] -= np.sign(weight[place])
    return replace(encoder, phi=(*encoder.phi[:-1], replace(layer, weight=weight)))


def hard_inputs(encoder: IntegerEncoder, count: int = 500, seed: int = 1) -> Integers:
    """Nothing at all, both ends of the range everywhere and in turns, and random integers."""
    random = np.random.default_rng(seed)
    shape = (encoder.constituents, len(encoder.ports))
    low, high = encoder.input.lowest, encoder.input.highest
    places = np.arange(np.prod(shape)).reshape(shape)
    edges = [
        np.zeros(shape, np.int64),
        np.full(shape, low),
        np.full(shape, high),
        np.where(places % 2, low, high),
        np.where(places % 2, high, low),
        np.where(places == 0, high, 0),
        np.where(places == places.max(), low, 0),
    ]
    full = random.integers(low, high + 1, (count, *shape))
    small = random.integers(max(low, -2), min(high, 2) + 1, (count, *shape))
    # events with fewer particles: zeros behind them
    short = random.integers(low, high + 1, (count, *shape))
    filled = random.integers(0, encoder.constituents + 1, count)
    short[np.arange(encoder.constituents) >= filled[:, None]] = 0
    return np.concatenate([edges, full, small, short])


def hard_context(encoder: IntegerEncoder, count: int, seed: int = 3) -> Integers:
    """Quantities of the whole event, at the ends of their range first."""
    low, high = encoder.input.lowest, encoder.input.highest
    random = np.random.default_rng(seed)
    values = random.integers(low, high + 1, (count, len(encoder.context)))
    values[0], values[1] = low, high
    return values


def without_mass(inputs: Integers, context: Integers | None = None) -> ChipEvents:
    """Events of a chip that has no port for the mass."""
    return ChipEvents(inputs, np.zeros(len(inputs), np.int64), context)


def random_table(
    scores: Integers, seed: int = 1, *, bits: int = 3, levels: int = 3, deciding: int = 1
) -> MassTable:
    """A table for a mass in steps of 8 GeV, whose thresholds are scores that occur."""
    random = np.random.default_rng(seed)
    thresholds = np.sort(random.choice(scores, (2**bits, levels)), axis=1)
    shares = tuple((2.0 ** -np.arange(1, levels + 1)).tolist())
    fit = MassQuantile(score="score", mass="mass")
    return MassTable("mass", FixedPoint(False, bits, -3), shares, deciding, thresholds, fit, 1000)


def with_masses(inputs: Integers, table: MassTable, seed: int = 2) -> ChipEvents:
    """Events with random masses, of which the first and the last are at the ends."""
    random = np.random.default_rng(seed)
    masses = random.integers(0, table.mass.highest + 1, len(inputs))
    masses[0], masses[-1] = 0, table.mass.highest
    return ChipEvents(inputs, masses)


def with_one_threshold_changed(
    table: MassTable, scores: Integers, masses: Integers
) -> tuple[MassTable, int]:
    """The table with one threshold lower by a last bit, at which an event sits; and that event."""
    for event, level in np.argwhere(scores[:, None] == table.thresholds[masses]).tolist():
        row = table.thresholds[masses[event]]
        if level == 0 or row[level - 1] < row[level]:  # they still ascend
            thresholds = table.thresholds.copy()
            thresholds[masses[event], level] -= 1
            return replace(table, thresholds=thresholds), event
    raise AssertionError("no event sits at a threshold")


def events(encoder: IntegerEncoder, count: int, seed: int = 1) -> Integers:
    """So many of the hardest inputs: none, both ends of the range, turns of them, then random."""
    return hard_inputs(encoder, count, seed)[:count]
