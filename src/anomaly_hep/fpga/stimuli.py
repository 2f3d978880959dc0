"""Events for a proof: those of data, then inputs made from them and at random.

Events of data leave most pins nearly constant, and a wrong wire there would go unnoticed. Made
events come in blocks from a seed, so any number of them takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder

_BLOCK = 8192  # events
_FLIPS = 8  # bits of an event of data that are changed, at most


class Coverage:
    """Which bits of the input pins have been 0, and which have been 1."""

    def __init__(self, stimuli: Stimuli) -> None:
        self._stimuli = stimuli
        self._ones = np.zeros(len(stimuli.bits), np.int64)
        self._zeros = np.zeros(len(stimuli.bits), np.int64)

    def add(self, events: ChipEvents) -> None:
        """Count the pins of further events."""
        pins = self._stimuli.pins(events)
        self._ones |= np.bitwise_or.reduce(pins, axis=0)
        self._zeros |= np.bitwise_or.reduce(~pins, axis=0)

    @property
    def counts(self) -> tuple[int, int]:
        """Number of pins that took both values, and of all pins."""
        both = self._ones & self._zeros & ((1 << self._stimuli.bits) - 1)
        return sum(int(number).bit_count() for number in both), int(self._stimuli.bits.sum())


@dataclass(frozen=True, eq=False)
class Stimuli:
    """All events of a proof, those of data first; `mass` is the type of the mass's port, if any.

    Made events follow until there are `count`: each pin alone and all pins but one; then as many
    from data, with some bits flipped or some particles replaced, as at random.
    """

    encoder: IntegerEncoder
    data: ChipEvents
    mass: FixedPoint | None
    count: int
    seed: int

    def __len__(self) -> int:
        return max(self.count, len(self.data))

    @cached_property
    def _types(self) -> list[FixedPoint]:
        ports = [
            FixedPoint(False, 1, 1) if port.flag else self.encoder.input
            for port in self.encoder.ports
        ]
        event = [self.encoder.input] * len(self.encoder.context)
        event += [] if self.mass is None else [self.mass]
        return ports * self.encoder.constituents + event

    @cached_property
    def bits(self) -> Int64[np.ndarray, " field"]:
        """Bits of each field: the ports of all constituents, the context, the mass, if any."""
        return np.array([kind.bits for kind in self._types])

    @cached_property
    def _shift(self) -> Int64[np.ndarray, " field"]:
        # a flag stands for one half, in the units of the other ports
        shift = [self.encoder.input.fraction - kind.fraction for kind in self._types]
        if self.mass is not None:
            shift[-1] = 0
        return np.array(shift)

    def pins(self, events: ChipEvents) -> Int64[np.ndarray, "event field"]:
        """Return the integers of the fields as they are on the wires: a flag is 0 or 1."""
        parts = [events.inputs.reshape(len(events), -1)]
        if self.encoder.context:
            assert events.context is not None
            parts.append(events.context)
        if self.mass is not None:
            parts.append(events.masses[:, None])
        return np.concatenate(parts, axis=1) >> self._shift

    def events(self, pins: Int64[np.ndarray, "event field"]) -> ChipEvents:
        """Return events from the integers on the wires."""
        values = pins << self._shift
        masses = np.zeros(len(pins), np.int64) if self.mass is None else values[:, -1]
        ports = self.encoder.constituents * len(self.encoder.ports)
        shape = (len(pins), self.encoder.constituents, len(self.encoder.ports))
        context = values[:, ports : ports + len(self.encoder.context)]
        return ChipEvents(
            values[:, :ports].reshape(shape), masses, context if self.encoder.context else None
        )

    def coverage(self) -> Coverage:
        """Return a count of the pins that events move, empty yet."""
        return Coverage(self)

    def blocks(self) -> Iterator[ChipEvents]:
        """Yield all events, a few thousand at a time."""
        for start in range(0, len(self.data), _BLOCK):
            yield self.data[start : start + _BLOCK]
        left = len(self) - len(self.data)
        walking = self._walking()[:left]
        if len(walking):
            yield self.events(walking)
        left -= len(walking)
        for number, start in enumerate(range(0, left, _BLOCK)):
            random = np.random.default_rng([self.seed, number])
            # a whole block is made in any case: a longer run begins with the same events
            made = np.concatenate([self._mutated(random), self._random(random)])
            yield self.events(random.permutation(made)[: left - start])

    def first(self, count: int) -> ChipEvents:
        """Return the first events, fewer where there are fewer."""
        parts, left = [], count
        for block in self.blocks():
            parts.append(block[:left])
            left -= len(parts[-1])
            if left == 0:
                break
        found = [part.context for part in parts if part.context is not None]
        contexts = found if self.encoder.context else []
        return ChipEvents(
            np.concatenate([part.inputs for part in parts]),
            np.concatenate([part.masses for part in parts]),
            np.concatenate(contexts) if contexts else None,
        )

    def of_words(self, words: Int64[np.ndarray, " event"]) -> ChipEvents:
        """Return the events whose pins, the first field's lowest bit first, are the words' bits."""
        low = np.cumsum(self.bits) - self.bits
        return self.events(self._read(words[:, None] >> low))

    def _walking(self) -> Int64[np.ndarray, "event field"]:
        """Return each pin alone, and all pins but one."""
        field = np.repeat(np.arange(len(self.bits)), self.bits)
        place = np.concatenate([np.arange(bits) for bits in self.bits])
        alone = np.zeros((len(field), len(self.bits)), np.int64)
        alone[np.arange(len(field)), field] = 1 << place
        return self._read(np.concatenate([alone, ~alone]))

    def _read(self, words: Int64[np.ndarray, "event field"]) -> Int64[np.ndarray, "event field"]:
        """Return the integers that the lowest bits of words are, by the type of each field."""
        signed = np.array([kind.signed for kind in self._types])
        low = words & ((1 << self.bits) - 1)
        return np.where(signed & (low >> (self.bits - 1) == 1), low - (1 << self.bits), low)

    def _random(self, random: np.random.Generator) -> Int64[np.ndarray, "event field"]:
        """Return random integers of all sizes, with any number of constituents that are zero."""
        shape = (_BLOCK - _BLOCK // 2, len(self.bits))
        words = self._read(random.integers(0, 1 << 12, shape, np.int16).astype(np.int64))
        # uniform integers alone would saturate nearly every sum
        words >>= random.integers(0, self.bits.max(), (len(words), 1))
        ports = len(self.encoder.ports)
        filled = random.integers(0, self.encoder.constituents + 1, len(words)) * ports
        empty = np.arange(self.encoder.constituents * ports) >= filled[:, None]
        words[:, : empty.shape[1]][empty] = 0
        return words

    def _mutated(self, random: np.random.Generator) -> Int64[np.ndarray, "event field"]:
        """Return events of data with a few bits flipped and perhaps a constituent replaced."""
        number = _BLOCK // 2
        if not len(self.data):
            return np.zeros((number, len(self.bits)), np.int64)
        chosen = random.integers(len(self.data), size=number)
        context = None if self.data.context is None else self.data.context[chosen]
        pins = self.pins(ChipEvents(self.data.inputs[chosen], self.data.masses[chosen], context))
        event = np.repeat(np.arange(number), random.integers(1, _FLIPS + 1, number))
        field = random.integers(len(self.bits), size=len(event))
        np.bitwise_xor.at(pins, (event, field), 1 << random.integers(0, self.bits[field]))
        pins = self._read(pins)
        ports = len(self.encoder.ports)
        # one constituent of every second event becomes one of another event
        place = random.integers(self.encoder.constituents, size=number // 2)[:, None] * ports
        columns = place + np.arange(ports)
        rows = np.arange(number // 2)[:, None]
        pins[rows, columns] = pins[random.permutation(number)[: number // 2, None], columns]
        return pins
