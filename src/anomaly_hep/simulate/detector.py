"""A CMS-like detector: generated particles → energy-flow candidates (tracks, photons, hadrons).

Follows Delphes module by module, for whole batches of events. Units: GeV, mm, radians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.errors import SimulationError
from anomaly_hep.simulate import calorimeter, impact_parameters, tracking
from anomaly_hep.simulate.calorimeter import Flow, Hits, Layer
from anomaly_hep.simulate.generator import Particles
from anomaly_hep.simulate.vectors import direction, transverse

CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)
# neutrinos, and dark matter: stable particles of hidden valleys, the lightest neutralino
INVISIBLE = (12, 14, 16, 51, 52, 53, 1000022)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Energy-flow candidates of a batch, grouped by event.

    `momentum` is (px, py, pz, E), `types` one of CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON
    and MUON. `impact` is (d0, sigma(d0), dz, sigma(dz)), all 0 for neutral candidates.
    """

    event: Int64[np.ndarray, " candidate"]
    momentum: Float64[np.ndarray, "4 candidate"]
    charge: Float64[np.ndarray, " candidate"]
    types: Int64[np.ndarray, " candidate"]
    impact: Float64[np.ndarray, "4 candidate"]

    def take(self, index: Int64[np.ndarray, " chosen"]) -> Candidates:
        """Return the candidates `index`, in that order."""
        return Candidates(
            self.event[index],
            self.momentum[:, index],
            self.charge[index],
            self.types[index],
            self.impact[:, index],
        )


@dataclass(frozen=True, eq=False)
class Readout:
    """The detector's response to a batch: energy-flow candidates, and their inputs.

    `hits` are the particles where they enter the calorimeters; `track_pt` is the measured pT (GeV)
    of each particle's track before energy flow, 0 without a track.
    """

    candidates: Candidates
    hits: Hits
    track_pt: Float64[np.ndarray, " particle"]


@dataclass(frozen=True)
class Detector:
    """The detector, with the options in which published Delphes cards of CMS differ.

    HCAL cells need an energy of `hcal_min_significance` times its resolution. `smear_momenta`
    smears track momenta and weights tracks in energy flow by their resolution; without it tracks
    are exact, but the energy of a cell without neutral excess replaces that of its tracks.
    Delphes' delphes_card_CMS.tcl has 2.0 and True. The card of JetClass's own production
    (jet-universe/jetclass_generation) has 1.0 and False: its TrackSmearing module has a momentum
    resolution of 0, which undoes the smearing and gives tracks no weight in energy flow.
    `track_resolution` is one of tracking.CARDS, `hcal` the HCAL with its cells.
    """

    hcal_min_significance: float
    smear_momenta: bool
    track_resolution: str = "CMS"
    hcal: Layer = calorimeter.HCAL

    def __post_init__(self) -> None:
        if self.track_resolution not in tracking.CARDS:
            raise SimulationError(
                f"track_resolution={self.track_resolution} does not exist. "
                f"Cure: choose among {', '.join(tracking.CARDS)}"
            )

    def measure(self, particles: Particles, rng: np.random.Generator) -> Candidates:
        """Return the energy-flow candidates of the final particles."""
        return self.read_out(particles, rng).candidates

    def read_out(self, particles: Particles, rng: np.random.Generator) -> Readout:
        """Return the detector's response to the final particles."""
        visible = _reaching(particles)
        pt, energy = transverse(visible.momentum), visible.momentum[3]
        paths = tracking.propagate(visible.momentum, visible.vertex, visible.charge)
        end = paths.end
        efficiency = tracking.efficiency(pt, end.eta, visible.pid)
        tracked = (visible.charge != 0) & (rng.random(len(pt)) < efficiency)
        resolution, factor = np.zeros(len(pt)), np.ones(len(pt))
        if self.smear_momenta:
            card = self.track_resolution
            resolution = tracking.momentum_resolution(pt, end.eta, visible.pid, card)
            factor = calorimeter.log_normal(factor, resolution, rng)
        track_pt = np.where(tracked, factor * pt, 0.0)
        flows = []
        for layer in self.layers:
            track_energy = np.where(tracked, visible.scaled_energy(factor), 0.0)
            hits = Hits(visible.event, end, visible.pid, energy, track_energy, resolution)
            flows.append(calorimeter.energy_flow(layer, hits, rng))
            # tracks enter the next layer with the momentum that this one gave them
            factor = factor * flows[-1].track_scale
        # tracks scaled to zero are dropped, as JetClass drops candidates without pT
        index = np.flatnonzero(tracked & (factor > 0))
        tracks = _tracks(visible.take(index), factor[index], paths.d0[index], paths.dz[index], rng)
        candidates = _merged(tracks, _neutral(flows[0], PHOTON), _neutral(flows[1], NEUTRAL_HADRON))
        return Readout(candidates, hits, track_pt)

    @property
    def layers(self) -> tuple[Layer, Layer]:
        """ECAL and HCAL."""
        hcal = replace(self.hcal, min_significance=self.hcal_min_significance)
        return calorimeter.ECAL, hcal


