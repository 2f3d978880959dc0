"""Calorimeters and energy flow as in Delphes' SimpleCalorimeter, for whole batches of events.

Parameters are those of Delphes' cards/delphes_card_CMS.tcl (delphes/delphes @0593ac3): energies in
GeV, cells in (eta, phi). A cell's energy is smeared with a log-normal, must pass a threshold and a
significance, and is compared with the tracks that point to the cell: a significant excess becomes a
photon (ECAL) or a neutral hadron (HCAL); otherwise the tracks are scaled to the weighted mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.simulate.vectors import Direction


@dataclass(frozen=True, eq=False)
class Layer:
    """One calorimeter: its cells, absorbed energy fractions, resolution and thresholds.

    Row i covers eta_edges[i] < eta <= eta_edges[i + 1] with phi_cells[i] equal cells in phi.
    `fractions` maps |PDG code| to the absorbed fraction, `other_fraction` is that of all others.
    `resolution` maps energy and eta of a cell's centre to sigma(E).
    """

    eta_edges: Float64[np.ndarray, " edge"]
    phi_cells: Int64[np.ndarray, " cell"]
    fractions: Mapping[int, float]
    other_fraction: float
    resolution: Callable[[np.ndarray, np.ndarray], np.ndarray]
    min_energy: float
    min_significance: float

    def fraction(self, pid: Int64[np.ndarray, " particle"]) -> Float64[np.ndarray, " particle"]:
        """Return the fraction of each particle's energy that this layer absorbs."""
        result = np.full(len(pid), self.other_fraction)
        codes = np.abs(pid)
        for code, share in self.fractions.items():
            result[codes == code] = share
        return result


@dataclass(frozen=True, eq=False)
class Hits:
    """Particles at the calorimeter: event number, direction of the entry point, energy and track.

    `track_energy` is 0 without a track, `track_resolution` is sigma(p) / p.
    """

    event: Int64[np.ndarray, " particle"]
    point: Direction
    pid: Int64[np.ndarray, " particle"]
    energy: Float64[np.ndarray, " particle"]
    track_energy: Float64[np.ndarray, " particle"]
    track_resolution: Float64[np.ndarray, " particle"]

    def take(self, index: Int64[np.ndarray, " chosen"]) -> Hits:
        """Return the particles `index`, in that order."""
        return Hits(
            self.event[index],
            self.point.at(index),
            self.pid[index],
            self.energy[index],
            self.track_energy[index],
            self.track_resolution[index],
        )


@dataclass(frozen=True, eq=False)
class Towers:
    """Cells of one layer with energy: event, row in eta, column in phi, energy in GeV."""

    event: Int64[np.ndarray, " tower"]
    row: Int64[np.ndarray, " tower"]
    column: Int64[np.ndarray, " tower"]
    energy: Float64[np.ndarray, " tower"]

    def take(self, index: np.ndarray) -> Towers:
        """Return the towers `index`."""
        return Towers(self.event[index], self.row[index], self.column[index], self.energy[index])


@dataclass(frozen=True, eq=False)
class Flow:
    """The result of energy flow in one layer: neutral candidates, and a factor for each track."""

    event: Int64[np.ndarray, " neutral"]
    direction: Direction
    energy: Float64[np.ndarray, " neutral"]
    track_scale: Float64[np.ndarray, " particle"]


def deposits(layer: Layer, hits: Hits) -> Towers:
    """Return the true energy in the cells that were hit."""
    share = layer.fraction(hits.pid)
    hit, cells, cell = _cells(layer, hits, share)
    energy = np.bincount(cell, hits.energy[hit] * share[hit], len(cells.event))
    return Towers(cells.event, cells.row, cells.column, energy.astype(np.float64))


def transverse_energies(layer: Layer, true: Towers, rng: np.random.Generator) -> Towers:
    """Return the smeared transverse energies of the cells that pass the cuts.

    A tower's direction is a random point in its cell, as in Delphes.
    """
    low, high = layer.eta_edges[true.row], layer.eta_edges[true.row + 1]
    centre = (low + high) / 2
    measured = log_normal(true.energy, layer.resolution(true.energy, centre), rng)
    threshold = layer.min_significance * layer.resolution(measured, centre)
    eta = low + (high - low) * rng.random(len(low))
    kept = np.flatnonzero((measured >= layer.min_energy) & (measured >= threshold))
    energy = measured[kept] / np.cosh(eta[kept])
    return Towers(true.event[kept], true.row[kept], true.column[kept], energy)


def energy_flow(layer: Layer, hits: Hits, rng: np.random.Generator) -> Flow:
    """Run energy flow in one layer, for all cells of all events at once."""
    share = layer.fraction(hits.pid)
    hit, cells, cell = _cells(layer, hits, share)

    def total(values: np.ndarray) -> np.ndarray:
        # bincount of nothing gives integers even with weights
        return np.bincount(cell, values, len(cells.event)).astype(np.float64)

    tracks = hits.track_energy[hit] * share[hit]
    in_tracks = total(tracks)
    track_variance = total((hits.track_resolution[hit] * tracks) ** 2)
    deposited = total(hits.energy[hit] * share[hit])

    centre = (cells.low + cells.high) / 2
    measured = log_normal(deposited, layer.resolution(deposited, centre), rng)
    sigma = layer.resolution(measured, centre)
    measured[(measured < layer.min_energy) | (measured < layer.min_significance * sigma)] = 0.0

    excess = np.maximum(measured - in_tracks, 0.0)
    significance = excess / np.sqrt(track_variance + sigma**2)
    neutral = (excess > layer.min_energy) & (significance > layer.min_significance)
    scale = np.where(neutral, 1.0, _combined(in_tracks, track_variance, measured, sigma))
    track_scale = np.ones(len(hits.pid))
    track_scale[hit] = scale[cell]
    chosen = np.flatnonzero(neutral)
    return Flow(cells.event[chosen], cells.point(chosen, rng), excess[chosen], track_scale)


