"""Columns of jets that follow from others: momenta, angles to the axis, energies. GeV, radians.

The names are those of JetClass, so that what reads its jets reads these. Particles without a stored
energy are massless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from anomaly_hep.formats.jetrules import BEAM_GEV, RULES, bounded
from anomaly_hep.formats.layout import Column, Layout, Rule, alike
from anomaly_hep.types import Events

_F32 = np.dtype(np.float32)
_LEAST_PT = 1.0  # GeV; no jet is measured below
_MEV = "divide by 1000 if these are MeV"
# a jet of one massless particle has no mass but for rounding, then given as -sqrt(-m^2)
_MASS = Column(_F32, "GeV", least=0, most=BEAM_GEV, slack=0.5, hint=_MEV)
_MOMENTUM = Column(_F32, "GeV", least=-BEAM_GEV, most=BEAM_GEV, hint=_MEV)
# what a particle and a jet are given by
PARTICLES: Mapping[str, Column] = {
    "part_pt": Column(_F32, "GeV", above=0, most=BEAM_GEV, hint=_MEV),
    "part_eta": Column(_F32, least=-10, most=10),
    "part_phi": Column(_F32, "rad", least=-math.pi, most=math.pi, slack=1e-5),
}
JETS: Mapping[str, Column] = {
    **bounded(
        {
            **alike(_F32, "GeV", "jet_pt"),
            **alike(_F32, "", "jet_eta"),
            **alike(_F32, "rad", "jet_phi"),
        }
    ),
    "jet_mass": _MASS,
}


def _nothing_in_it(events: Events) -> Bool[np.ndarray, " event"]:
    return events.lengths == 0


def _too_soft(events: Events) -> Bool[np.ndarray, " event"]:
    return events.events["jet_pt"] < _LEAST_PT


def _too_heavy(events: Events) -> Bool[np.ndarray, " event"]:
    return events.events["jet_mass"] > events.events["jet_pt"]


EMPTY = Rule(("part_pt",), _nothing_in_it, "it has no particle")
LAYOUT = Layout(
    particles={
        **PARTICLES,
        **dict.fromkeys(("part_px", "part_py", "part_pz"), _MOMENTUM),
        **bounded(
            {
                **alike(_F32, "GeV", "part_energy"),
                **alike(_F32, "", "part_deta"),
                **alike(_F32, "rad", "part_dphi"),
            }
        ),
    },
    events={
        **JETS,
        **bounded(alike(_F32, "GeV", "jet_energy")),
        "jet_nparticles": Column(_F32, above=0),
    },
    multiplicity="jet_nparticles",
    rules=(
        EMPTY,
        Rule(
            ("jet_pt",),
            _too_soft,
            f"the jet has less than {_LEAST_PT:g} GeV",
            "multiply by 1000 if these are TeV",
        ),
        Rule(
            ("jet_mass", "jet_pt"),
            _too_heavy,
            "it is above the jet's pT, as no mass of a jet is",
            "store the mass, not the energy",
        ),
        *RULES,
    ),
)


def with_derived(events: Events, columns: Sequence[str]) -> Events:
    """Return exactly the `columns`: those that the events have, and what follows from them.

    The events have the columns PARTICLES and JETS at least.
    """
    known = _Known(events)
    return Events(
        events.lengths,
        {name: known.column(name) for name in columns if name in LAYOUT.particles},
        {name: known.column(name) for name in columns if name not in LAYOUT.particles},
    )


class _Known:
    """The columns that events have, in float64, and those that follow, in their own type."""

    def __init__(self, events: Events) -> None:
        self._columns = {**events.particles, **events.events}
        self._in_float64: dict[str, np.ndarray] = {}
        self.lengths = events.lengths

    def column(self, name: str) -> Shaped[np.ndarray, " row"]:
        if name in self._columns:
            return self._columns[name]
        with np.errstate(all="ignore"):  # of values that are out of bounds themselves
            return LAYOUT[name].rounded(_DERIVED[name](self).astype(LAYOUT[name].dtype))

    def __getitem__(self, name: str) -> Float64[np.ndarray, " row"]:
        if name not in self._in_float64:
            self._in_float64[name] = self._columns[name].astype(np.float64)
        return self._in_float64[name]

    def of_jet(self, name: str) -> Float64[np.ndarray, " particle"]:
        """Return a column of the jets at each of their particles."""
        return np.repeat(self[name], self.lengths)


def _energy(known: _Known) -> Float64[np.ndarray, " event"]:
    momentum = known["jet_pt"] * np.cosh(known["jet_eta"])
    return np.hypot(momentum, known["jet_mass"])


def _deta(known: _Known) -> Float64[np.ndarray, " particle"]:
    axis = known.of_jet("jet_eta")
    return np.where(axis > 0, 1.0, -1.0) * (known["part_eta"] - axis)


def wrapped(angle: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
    """Return angles in radians between -pi and pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


_DERIVED: Mapping[str, Callable[[_Known], np.ndarray]] = {
    "part_px": lambda known: known["part_pt"] * np.cos(known["part_phi"]),
    "part_py": lambda known: known["part_pt"] * np.sin(known["part_phi"]),
    "part_pz": lambda known: known["part_pt"] * np.sinh(known["part_eta"]),
    "part_energy": lambda known: known["part_pt"] * np.cosh(known["part_eta"]),
    "part_deta": _deta,  # + away from the middle of the beam, as JetClass has it
    "part_dphi": lambda known: wrapped(known["part_phi"] - known.of_jet("jet_phi")),
    "jet_energy": _energy,
    "jet_nparticles": lambda known: known.lengths,
}


def of_momenta(
    lengths: Int64[np.ndarray, " event"],
    momenta: Float64[np.ndarray, "4 particle"],
) -> tuple[dict[str, Float32[np.ndarray, " particle"]], dict[str, Float32[np.ndarray, " event"]]]:
    """Return PARTICLES of particles given by E, px, py, pz (GeV), and JETS of their sums.

    Events without particles have jets of zeros.
    """
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    sums = np.zeros((4, len(lengths)))
    filled = lengths > 0
    if filled.any():
        sums[:, filled] = np.add.reduceat(momenta, edges[:-1][filled], axis=1)
    with np.errstate(all="ignore"):  # of values that are out of bounds themselves
        particles = zip(PARTICLES, _polar(momenta), strict=True)
        squared = sums[0] ** 2 - (sums[1:] ** 2).sum(0)
        mass = np.sqrt(np.maximum(squared, 0))
        jets = zip(JETS, (*_polar(sums), mass), strict=True)
        return _in_float32(dict(particles)), _in_float32(dict(jets))


def _polar(momenta: Float64[np.ndarray, "4 row"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pT, eta and phi; along the beam, pT is 0 and eta, infinite, is out of bounds."""
    _, px, py, pz = momenta
    pt = np.hypot(px, py)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=(pz != 0) | (pt != 0)))
    return pt, eta, np.arctan2(py, px)


def _in_float32(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {n: LAYOUT[n].rounded(values.astype(np.float32)) for n, values in columns.items()}
