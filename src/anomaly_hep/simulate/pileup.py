"""Pile-up in the calorimeters: simple collisions of a pool, laid over events at random.

A collision is kept as true energies in cells. It is turned in phi by whole HCAL cells and mirrored
in eta at random, so that a pool gives 144 different pictures of each. Its tracks are left out, as a
perfect vertex selection would. Units: GeV.
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

# phi steps by which collisions are turned: cells of HCAL, which are whole cells of ECAL
STEPS = 72


@dataclass(frozen=True)
class PileUp:
    """How many collisions an event has besides its own, and how many different ones there are."""

    mean: float
    pool: int
    settings: tuple[str, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class Overlay:
    """Which collisions of the pool an event gets, how each is turned and whether mirrored."""

    event: np.ndarray
    collision: np.ndarray
    turn: np.ndarray
    mirrored: np.ndarray


class Pool:
    """Collisions in cells of several layers, by collision."""

    def __init__(self, layers: Sequence[Layer], towers: Sequence[Towers], size: int) -> None:
        self.size = size
        self._layers = [_central(layer) for layer in layers]
        self._towers = []
        for (first, last), found in zip(self._layers, towers, strict=True):
            inside = np.flatnonzero((found.row >= first) & (found.row <= last))
            self._towers.append(found.take(inside))

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
        """Return the energies of layer `index` with those of the chosen collisions added."""
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
    """Return the first and the last row whose cells follow the turns, symmetric about eta = 0."""
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
    """Generate the pool; a process that makes many files makes it once."""
    generator = Generator(pile_up.settings, pile_up.seed)
    parts: list[list[Towers]] = [[] for _ in layers]
    made = 0
    while made < pile_up.pool:
        particles = generator.batch(min(batch, pile_up.pool - made))
        hits = arriving(particles)
        for found, layer in zip(parts, layers, strict=True):
            towers = deposits(layer, hits)
            found.append(Towers(towers.event + made, towers.row, towers.column, towers.energy))
        made += len(particles.lengths)
    joined = [
        Towers(*(np.concatenate([getattr(t, n) for t in found]) for n in _FIELDS))
        for found in parts
    ]
    return Pool(layers, joined, made)


_FIELDS = ("event", "row", "column", "energy")