@dataclass(frozen=True, eq=False)
class _Cells:
    """The cells that were hit: event, row and bounds in eta, column and width in phi."""

    event: np.ndarray
    row: np.ndarray
    low: np.ndarray
    high: np.ndarray
    column: np.ndarray
    width: np.ndarray

    def point(self, index: np.ndarray, rng: np.random.Generator) -> Direction:
        """Return a random point in each of the cells `index`."""
        low, high = self.low[index], self.high[index]
        eta = low + (high - low) * rng.random(len(index))
        phi = -np.pi + self.width[index] * (self.column[index] + rng.random(len(index)))
        return Direction(eta, phi)


def _cells(layer: Layer, hits: Hits, share: np.ndarray) -> tuple[np.ndarray, _Cells, np.ndarray]:
    """Return the particles that hit the layer, the cells, and the cell of each such particle."""
    eta, edges = hits.point.eta, layer.eta_edges
    hit = np.flatnonzero((share > 0) & (eta > edges[0]) & (eta <= edges[-1]))
    row = np.searchsorted(edges, eta[hit], side="left") - 1
    steps = layer.phi_cells[row]
    column = np.floor((hits.point.phi[hit] + np.pi) / (2 * np.pi) * steps).astype(np.int64)
    column = np.minimum(column, steps - 1)  # phi = pi exactly
    rows, columns = len(layer.phi_cells), int(layer.phi_cells.max())
    key, cell = np.unique((hits.event[hit] * rows + row) * columns + column, return_inverse=True)
    row = key // columns % rows
    width = 2 * np.pi / layer.phi_cells[row]
    event = key // (rows * columns)
    return hit, _Cells(event, row, edges[row], edges[row + 1], key % columns, width), cell


def _combined(
    in_tracks: np.ndarray, track_variance: np.ndarray, measured: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Return the weighted mean of track and cell energy over the track energy; 1 without tracks.

    Tracks without uncertainty have weight 0, as in Delphes: the cell's energy is used then.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        track_weight = np.where(track_variance > 0, 1 / track_variance, 0.0)
        cell_weight = np.where(sigma > 0, 1 / sigma**2, 0.0)
        best = (track_weight * in_tracks + cell_weight * measured) / (track_weight + cell_weight)
        return np.where(in_tracks > 0, best / in_tracks, 1.0)


def log_normal(
    mean: Float64[np.ndarray, " value"],
    sigma: Float64[np.ndarray, " value"],
    rng: np.random.Generator,
) -> Float64[np.ndarray, " value"]:
    """Return log-normal random numbers with the given means and sigmas; 0 where the mean is 0."""
    safe = np.where(mean > 0, mean, 1.0)
    width2 = np.log1p((sigma / safe) ** 2)
    smeared = safe * np.exp(np.sqrt(width2) * rng.standard_normal(len(mean)) - width2 / 2)
    return np.where(mean > 0, smeared, 0.0)


def _ecal_resolution(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    a = np.abs(eta)
    crystal = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    endcap = (2.16 + 5.6 * (a - 2) ** 2) * crystal
    return np.where(a <= 1.5, (1 + 0.64 * a**2) * crystal, np.where(a <= 2.5, endcap, forward))


def _hcal_resolution(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    central = np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)
    forward = np.sqrt((0.13 * energy) ** 2 + 2.7**2 * energy)
    return np.where(np.abs(eta) <= 3.0, central, forward)


MAX_ABS_ETA = 5.0
# eta edges of the forward cells, which are the same in both layers
_FORWARD = (3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, MAX_ABS_ETA)


def _mirrored(positive: np.ndarray) -> Float64[np.ndarray, " edge"]:
    return np.concatenate([-positive[::-1], [0.0], positive])


def _ecal() -> Layer:
    crystals = 0.0174 * np.arange(1, 171)  # to 2.958
    edges = _mirrored(np.concatenate([crystals, _FORWARD]))
    upper = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
    return Layer(
        eta_edges=edges,
        phi_cells=np.where(upper < 2.96, 360, 36),
        fractions={11: 1.0, 22: 1.0, 111: 1.0, 310: 0.3, 3122: 0.3},
        other_fraction=0.0,
        resolution=_ecal_resolution,
        min_energy=0.5,
        min_significance=2.0,
    )


def _hcal() -> Layer:
    barrel = 0.087 * np.arange(1, 20)  # to 1.653
    endcap = (1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95)
    edges = _mirrored(np.concatenate([barrel, endcap, _FORWARD]))
    upper = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
    return Layer(
        eta_edges=edges,
        phi_cells=np.where(upper < 1.66, 72, np.where(upper < 4.53, 36, 18)),
        fractions={11: 0.0, 12: 0.0, 13: 0.0, 14: 0.0, 16: 0.0, 22: 0.0, 111: 0.0,
                   310: 0.7, 3122: 0.7},
        other_fraction=1.0,
        resolution=_hcal_resolution,
        min_energy=1.0,
        min_significance=2.0,
    )  # fmt: skip


ECAL, HCAL = _ecal(), _hcal()
