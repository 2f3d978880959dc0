"""What holds for every jet of proton collisions: bounds of columns, and relations.

The names of columns are those that JetClass and JetClass-II share. Units: GeV, mm, radians.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from anomaly_hep.formats.layout import Column, Rule
from anomaly_hep.types import Events

BEAM_GEV = 50_000.0  # no particle and no jet has more than a beam of the largest collider planned
_MEV = "divide by 1000 if these are MeV"
_ROUNDING_GEV = 1e-3
_ANGLE = Column(
    np.dtype(np.float32),
    least=-math.pi,
    most=math.pi,
    slack=1e-5,  # the nearest float32 to pi lies above it
    hint="store angles as np.arctan2(np.sin(x), np.cos(x))",
)
_FLAG = Column(np.dtype(np.int32), least=0, most=1)
_ERROR = Column(np.dtype(np.float32), least=0, slack=1e-6)
_ENERGY = Column(np.dtype(np.float32), least=0, most=BEAM_GEV, slack=_ROUNDING_GEV, hint=_MEV)
_JET_ENERGY = replace(_ENERGY, least=None, above=0, slack=0.0)
_TAU = Column(np.dtype(np.float32), least=0, slack=1e-5)
_BOUNDS: Mapping[str, Column] = {
    "part_energy": _ENERGY,
    "part_deta": replace(_ANGLE, least=-10, most=10, hint="store it relative to the jet's axis"),
    "part_dphi": _ANGLE,
    "part_d0err": _ERROR,
    "part_dzerr": _ERROR,
    "part_charge": replace(_FLAG, least=-1),
    **dict.fromkeys(("part_isChargedHadron", "part_isNeutralHadron", "part_isPhoton",
                     "part_isElectron", "part_isMuon"), _FLAG),
    "jet_pt": _JET_ENERGY,
    "jet_energy": _JET_ENERGY,
    "jet_eta": Column(np.dtype(np.float32), least=-10, most=10),
    "jet_phi": _ANGLE,
    **dict.fromkeys(("jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4"), _TAU),
}  # fmt: skip


def bounded(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return a format's columns with the bounds that hold for every jet."""
    return {
        name: replace(_BOUNDS[name], dtype=column.dtype, unit=column.unit)
        if name in _BOUNDS
        else column
        for name, column in columns.items()
    }


def _sum(events: Events, name: str) -> Float64[np.ndarray, " event"]:
    return _per_event(events, events.particles[name])


def _per_event(events: Events, values: np.ndarray) -> Float64[np.ndarray, " event"]:
    """Return the sums over each event's particles, to the digits that `values` have."""
    sums, filled = np.zeros(len(events)), events.lengths > 0
    if filled.any():
        # of consecutive rows this is ten times as quick as bincount
        sums[filled] = np.add.reduceat(values, events.offsets[:-1][filled])
    return sums


def _any(events: Events, broken: Bool[np.ndarray, " particle"]) -> Bool[np.ndarray, " event"]:
    if not broken.any():
        return np.zeros(len(events), bool)
    return _per_event(events, broken.astype(np.int32)) > 0


def _other_energy(events: Events) -> Bool[np.ndarray, " event"]:
    return _differs(_sum(events, "part_energy"), events.events["jet_energy"])


def _other_momentum(events: Events) -> Bool[np.ndarray, " event"]:
    total = np.hypot(_sum(events, "part_px"), _sum(events, "part_py"))
    return _differs(total, events.events["jet_pt"])


def _differs(
    summed: Float64[np.ndarray, " event"], stated: np.ndarray
) -> Bool[np.ndarray, " event"]:
    """Return where two numbers differ by more than a factor of 2, in jets that have particles.

    Files with the hardest particles alone keep most of a jet: their sums are not exact.
    """
    return (summed > 0) & ((summed > 2 * stated) | (summed < 0.5 * stated))


_MOMENTUM = ("part_px", "part_py", "part_pz")


