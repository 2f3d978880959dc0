"""Histograms of the mass above cuts on a score, of the events as they are and drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from anomaly_hep.evaluate.massbins import BackgroundMasses, Values
from anomaly_hep.evaluate.roc import ScoreDistribution

# edges of the cells between which a cut is interpolated when events are drawn again
_EDGES = 17

Efficiencies = Float64[np.ndarray, " cut"]


@dataclass(frozen=True, eq=False)
class Cells:
    """Background between successive cuts on a score, by mass bin.

    `sums` and `squares` are Σw and Σw² of the positive and, apart, of the negative weights. The
    cuts have background efficiencies `edges`, from 0 to 1.
    """

    edges: Float64[np.ndarray, " edge"]
    sums: Float64[np.ndarray, "sign cell bin"]
    squares: Float64[np.ndarray, "sign cell bin"]

    @staticmethod
    def of(
        background: BackgroundMasses, scores: Values, sample: ScoreDistribution, cuts: Efficiencies
    ) -> Cells:
        """Return the cells of cuts of these background efficiencies, and of others between them.

        `sample` is the distribution of `scores`. Of events whose equal scores a cut would part, the
        share passes that the efficiency needs.
        """
        between = np.geomspace(min(1.0, 1.0 / sample.effective_events), 1.0, _EDGES)
        edges = np.unique(np.concatenate([np.zeros(1), cuts, between]))
        weight = background.weight
        signs = [weight.clip(min=0.0), (-weight).clip(min=0.0)]
        above = _Above.of(background, scores, sample, edges)
        parts = [np.stack([above(w), above(w**2)]) for w in signs if w.any()]
        sums, squares = np.diff(np.stack(parts, axis=1), axis=2)
        return Cells(edges, sums, squares)

    @property
    def signed(self) -> Float64[np.ndarray, "cell bin"]:
        """Σw of each cell."""
        return self.sums[0] - self.sums[1:].sum(axis=0)

    def at(self, cuts: Efficiencies) -> Float64[np.ndarray, "cut bin"]:
        """Return the weight that passes each cut, by bin."""
        return _cumulated(self.signed)[np.searchsorted(self.edges, cuts)]

    def effective(self, cuts: Efficiencies) -> Efficiencies:
        """Return how many events of equal weight that pass each cut would fluctuate as much."""
        index = np.searchsorted(self.edges, cuts)
        total = _cumulated(self.signed).sum(axis=-1)[index]
        squares = _cumulated(self.squares.sum(axis=0)).sum(axis=-1)[index]
        return np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)

    def effective_by_bin(self) -> Float64[np.ndarray, " bin"]:
        """Return the effective number of events of each bin, before any cut."""
        total = self.signed.sum(axis=0)
        return np.asarray(total**2 / self.squares.sum(axis=(0, 1)))

    def drawn(
        self, cuts: Float64[np.ndarray, "draw cut"], rng: np.random.Generator
    ) -> tuple[Float64[np.ndarray, "draw bin"], Float64[np.ndarray, "draw cut bin"]]:
        """Return histograms before and after cuts of samples that are drawn again.

        The content of each cell is a scaled Poisson variable of the same mean and variance
        (arXiv:1309.1287), and each cut is set anew, by linear interpolation within a cell.
        """
        scale = np.divide(self.squares, self.sums, out=np.ones_like(self.sums), where=self.sums > 0)
        counts = rng.poisson(self.sums / scale, (len(cuts), *self.sums.shape)) * scale
        above = _cumulated(counts[:, 0] - counts[:, 1:].sum(axis=1))
        whole = above[:, -1]
        share = above.sum(axis=-1) / whole.sum(axis=-1, keepdims=True)
        share = np.maximum.accumulate(share.clip(0.0, 1.0), axis=1)
        cell = (share[:, None, 1:-1] < cuts[:, :, None]).sum(axis=-1)
        low, high = (np.take_along_axis(share, cell + i, axis=1) for i in (0, 1))
        inside = np.divide(cuts - low, high - low, out=np.ones_like(cuts), where=high > low)
        row = np.arange(len(cuts))[:, None]
        start, end = above[row, cell], above[row, cell + 1]
        return whole, start + inside.clip(0.0, 1.0)[..., None] * (end - start)


@dataclass(frozen=True, eq=False)
class _Above:
    """How much of each event passes each of some cuts: all, none, or the share of a tie."""

    first: np.ndarray  # the first cut that an event passes in full
    bin: np.ndarray
    ties: Sequence[tuple[np.ndarray, float]]  # at each cut: the events at it, and what share passes
    bins: int

    @staticmethod
    def of(
        background: BackgroundMasses, scores: Values, sample: ScoreDistribution, edges: Efficiencies
    ) -> _Above:
        last = len(sample.values)
        # the part of a vertex that rounding leaves is no tie
        vertex = np.searchsorted(sample.cumulative, edges * (1 + 1e-9), side="right") - 1
        vertex[edges >= 1] = last
        value = np.searchsorted(-sample.values, -scores)
        order = np.argsort(value, kind="stable")
        starts, ends = (np.searchsorted(value[order], vertex, side=s) for s in ("left", "right"))
        inside = np.zeros(len(edges))
        cut = vertex < last
        step = sample.shares[vertex[cut]]
        part = edges[cut] - sample.cumulative[vertex[cut]]
        inside[cut] = np.divide(part, step, out=np.zeros_like(part), where=step > 0).clip(0.0, 1.0)
        ties = [(order[a:b], share) for a, b, share in zip(starts, ends, inside, strict=True)]
        first = np.searchsorted(vertex, value, side="right")
        return _Above(first, background.bin, ties, len(background.bins))

    def __call__(self, values: Values) -> Float64[np.ndarray, "cut bin"]:
        """Return the sum of one value per event above each cut, by bin."""
        flat = np.bincount(
            self.first * self.bins + self.bin, values, (len(self.ties) + 1) * self.bins
        )
        above = flat.reshape(-1, self.bins)[:-1].cumsum(axis=0)
        for cut, (rows, share) in enumerate(self.ties):
            if share:
                above[cut] += share * np.bincount(self.bin[rows], values[rows], self.bins)
        return above


def _cumulated(cells: Float64[np.ndarray, "*draw cell bin"]) -> Float64[np.ndarray, "*draw edge b"]:
    """Return the content above each edge, 0 above the first."""
    nothing = np.zeros_like(cells[..., :1, :])
    return np.concatenate([nothing, cells], axis=-2).cumsum(axis=-2)
