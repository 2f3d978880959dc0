"""From particles in GeV and radians to the integers at the ports, operation by operation.

This is the arithmetic that the C++ header repeats: quantity / per, minus center, times scale, each
rounded to the quantity's own type, the product to float32; clipped as the network's features are;
then, exactly, rounded down to an integer and saturated. Logarithms differ between libraries, so an
integer of a logarithm is the number of thresholds that the quantity itself reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped

from anomaly_hep.data.features import Feature, Formula, particle_types
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.quantities import Quantities, log
from anomaly_hep.data.reading import Reading
from anomaly_hep.evaluate.scores import usable
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.types import Events

TYPE = "type"
_CHUNK = 4096  # events read at a time


@dataclass(frozen=True)
class Column:
    """One feature on its way to a port; `range` is that of its port, in the network's units."""

    feature: Feature
    formula: Formula
    range: float

    def network(self, values: Shaped[np.ndarray, " particle"]) -> Float32[np.ndarray, " particle"]:
        """Return the feature in the network's units, centred, scaled and clipped."""
        column = np.empty(len(values), np.float32)
        np.subtract(values, self.feature.center, out=column, casting="same_kind")
        column *= np.float32(self.feature.scale)
        if self.feature.clip is not None:
            limit = np.float32(self.feature.clip)
            column = np.minimum(np.maximum(column, -limit), limit)
        return column

    def steps(
        self, values: Shaped[np.ndarray, " particle"], kind: FixedPoint
    ) -> Int64[np.ndarray, " particle"]:
        """Return integers of a type below one, one beyond its ends where a value is beyond it."""
        scaled = np.floor(self.network(values).astype(np.float64) / self.range * 2.0**kind.fraction)
        return np.clip(scaled, kind.lowest - 1, kind.highest + 1).astype(np.int64)

    def thresholds(self, kind: FixedPoint, number: np.dtype) -> Float[np.ndarray, " threshold"]:
        """Return from which quantity on each integer is reached, from the lowest one.

        The last is where the port saturates; those that no quantity reaches are left out. `number`
        is the quantity's type. Of positive floating-point numbers the order is that of their bits.
        """
        word = np.dtype(f"i{number.itemsize}")
        levels = np.arange(kind.lowest, kind.highest + 2)
        top = np.array(np.finfo(number).max, number).view(word)
        reached = np.full(len(levels), top)
        missed = np.full(len(levels), -1, word)  # below zero, which no quantity is
        while (reached - missed > 1).any():
            middle = np.maximum(missed + (reached - missed) // 2, 0)
            is_reached = self.steps(log(middle.view(number)), kind) >= levels
            reached = np.where(is_reached, middle, reached)
            missed = np.where(is_reached, missed, middle)
        found = reached.view(number)
        return found[self.steps(log(found), kind) >= levels]


@dataclass(frozen=True, eq=False)
class PinConversion:
    """How the integers of one event's hardest particles come from physical units.

    order: the feature whose value in the network's units, falling, is the order of the particles;
    of equal ones the first comes first. columns: the features at the ports, in their order, before
    the flags. flags: the number of particle types, 0 if these are no inputs. numbers: the type of
    each quantity of a particle or an event, float32 or float64, as the data have it.
    """

    encoder: IntegerEncoder
    order: Column
    columns: tuple[Column, ...]
    flags: int
    numbers: Mapping[str, np.dtype]

    @staticmethod
    def of(reading: ParticleReading, encoder: IntegerEncoder, particles: Events) -> PinConversion:
        """Return the conversion for an encoder's ports, of particles as `read_particles` gives."""
        known = {feature.name: feature for feature in reading.feature_list.features}
        first = reading.feature_list.features[0]
        columns = tuple(
            Column(known[port.name], known[port.name].formula, port.range)
            for port in encoder.ports
            if not port.flag
        )
        numbers = {
            name: column.dtype
            for name, column in (*particles.particles.items(), *particles.events.items())
            if name != TYPE
        }
        flags = sum(port.flag for port in encoder.ports)
        return PinConversion(encoder, Column(first, _ordering(first), 1.0), columns, flags, numbers)

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """The formulas of all quantities, the first in the order of particles."""
        return (self.order.formula, *(column.formula for column in self.columns))

    def values(self, formula: Formula, particles: Events) -> Shaped[np.ndarray, " particle"]:
        """Return a feature's values, without the logarithm, from the quantities."""
        values = particles.particles[formula.quantity]
        if formula.per is None:
            return values
        ratio: np.ndarray = values / np.repeat(particles.events[formula.per], particles.lengths)
        return ratio

    def __call__(
        self, particles: Events
    ) -> tuple[Int64[np.ndarray, "event constituent port"], Int64[np.ndarray, " column"]]:
        """Return the integers at the ports, and how many values of each column saturated."""
        kind, count = self.encoder.input, self.encoder.constituents
        key = self.order.network(self.values(self.order.formula, particles))
        owner = np.repeat(np.arange(len(particles)), particles.lengths)
        rows = np.lexsort((np.arange(len(key)), -key, owner))
        place = np.arange(len(key)) - np.repeat(particles.offsets[:-1], particles.lengths)
        rows, owner, place = rows[place < count], owner[place < count], place[place < count]
        pins = np.zeros((len(particles), count, len(self.encoder.ports)), np.int64)
        saturated = np.zeros(len(self.columns), np.int64)
        for number, column in enumerate(self.columns):
            values = self.values(column.formula, particles)[rows]
            steps = self._steps(column, values)
            saturated[number] = ((steps < kind.lowest) | (steps > kind.highest)).sum()
            pins[owner, place, number] = np.clip(steps, kind.lowest, kind.highest)
        if self.flags:
            types = particles.particles[TYPE][rows]
            # a flag of 1 is half of its range
            pins[owner, place, len(self.columns) + types] = 1 << (kind.fraction - 1)
        return pins, saturated

    def _steps(
        self, column: Column, values: Shaped[np.ndarray, " particle"]
    ) -> Int64[np.ndarray, " particle"]:
        kind = self.encoder.input
        if not column.formula.logarithm:
            return column.steps(values, kind)
        thresholds = column.thresholds(kind, values.dtype)
        return np.searchsorted(thresholds, values, side="right") + kind.lowest - 1


def _ordering(feature: Feature) -> Formula:
    """Return the formula for a comparison of features, which takes a logarithm's own value."""
    formula = feature.formula
    return Formula(feature.name, feature.definition.value) if formula.logarithm else formula


def read_particles(
    reading: Reading, parts: Sequence[tuple[str, Slice]], features: Sequence[str], *, types: bool
) -> Events | None:
    """Return the quantities of all particles of the events that pass the selection.

    They are those of the formulas of `features` and of the order, under their names, in GeV and
    radians, floats of the data's own width; with `types` the index of each particle's type too.
    Returns None for data whose features are not those of particles.
    """
    if not isinstance(reading, ParticleReading):
        return None
    known = {feature.name: feature for feature in reading.feature_list.features}
    formulas = [_ordering(reading.feature_list.features[0]), *(known[n].formula for n in features)]
    chunks = []
    for _, part in parts:
        for start in range(part.start, part.stop, _CHUNK):
            piece = Slice(part.file, start, min(start + _CHUNK, part.stop), start)
            events = reading.read(piece, [])
            events = events.take(np.flatnonzero(usable(reading, events)))
            chunks.append(_quantities(reading, events, formulas, types=types))
    return Events.concatenate(chunks)


def _quantities(
    reading: ParticleReading, events: Events, formulas: Sequence[Formula], *, types: bool
) -> Events:
    events, _ = reading.truncate(events)
    quantities = Quantities(events)
    particle = {f.quantity: _floats(f.particle(quantities)) for f in formulas}
    event = {f.per: _floats(events.events[f.per]) for f in formulas if f.per is not None}
    if types:
        particle[TYPE] = particle_types(events)
    return Events(events.lengths, particle, event)


def _floats(values: Shaped[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Return values as they are if they are float32, else in double precision."""
    return values if values.dtype == np.float32 else values.astype(np.float64)