@dataclass(frozen=True, eq=False)
class _Visible:
    event: np.ndarray
    pid: np.ndarray
    charge: np.ndarray
    momentum: np.ndarray
    vertex: np.ndarray

    def take(self, index: np.ndarray) -> _Visible:
        return _Visible(
            self.event[index],
            self.pid[index],
            self.charge[index],
            self.momentum[:, index],
            self.vertex[:, index],
        )

    def scaled_energy(self, factor: np.ndarray) -> np.ndarray:
        """Return the energy for `factor` times the momentum, with the true mass."""
        momentum2 = (self.momentum[:3] ** 2).sum(axis=0)
        mass2 = np.maximum(self.momentum[3] ** 2 - momentum2, 0.0)
        energy: np.ndarray = np.sqrt(factor**2 * momentum2 + mass2)
        return energy


def arriving(particles: Particles) -> Hits:
    """Return the visible particles where they enter the calorimeters, without tracks."""
    visible = _reaching(particles)
    end = tracking.propagate(visible.momentum, visible.vertex, visible.charge).end
    none = np.zeros(len(visible.pid))
    return Hits(visible.event, end, visible.pid, visible.momentum[3], none, none)


def _reaching(particles: Particles) -> _Visible:
    """Return the visible particles that can reach a calorimeter cell, |eta| < 5.

    A helix from the beam line stays closer to the beam than its tangent, so |eta| only grows.
    """
    final = np.flatnonzero(particles.final & ~np.isin(np.abs(particles.pid), INVISIBLE))
    momentum, vertex = particles.momentum[:, final], particles.vertex[:, final]
    pt = transverse(momentum)
    keep = (
        (np.abs(momentum[2]) < np.sinh(calorimeter.MAX_ABS_ETA) * pt)
        & (pt > 3e-5)  # GeV; Delphes' own bound
        & tracking.inside(vertex)
    )
    index = final[keep]
    return _Visible(
        particles.event[index],
        particles.pid[index],
        particles.charge[index],
        momentum[:, keep],
        vertex[:, keep],
    )


def _tracks(
    tracked: _Visible, factor: np.ndarray, d0: np.ndarray, dz: np.ndarray, rng: np.random.Generator
) -> Candidates:
    # the tracker's resolution depends on the true momentum
    d0_error, dz_error = impact_parameters.resolution(
        transverse(tracked.momentum), direction(tracked.momentum).eta
    )
    code = np.abs(tracked.pid)
    return Candidates(
        event=tracked.event,
        momentum=np.concatenate([factor * tracked.momentum[:3], [tracked.scaled_energy(factor)]]),
        charge=tracked.charge,
        types=np.where(code == 11, ELECTRON, np.where(code == 13, MUON, CHARGED_HADRON)),
        impact=np.stack([rng.normal(d0, d0_error), d0_error, rng.normal(dz, dz_error), dz_error]),
    )


def _neutral(flow: Flow, particle_type: int) -> Candidates:
    eta, phi = flow.direction
    pt = flow.energy / np.cosh(eta)
    return Candidates(
        event=flow.event,
        momentum=np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), flow.energy]),
        charge=np.zeros(len(pt)),
        types=np.full(len(pt), particle_type),
        impact=np.zeros((4, len(pt))),
    )


def _merged(*parts: Candidates) -> Candidates:
    event = np.concatenate([part.event for part in parts])
    whole = Candidates(
        event,
        np.concatenate([part.momentum for part in parts], axis=1),
        np.concatenate([part.charge for part in parts]),
        np.concatenate([part.types for part in parts]),
        np.concatenate([part.impact for part in parts], axis=1),
    )
    return whole.take(np.argsort(event, kind="stable"))
