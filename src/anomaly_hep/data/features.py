"""Features of the particles of jets and of the objects of events, as conf/data/*.yaml lists them.

Each has a centre, a scale and a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from anomaly_hep.bounds import Positive
from anomaly_hep.data.quantities import Quantities, log, log10, wrapped
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


@dataclass(frozen=True)
class Formula:
    """A feature as few operations on one quantity of a particle, in GeV or radians.

    quantity: its name; particle: its values. The feature is the quantity, divided by the event's
    `per`, if any, and its natural logarithm where `logarithm` says so.
    """

    quantity: str
    particle: Callable[[Quantities], Shaped[np.ndarray, " particle"]]
    per: str | None = None
    logarithm: bool = False


@dataclass(frozen=True)
class Definition:
    """How one feature is computed, the branches that this needs, and its formula if it has one."""

    needs: tuple[str, ...]
    value: Callable[[Quantities], Shaped[np.ndarray, " particle"]]
    formula: Formula | None = None


def _branch(name: str) -> Definition:
    """Return the definition of a feature that is a branch of the particles."""
    formula = Formula(name, lambda q: q.particle(name))
    return Definition((name,), formula.particle, formula)


def _logarithm(name: str) -> Definition:
    """Return the definition of a feature that is the logarithm of a branch."""
    formula = Formula(name, lambda q: q.particle(name), logarithm=True)
    return Definition((name,), lambda q: log(q.particle(name)), formula)


_MOMENTUM = ("part_px", "part_py")
_FRAME = (*_MOMENTUM, "part_pz", "jet_pt")
DEFINITIONS: Mapping[str, Definition] = {
    "pt_rel": Definition(
        (*_MOMENTUM, "jet_pt"),
        lambda q: q.pt / q.jet("jet_pt"),
        Formula("pt", lambda q: q.pt, per="jet_pt"),
    ),
    "delta_eta": _branch("part_deta"),
    "delta_phi": _branch("part_dphi"),
    "log_pt": Definition(
        _MOMENTUM, lambda q: q.log_pt, Formula("pt", lambda q: q.pt, logarithm=True)
    ),
    "log_energy": _logarithm("part_energy"),
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
    "d0_error": _branch("part_d0err"),
    "dz_error": _branch("part_dzerr"),
    "log_part_pt": _logarithm("part_pt"),
    "eta_from_hardest": Definition(("part_pt", "part_eta"), lambda q: q.from_hardest("part_eta")),
    "phi_from_hardest": Definition(
        ("part_pt", "part_phi"), lambda q: wrapped(q.from_hardest("part_phi"))
    ),
    "frame_px": Definition(_FRAME, lambda q: q.frame[0]),
    "frame_py": Definition(_FRAME, lambda q: q.frame[1]),
    "frame_pz": Definition(_FRAME, lambda q: q.frame[2]),
    "frame_energy": Definition(_FRAME, lambda q: q.frame[3]),
    "object_log10_energy": Definition(("obj_energy",), lambda q: log10(q.particle("obj_energy"))),
    "object_log10_pt": Definition(("obj_pt",), lambda q: log10(q.particle("obj_pt"))),
    "object_eta": _branch("obj_eta"),
    "object_phi": _branch("obj_phi"),
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
        return _branch(column)

    @property
    def formula(self) -> Formula:
        """The feature's formula; without one of its own, its value is the quantity."""
        return self.definition.formula or Formula(self.name, self.definition.value)


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
