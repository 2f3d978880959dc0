"""Features of the particles of jets and of the objects of events, as conf/data/*.yaml lists them.

Each has a centre, a scale and a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from anomaly_hep.bounds import Positive
from anomaly_hep.errors import BadFileError, ConfigError
from anomaly_hep.types import Events

PARTICLE_TYPES = (
    "charged_hadron_plus",
    "charged_hadron_minus",
    "neutral_hadron",
    "photon",
    "electron_minus",
    "electron_plus",
    "muon_minus",
    "muon_plus",
)
_FLAGS = tuple(
    f"part_is{name}" for name in ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
)
TYPE_COLUMNS = (*_FLAGS, "part_charge")
# index of PARTICLE_TYPES by [flag index, charge > 0]
_TYPE_OF = np.array([[1, 0], [2, 2], [3, 3], [4, 5], [6, 7]])


class Quantities:
    """The quantities that features are computed from, each computed once. GeV, mm and radians."""

    def __init__(self, events: Events) -> None:
        self.events = events

    def particle(self, name: str) -> Shaped[np.ndarray, " particle"]:
        """Return a particle branch."""
        if name not in self.events.particles:
            raise ConfigError(
                f"column {name} of data.features has one number per event, and none per particle. "
                "Cure: choose a column of the particles"
            )
        return self.events.particles[name]

    def jet(self, name: str) -> Shaped[np.ndarray, " particle"]:
        """Return a jet branch at each of the jet's particles."""
        return np.repeat(self.events.events[name], self.events.lengths)

    @cached_property
    def pt(self) -> Shaped[np.ndarray, " particle"]:
        """Transverse momentum in GeV."""
        px, py = self.particle("part_px"), self.particle("part_py")
        return np.sqrt(px * px + py * py)

    @cached_property
    def log_pt(self) -> Shaped[np.ndarray, " particle"]:
        """Natural logarithm of the transverse momentum in GeV."""
        return _log(self.pt)

    @cached_property
    def log_energy(self) -> Shaped[np.ndarray, " particle"]:
        """Natural logarithm of the energy in GeV."""
        return _log(self.particle("part_energy"))

    @cached_property
    def hardest(self) -> Int64[np.ndarray, " particle"]:
        """For each particle, the row of the particle of highest pT of its event."""
        pt, lengths = self.particle("part_pt"), self.events.lengths
        filled = lengths[lengths > 0]
        if not len(filled):
            return np.zeros(0, np.int64)
        first = np.cumsum(filled) - filled
        at_most = pt == np.repeat(np.maximum.reduceat(pt, first), filled)
        # the first of each event; a NaN equals nothing, and then any row will do
        rows = np.flatnonzero(at_most)
        found = (
            rows[np.minimum(np.searchsorted(rows, first), len(rows) - 1)] if len(rows) else first
        )
        return np.repeat(found, filled)

    def from_hardest(self, name: str) -> Shaped[np.ndarray, " particle"]:
        """Return the difference of a particle branch to the event's hardest particle."""
        values = self.particle(name)
        return values - values[self.hardest]

    def log_of_jet(self, name: str) -> Shaped[np.ndarray, " particle"]:
        """Return the logarithm of a jet branch at each particle, computed once per jet."""
        return np.repeat(_log(self.events.events[name]), self.events.lengths)


