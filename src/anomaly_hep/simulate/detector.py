"""A CMS-like detector: generated particles → energy-flow candidates (tracks, photons, hadrons).

Follows Delphes module by module, vectorised over whole batches of events. Units: GeV, mm, radians.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.errors import ConfigError
from anomaly_hep.simulate import calorimeter, impact_parameters, tracking
from anomaly_hep.simulate.calorimeter import Flow, Layer
from anomaly_hep.simulate.generator import Particles

CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)

CARDS = ("cms", "jetclass")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Energy-flow candidates of a batch, grouped by event; impact parameters are 0 without a track.

    `kind` is one of CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON and MUON.
    """

    event: Int64[np.ndarray, " candidate"]
    px: Float64[np.ndarray, " candidate"]
    py: Float64[np.ndarray, " candidate"]
    pz: Float64[np.ndarray, " candidate"]
    energy: Float64[np.ndarray, " candidate"]
    charge: Float64[np.ndarray, " candidate"]
    kind: Int64[np.ndarray, " candidate"]
    d0: Float64[np.ndarray, " candidate"]
    d0_error: Float64[np.ndarray, " candidate"]
    dz: Float64[np.ndarray, " candidate"]
    dz_error: Float64[np.ndarray, " candidate"]

    def take(self, index: Int64[np.ndarray, " chosen"]) -> Candidates:
        """Return the candidates `index`, in that order."""
        return Candidates(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True)
class Detector:
    """The choices in which published Delphes cards of CMS differ.

    `smear_momenta` smears track momenta and lets energy flow weigh tracks by their resolution;
    without it tracks are exact, but any cell without a neutral excess overrules its tracks.
    """

    hcal: Layer
    smear_momenta: bool

    @staticmethod
    def from_card(card: str) -> Detector:
        """Return the detector of a card.

        "cms" is Delphes' delphes_card_CMS.tcl. "jetclass" is the card of JetClass's own production
        (jet-universe/jetclass_generation): HCAL cells count from one sigma on, and its
        TrackSmearing module, told a momentum resolution of 0, undoes the momentum smearing and
        makes energy flow trust the calorimeter.
        """
        if card not in CARDS:
            raise ConfigError(f"No detector card '{card}'. Cure: choose one of {', '.join(CARDS)}")
        if card == "cms":
            return Detector(calorimeter.HCAL, smear_momenta=True)
        return Detector(replace(calorimeter.HCAL, min_significance=1.0), smear_momenta=False)

    def measure(self, particles: Particles, rng: np.random.Generator) -> Candidates:
        """Return what the detector sees of the final particles."""
        seen = _reaching(particles)
        pt = np.hypot(seen.px, seen.py)
        paths = tracking.propagate(seen.px, seen.py, seen.pz, seen.x, seen.y, seen.z, seen.charge)
        efficiency = tracking.efficiency(pt, paths.eta, seen.pid)
        tracked = (seen.charge != 0) & (rng.random(len(pt)) < efficiency)
        resolution, factor = np.zeros(len(pt)), np.ones(len(pt))
        if self.smear_momenta:
            resolution = tracking.momentum_resolution(pt, paths.eta, seen.pid)
            factor = calorimeter.log_normal(factor, resolution, rng)
        mass2 = np.maximum(seen.energy**2 - pt**2 - seen.pz**2, 0.0)

        def track_energy() -> np.ndarray:
            momentum2 = factor**2 * (pt**2 + seen.pz**2)
            return np.where(tracked, np.sqrt(momentum2 + mass2), 0.0)

        flows = []
        for layer in (calorimeter.ECAL, self.hcal):
            flow = calorimeter.energy_flow(
                layer, seen.event, paths.eta, paths.phi, seen.pid, seen.energy,
                track_energy(), resolution, rng,
            )  # fmt: skip
            flows.append(flow)
            factor = factor * flow.track_scale
        # Delphes keeps tracks scaled to nothing; readers of JetClass drop candidates without pT
        track = np.flatnonzero(tracked & (factor > 0))
        tracks = _tracks(seen, track, factor[track], mass2[track], paths, rng)
        return _merged(tracks, _neutral(flows[0], PHOTON), _neutral(flows[1], NEUTRAL_HADRON))


@dataclass(frozen=True, eq=False)
class _Seen:
    event: np.ndarray
    pid: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    charge: np.ndarray


def _reaching(particles: Particles) -> _Seen:
    """Return the final particles that are born inside the tracker and move away from the beam."""
    keep = np.flatnonzero(
        particles.final
        & ~np.isin(np.abs(particles.pid), (12, 14, 16))
        & tracking.inside(particles.x, particles.y, particles.z)
        & (particles.px**2 + particles.py**2 > 1e-9)
    )
    return _Seen(*(getattr(particles, field.name)[keep] for field in fields(_Seen)))


def _tracks(
    seen: _Seen,
    index: np.ndarray,
    factor: np.ndarray,
    mass2: np.ndarray,
    paths: tracking.Paths,
    rng: np.random.Generator,
) -> Candidates:
    px, py, pz = (factor * getattr(seen, name)[index] for name in ("px", "py", "pz"))
    # the tracker's resolution depends on the true momentum
    true_pt = np.hypot(seen.px, seen.py)[index]
    d0_error, dz_error = impact_parameters.resolution(true_pt, np.arcsinh(seen.pz[index] / true_pt))
    kind = np.abs(seen.pid[index])
    return Candidates(
        event=seen.event[index],
        px=px,
        py=py,
        pz=pz,
        energy=np.sqrt(px**2 + py**2 + pz**2 + mass2),
        charge=seen.charge[index],
        kind=np.where(kind == 11, ELECTRON, np.where(kind == 13, MUON, CHARGED_HADRON)),
        d0=rng.normal(paths.d0[index], d0_error),
        d0_error=d0_error,
        dz=rng.normal(paths.dz[index], dz_error),
        dz_error=dz_error,
    )


def _neutral(flow: Flow, kind: int) -> Candidates:
    pt = flow.energy / np.cosh(flow.eta)
    zero = np.zeros(len(pt))
    return Candidates(
        event=flow.event,
        px=pt * np.cos(flow.phi),
        py=pt * np.sin(flow.phi),
        pz=pt * np.sinh(flow.eta),
        energy=flow.energy,
        charge=zero,
        kind=np.full(len(pt), kind),
        d0=zero,
        d0_error=zero,
        dz=zero,
        dz_error=zero,
    )


def _merged(*parts: Candidates) -> Candidates:
    whole = Candidates(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Candidates))
    )
    return whole.take(np.argsort(whole.event, kind="stable"))
