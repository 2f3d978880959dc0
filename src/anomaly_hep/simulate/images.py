"""Detector images of events: tracks, ECAL and HCAL on one grid of 286 x 360 pixels of 0.0174.

The content was inferred from the published images (arXiv:2306.12955): transverse energies of
calorimeter cells before energy flow; HCAL cells of 5 x 5 pixels everywhere, each pixel with 1/25;
tracks at their exit from the tracker. See docs/results/darkshowers-simulation.md. Units: GeV.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from anomaly_hep.formats.pixels import BLOCK, CHANNELS, ETA_PIXELS, PHI_PIXELS
from anomaly_hep.simulate.calorimeter import ECAL, HCAL, Hits, Layer, Towers
from anomaly_hep.types import Events

PIXEL = 0.0174  # in eta, as the ECAL crystals of the Delphes card; 1 degree in phi
_FIRST_PIXEL = -ETA_PIXELS // 2


def _fine_hcal() -> Layer:
    """The Delphes card's HCAL, but with cells of 0.087 by 5 degrees up to the forward cells."""
    positive = np.concatenate([BLOCK * PIXEL * np.arange(1, 35), HCAL.eta_edges[-11:]])
    edges = np.concatenate([-positive[::-1], [0.0], positive])
    upper = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
    phi_cells = np.where(upper < 2.96, 72, np.where(upper < 4.53, 36, 18))
    return replace(HCAL, eta_edges=edges, phi_cells=phi_cells)


IMAGE_HCAL = _fine_hcal()
# the row of each layer whose lower edge is at eta = 0
_ECAL_CENTRE = int(np.searchsorted(ECAL.eta_edges, -PIXEL / 2))
_HCAL_CENTRE = int(np.searchsorted(IMAGE_HCAL.eta_edges, -PIXEL / 2))


def track_pixels(
    hits: Hits, track_pt: Float64[np.ndarray, " particle"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return event, eta pixel, phi pixel and pT of the tracks that end in the image."""
    eta = np.floor(hits.point.eta / PIXEL).astype(np.int64) - _FIRST_PIXEL
    phi = np.floor((hits.point.phi + np.pi) / (2 * np.pi) * PHI_PIXELS).astype(np.int64)
    phi = np.minimum(phi, PHI_PIXELS - 1)  # phi = pi exactly
    kept = np.flatnonzero((track_pt > 0) & (eta >= 0) & (eta < ETA_PIXELS))
    return hits.event[kept], eta[kept], phi[kept], track_pt[kept]


def ecal_pixels(towers: Towers) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return event, eta pixel, phi pixel and energy of ECAL cells, which are the pixels."""
    eta = towers.row - _ECAL_CENTRE - _FIRST_PIXEL
    kept = np.flatnonzero((eta >= 0) & (eta < ETA_PIXELS))
    return towers.event[kept], eta[kept], towers.column[kept], towers.energy[kept]


def hcal_pixels(towers: Towers) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return event, eta pixel, phi pixel and energy of HCAL cells, spread over 25 pixels each.

    The outermost cells extend beyond the image, which contains 15 of their 25 pixels.
    """
    lowest = BLOCK * (towers.row - _HCAL_CENTRE) - _FIRST_PIXEL
    inside = np.flatnonzero((lowest > -BLOCK) & (lowest < ETA_PIXELS))
    step_eta, step_phi = np.divmod(np.arange(BLOCK**2), BLOCK)
    eta = (lowest[inside, None] + step_eta).reshape(-1)
    phi = (BLOCK * towers.column[inside, None] + step_phi).reshape(-1)
    event = np.repeat(towers.event[inside], BLOCK**2)
    energy = np.repeat(towers.energy[inside] / BLOCK**2, BLOCK**2)
    kept = np.flatnonzero((eta >= 0) & (eta < ETA_PIXELS))
    return event[kept], eta[kept], phi[kept], energy[kept]


def as_events(
    hits: Hits,
    track_pt: Float64[np.ndarray, " particle"],
    ecal: Towers,
    hcal: Towers,
    *,
    number: int,
    label: int,
    mass: float,
) -> Events:
    """Return the images of `number` events in the raw layout, hits sorted.

    `n_tracks` counts all tracks in the image, also those that share a pixel.
    """
    tracks = track_pixels(hits, track_pt)
    channels = (tracks, ecal_pixels(ecal), hcal_pixels(hcal))
    event, eta, phi, energy = (np.concatenate(column) for column in zip(*channels, strict=True))
    channel = np.repeat(np.arange(len(CHANNELS)), [len(c[0]) for c in channels])
    key = ((event * len(CHANNELS) + channel) * ETA_PIXELS + eta) * PHI_PIXELS + phi
    kept, inverse = np.unique(key, return_inverse=True)
    place, phi = np.divmod(kept, PHI_PIXELS)
    place, eta = np.divmod(place, ETA_PIXELS)
    event, channel = np.divmod(place, len(CHANNELS))
    return Events(
        np.bincount(event, minlength=number).astype(np.int64),
        {
            "hit_channel": channel.astype(np.int8),
            "hit_eta": eta.astype(np.int16),
            "hit_phi": phi.astype(np.int16),
            "hit_energy": np.bincount(inverse, energy, len(kept)).astype(np.float32),
        },
        {
            "label": np.full(number, label, np.int64),
            "mass": np.full(number, mass, np.float32),
            "n_tracks": np.bincount(tracks[0], minlength=number).astype(np.float32),
        },
    )