def _log(values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    # the logarithm of zero is minus infinity, which `compute` refuses for a feature without clip
    with np.errstate(divide="ignore"):
        return np.log(values)


def _wrapped(angle: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Return angles in radians between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _log10(values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Return the decimal logarithm, and 0 for 0: missing momentum has no energy."""
    return np.log10(values, out=np.zeros_like(values), where=values > 0)


@dataclass(frozen=True)
class Definition:
    """How one feature is computed, and the branches that this needs."""

    needs: tuple[str, ...]
    value: Callable[[Quantities], Shaped[np.ndarray, " particle"]]


_MOMENTUM = ("part_px", "part_py")
DEFINITIONS: Mapping[str, Definition] = {
    "pt_rel": Definition((*_MOMENTUM, "jet_pt"), lambda q: q.pt / q.jet("jet_pt")),
    "delta_eta": Definition(("part_deta",), lambda q: q.particle("part_deta")),
    "delta_phi": Definition(("part_dphi",), lambda q: q.particle("part_dphi")),
    "log_pt": Definition(_MOMENTUM, lambda q: q.log_pt),
    "log_energy": Definition(("part_energy",), lambda q: q.log_energy),
    "log_pt_rel": Definition((*_MOMENTUM, "jet_pt"), lambda q: q.log_pt - q.log_of_jet("jet_pt")),
    "log_energy_rel": Definition(
        ("part_energy", "jet_energy"), lambda q: q.log_energy - q.log_of_jet("jet_energy")
    ),
    "delta_r": Definition(
        ("part_deta", "part_dphi"),
        lambda q: np.hypot(q.particle("part_deta"), q.particle("part_dphi")),
    ),
    "tanh_d0": Definition(("part_d0val",), lambda q: np.tanh(q.particle("part_d0val"))),
    "tanh_dz": Definition(("part_dzval",), lambda q: np.tanh(q.particle("part_dzval"))),
    "d0_error": Definition(("part_d0err",), lambda q: q.particle("part_d0err")),
    "dz_error": Definition(("part_dzerr",), lambda q: q.particle("part_dzerr")),
    "log_part_pt": Definition(("part_pt",), lambda q: _log(q.particle("part_pt"))),
    "eta_from_hardest": Definition(("part_pt", "part_eta"), lambda q: q.from_hardest("part_eta")),
    "phi_from_hardest": Definition(
        ("part_pt", "part_phi"), lambda q: _wrapped(q.from_hardest("part_phi"))
    ),
    "object_log10_energy": Definition(("obj_energy",), lambda q: _log10(q.particle("obj_energy"))),
    "object_log10_pt": Definition(("obj_pt",), lambda q: _log10(q.particle("obj_pt"))),
    "object_eta": Definition(("obj_eta",), lambda q: q.particle("obj_eta")),
    "object_phi": Definition(("obj_phi",), lambda q: q.particle("obj_phi")),
}


@dataclass(frozen=True)
class Scaling:
    """How a quantity is scaled for a network: (value - center) * scale, clipped to +-clip.

    column: the particle column that holds the quantity, for a name that is not in DEFINITIONS.
    chip: the power of two that the scaled value stays below, of a feature for firmware.
    """

    center: float = 0.0
    scale: float = 1.0
    clip: Positive | None = None
    column: str | None = None
    chip: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class Feature(Scaling):
    """A named quantity with its scaling."""

    name: str

    @property
    def definition(self) -> Definition:
        """How the quantity is computed."""
        if (column := self.column) is None:
            return DEFINITIONS[self.name]
        return Definition((column,), lambda quantities: quantities.particle(column))


@dataclass(frozen=True, eq=False)
class ParticleInputs:
    """Scaled features and types of particles; `clipped` counts the clipped values per feature."""

    features: Float32[np.ndarray, "particle feature"]
    types: Int64[np.ndarray, " particle"] | None
    clipped: Int64[np.ndarray, " feature"]


class FeatureList:
    """The features in the configuration's order; `types`: whether particles have types."""

    def __init__(
        self, settings: Mapping[str, Mapping[str, Any] | None], *, types: bool = True
    ) -> None:
        self.types = types
        try:
            self.features = [Feature(name=name, **(keys or {})) for name, keys in settings.items()]
        except TypeError as error:
            raise ConfigError(
                f"data.features: {error}. Cure: the keys are center, scale, clip, column and chip"
            ) from error
        for feature in self.features:
            if feature.column is not None and feature.name in DEFINITIONS:
                raise ConfigError(
                    f"data.features.{feature.name} is a feature of its own, and no column can "
                    "stand for it. Cure: give the column another name"
                )
            if feature.column is None and feature.name not in DEFINITIONS:
                raise ConfigError(
                    f"data.features.{feature.name} does not exist. Cure: choose from "
                    f"{', '.join(DEFINITIONS)}, or name a column of the particles: "
                    f"data.features.{feature.name}.column"
                )

    @property
    def names(self) -> list[str]:
        """Names in order."""
        return [feature.name for feature in self.features]

    @property
    def columns(self) -> list[str]:
        """Branches to read for the features and the particle types, never a label."""
        needed = [name for feature in self.features for name in feature.definition.needs]
        return list(dict.fromkeys([*needed, *(TYPE_COLUMNS if self.types else ())]))

    def compute(self, events: Events, path: Path | str = "events") -> ParticleInputs:
        """Return the network's inputs for `events`.

        Raises BadFileError, with the event's number among these, for a feature that is not finite.
        """
        quantities = Quantities(events)
        # one contiguous row per feature is faster to fill; transposed at the end
        table = np.empty((len(self.features), int(events.lengths.sum())), np.float32)
        clipped = np.zeros(len(self.features), np.int64)
        for row, feature in enumerate(self.features):
            column = table[row]
            np.subtract(feature.definition.value(quantities), feature.center, out=column)
            column *= feature.scale
            if feature.clip is not None:
                clipped[row] = np.count_nonzero(np.abs(column) > feature.clip)
                np.clip(column, -feature.clip, feature.clip, out=column)
            if not np.isfinite(column.sum()) and not np.isfinite(column).all():
                particle = int(np.flatnonzero(~np.isfinite(column))[0])
                entry = int(np.searchsorted(events.offsets, particle, side="right")) - 1
                raise BadFileError(
                    path,
                    f"feature {feature.name} is not finite",
                    branch=feature.definition.needs[0],
                    entry=entry,
                    cure=f"give data.features.{feature.name} a clip, or leave the file out",
                )
        types = particle_types(events, path) if self.types else None
        return ParticleInputs(np.ascontiguousarray(table.T), types, clipped)


def particle_types(events: Events, path: Path | str = "events") -> Int64[np.ndarray, " particle"]:
    """Return each particle's index in `PARTICLE_TYPES`; each must carry exactly one type flag."""
    flags = [events.particles[name] for name in _FLAGS]
    total = np.zeros(len(flags[0]), np.int8)
    number = np.zeros(len(flags[0]), np.int8)
    for index, flag in enumerate(flags):
        is_set = flag != 0
        total += is_set
        number += index * is_set.view(np.int8)
    if (total != 1).any():
        particle = int(np.flatnonzero(total != 1)[0])
        entry = int(np.searchsorted(events.offsets, particle, side="right")) - 1
        raise BadFileError(
            path,
            f"a particle carries {total[particle]} type flags",
            branch=_FLAGS[0],
            entry=entry,
            cure="each particle needs exactly one of " + ", ".join(_FLAGS),
        )
    positive = (events.particles["part_charge"] > 0).view(np.int8)
    lookup = _TYPE_OF.ravel()
    return lookup[2 * number + positive]