def _below_momentum(events: Events) -> Bool[np.ndarray, " event"]:
    px, py, pz = (
        events.particles[f"part_{axis}"].astype(np.float64) for axis in ("px", "py", "pz")
    )
    energy = events.particles["part_energy"]
    momentum = np.sqrt(px * px + py * py + pz * pz)
    # an energy of zero, or of a rounding around it, says nothing about units
    below = energy < momentum * (1 - 1e-3) - _ROUNDING_GEV
    return _any(events, below & (energy > _ROUNDING_GEV))


def _off_axis(events: Events) -> Bool[np.ndarray, " event"]:
    px, py = events.particles["part_px"], events.particles["part_py"]
    pt = np.sqrt(px * px + py * py)
    total = np.maximum(_per_event(events, pt), np.finfo(np.float32).tiny)
    means = (_per_event(events, pt * events.particles[n]) for n in ("part_deta", "part_dphi"))
    return np.hypot(*(mean / total for mean in means)) > 0.5


def _other_angles(events: Events) -> Bool[np.ndarray, " event"]:
    """Return where the angles to the axis are not those of the momenta, whatever the axis is."""
    px, py, pz = (events.particles[name].astype(np.float64) for name in _MOMENTUM)
    pt = np.maximum(np.hypot(px, py), np.finfo(np.float64).tiny)
    turned = _from_first(events, np.arctan2(py, px) - events.particles["part_dphi"])
    far = np.abs((turned + math.pi) % (2 * math.pi) - math.pi) > 0.05
    eta, deta = np.arcsinh(pz / pt), events.particles["part_deta"]
    # part_deta has the sign of the jet's eta in it
    either = [np.abs(_from_first(events, eta + sign * deta)) > 0.05 for sign in (-1, 1)]
    shifted = np.minimum(*(_per_event(events, far.astype(np.float32)) for far in either))
    few = 0.1 * events.lengths
    return (_per_event(events, far.astype(np.float32)) > few) | (shifted > few)


def _from_first(events: Events, values: np.ndarray) -> np.ndarray:
    """Return the values minus that of the first particle of the same jet."""
    filled = events.lengths > 0
    first = values[events.offsets[:-1][filled]]
    return values - np.repeat(first, events.lengths[filled])


_CHARGED = ("part_isChargedHadron", "part_isElectron", "part_isMuon")
_NEUTRAL = ("part_isNeutralHadron", "part_isPhoton")


def _not_one_type(events: Events) -> Bool[np.ndarray, " event"]:
    flags = [events.particles[name] for name in (*_CHARGED, *_NEUTRAL)]
    total = flags[0].astype(np.int8)
    for flag in flags[1:]:
        total += flag.astype(np.int8)
    return _any(events, total != 1)


def _other_charge(events: Events) -> Bool[np.ndarray, " event"]:
    charged = np.zeros(len(events.particles["part_charge"]), bool)
    for name in _CHARGED:
        charged |= events.particles[name] != 0
    return _any(events, charged != (events.particles["part_charge"] != 0))


RULES = (
    Rule(
        (*_CHARGED, *_NEUTRAL),
        _not_one_type,
        "a particle has no type, or several, by its flags part_is*",
        "set exactly one of them",
    ),
    Rule(
        ("part_charge", *_CHARGED),
        _other_charge,
        "the charge of a particle contradicts its type: charged ones have -1 or 1, neutral ones 0",
    ),
    Rule(
        ("jet_pt", "part_px", "part_py"),
        _other_momentum,
        "it is not near the pT of the particles' sum",
        "store both in GeV",
    ),
    Rule(
        ("jet_energy", "part_energy"),
        _other_energy,
        "it is not near the sum of the particles' energies",
        "store both in GeV",
    ),
    Rule(
        ("part_energy", *_MOMENTUM),
        _below_momentum,
        "the energy of a particle is below its momentum",
        "store both in GeV",
    ),
    Rule(
        ("part_deta", "part_dphi", "part_px", "part_py"),
        _off_axis,
        "the particles lie more than 0.5 from the axis of their jet",
        "store part_deta and part_dphi relative to the jet, and within -pi and pi",
    ),
    Rule(
        ("part_deta", "part_dphi", *_MOMENTUM),
        _other_angles,
        "part_deta and part_dphi are not the angles of the momenta",
        "compute both from part_px, part_py, part_pz and the jet",
    ),
)
