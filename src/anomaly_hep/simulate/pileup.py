"""Pile-up in the calorimeters: collisions from a pool, overlaid on events at random.

A collision is kept as the true energies in cells. It is rotated in phi by whole HCAL cells and
mirrored in eta at random, which gives 144 variants of each. Its tracks are left out, as a perfect
vertex selection would do. Units: GeV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anomaly_hep.simulate.calorimeter import Layer, Towers, deposits
from anomaly_hep.simulate.detector import arriving
from anomaly_hep.simulate.generator import Generator
from anomaly_hep.types import members

# number of phi rotations: one HCAL cell each, which is a whole number of ECAL cells
STEPS = 72


@dataclass(frozen=True)
class PileUp:
    """The mean number of pile-up collisions per event, and the size of the pool of collisions."""

    mean: float
    pool: int
    settings: tuple[str, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class Overlay:
    """The collisions of the pool for each event, with their rotations and reflections."""

    event: np.ndarray
    collision: np.ndarray
    turn: np.ndarray
    mirrored: np.ndarray


class Pool:
    """The pool of collisions: towers in each layer, with the collision as their event number."""

    def __init__(self, layers: Sequence[Layer], towers: Sequence[Towers], size: int) -> None:
        self.size = size
        self._layers = [_central(layer) for layer in layers]
        self._towers = []
        for (first, last), in_layer in zip(self._layers, towers, strict=True):
            inside = np.flatnonzero((in_layer.row >= first) & (in_layer.row <= last))
            self._towers.append(in_layer.take(inside))

    def choose(self, events: int, mean: float, rng: np.random.Generator) -> Overlay:
        """Draw a Poisson number of collisions for each event."""
        event = np.repeat(np.arange(events), rng.poisson(mean, events))
        return Overlay(
            event,
            rng.integers(0, self.size, len(event)),
            rng.integers(0, STEPS, len(event)),
            rng.random(len(event)) < 0.5,
        )

    def add(self, layer: Layer, index: int, true: Towers, overlay: Overlay) -> Towers:
        """Return the towers of layer `index` with the energies of the chosen collisions added."""
        pool = self._towers[index]
        number, rows = members(np.bincount(pool.event, minlength=self.size), overlay.collision)
        chosen = pool.take(rows)
        which = np.repeat(np.arange(len(overlay.event)), number)
        first, last = self._layers[index]
        row = np.where(overlay.mirrored[which], first + last - chosen.row, chosen.row)
        steps = layer.phi_cells[row]
        column = (chosen.column + overlay.turn[which] * (steps // STEPS)) % steps
        return _added(layer, true, Towers(overlay.event[which], row, column, chosen.energy))


def _central(layer: Layer) -> tuple[int, int]:
    """Return the first and last row fine enough for the rotations, symmetric about eta = 0."""
    fine = np.flatnonzero(layer.phi_cells % STEPS == 0)
    return int(fine[0]), int(fine[-1])


def _added(layer: Layer, *parts: Towers) -> Towers:
    rows, columns = len(layer.phi_cells), int(layer.phi_cells.max())
    key = np.concatenate([(p.event * rows + p.row) * columns + p.column for p in parts])
    kept, inverse = np.unique(key, return_inverse=True)
    energy = np.bincount(inverse, np.concatenate([p.energy for p in parts]), len(kept))
    place, column = np.divmod(kept, columns)
    event, row = np.divmod(place, rows)
    return Towers(event, row, column, energy.astype(np.float64))


@lru_cache(maxsize=1)
def make_pool(pile_up: PileUp, layers: tuple[Layer, ...], batch: int = 200) -> Pool:
    """Generate the pool, once per process."""
    generator = Generator(pile_up.settings, pile_up.seed)
    parts: list[list[Towers]] = [[] for _ in layers]
    size = 0
    while size < pile_up.pool:
        particles = generator.batch(min(batch, pile_up.pool - size))
        hits = arriving(particles)
        for in_layer, layer in zip(parts, layers, strict=True):
            towers = deposits(layer, hits)
            in_layer.append(Towers(towers.event + size, towers.row, towers.column, towers.energy))
        size += len(particles.lengths)
    joined = [
        Towers(*(np.concatenate([getattr(t, n) for t in in_layer]) for n in _FIELDS))
        for in_layer in parts
    ]
    return Pool(layers, joined, size)


_FIELDS = ("event", "row", "column", "energy")
