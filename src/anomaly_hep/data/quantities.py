"""The quantities of particles that features are made of, each computed once. GeV, mm, radians."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from anomaly_hep.data.jetframe import in_jet_frame
from anomaly_hep.errors import ConfigError
from anomaly_hep.types import Events


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
        return log(self.pt)

    @cached_property
    def log_energy(self) -> Shaped[np.ndarray, " particle"]:
        """Natural logarithm of the energy in GeV."""
        return log(self.particle("part_energy"))

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

    @cached_property
    def frame(self) -> Float64[np.ndarray, "4 particle"]:
        """Px, py, pz and energy in the frame of the jet, in units of its pT."""
        momenta = [self.particle(f"part_{axis}").astype(np.float64) for axis in ("px", "py", "pz")]
        return in_jet_frame(np.stack(momenta), self.events.lengths, self.events.events["jet_pt"])

    def log_of_jet(self, name: str) -> Shaped[np.ndarray, " particle"]:
        """Return the logarithm of a jet branch at each particle, computed once per jet."""
        return np.repeat(log(self.events.events[name]), self.events.lengths)


def log(values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Return the natural logarithm."""
    # the logarithm of zero is minus infinity, which `compute` refuses for a feature without clip
    with np.errstate(divide="ignore"):
        return np.log(values)


def wrapped(angle: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Return angles in radians between -pi and pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def log10(values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Return the decimal logarithm, and 0 for 0: missing momentum has no energy."""
    return np.log10(values, out=np.zeros_like(values), where=values > 0)
