"""Pythia 8: from settings and a seed to batches of generated particles as flat arrays.

The only file that imports pythia8mc. Units: GeV, mm (production vertices), charges in e.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.errors import SimulationError

# Pythia's own range; 0 would mean "seed from the clock".
MAX_SEED = 900_000_000

# Pythia and its SLHA reader would print hundreds of lines per process.
_SILENCE = ("Print:quiet = on", "SLHA:verbose = 0")


@dataclass(frozen=True, eq=False)
class Particles:
    """All particles of a batch of events, intermediate ones included, in Pythia's order.

    `momentum` is (px, py, pz, E), `vertex` the production vertex (x, y, z), `charge` is 0 except
    for final particles. `daughter1` and `daughter2` are positions in the particle's own event; 0
    means none.
    """

    lengths: Int64[np.ndarray, " event"]
    pid: Int64[np.ndarray, " particle"]
    status: Int64[np.ndarray, " particle"]
    daughter1: Int64[np.ndarray, " particle"]
    daughter2: Int64[np.ndarray, " particle"]
    charge: Float64[np.ndarray, " particle"]
    momentum: Float64[np.ndarray, "4 particle"]
    vertex: Float64[np.ndarray, "3 particle"]

    @property
    def event(self) -> Int64[np.ndarray, " particle"]:
        """Event number of each particle, from 0."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def final(self) -> Bool[np.ndarray, " particle"]:
        """True for the particles that reach the detector."""
        return self.status > 0


@runtime_checkable
class Veto(Protocol):
    """Rejects events before Pythia finishes them; `process` and `event` are Pythia's records."""

    scale: float

    def wrong_process(self, process: Any) -> bool:
        """Return whether to drop a hard process, given with its resonance decays."""

    def hopeless(self, process: Any, event: Any) -> bool:
        """Return whether to drop an event; called when its shower reaches `scale` (GeV)."""


class Generator:
    """One Pythia instance.

    `settings` are Pythia's own strings ("PhaseSpace:pTHatMin = 400."). Raises SimulationError for
    settings that Pythia does not know or cannot start with.
    """

    def __init__(self, settings: Sequence[str], seed: int, *, veto: Veto | None = None) -> None:
        import pythia8mc

        if not 0 < seed <= MAX_SEED:
            raise SimulationError(
                f"Pythia cannot use the seed {seed}. Cure: choose one from 1 to {MAX_SEED}"
            )
        started = time.process_time()
        self._pythia = pythia8mc.Pythia("", False)
        for line in (*_SILENCE, *settings, "Random:setSeed = on", f"Random:seed = {seed}"):
            if not self._pythia.readString(line):
                raise SimulationError(
                    f"Pythia refused the setting '{line}'. Cure: mend its name or value; "
                    "names are in the manual, https://pythia.org/manuals"
                )
        self._hook = None if veto is None else _user_hook(pythia8mc, veto)
        if self._hook is not None:
            self._pythia.setUserHooksPtr(self._hook)
        if not self._pythia.init():
            raise SimulationError(
                f"Pythia could not start with the settings {list(settings)}. "
                "Cure: switch on at least one process and widen the phase space"
            )
        self._charges: dict[int, float] = {}
        self.requested = 0
        self.generated = 0
        self.seconds = time.process_time() - started  # CPU time inside Pythia

    @property
    def skipped(self) -> int:
        """The number of requested events that Pythia could not generate, so far."""
        return self.requested - self.generated

    @property
    def vetoed(self) -> int:
        """The number of events that the veto dropped, so far."""
        return 0 if self._hook is None else int(self._hook.vetoed)

    @property
    def cross_section(self) -> float:
        """The cross-section (fb) of the events that the veto keeps, so far; 0 before the first.

        Forced decays of W, Z and t from Pythia's hard processes are in it, those in the decays of
        charginos and neutralinos are not.
        """
        return float(self._pythia.infoPython().sigmaGen()) * 1e12  # from mb

    def batch(self, size: int) -> Particles:
        """Generate `size` events; those that Pythia cannot generate are counted and left out."""
        started = time.process_time()
        # "skip", because one event that cannot be hadronised must not stop a production
        run = self._pythia.nextBatch(size, errorMode="skip")
        self.seconds += time.process_time() - started
        self.requested += size
        self.generated += len(run)
        if len(run) == 0:
            raise SimulationError(
                f"Pythia gave up on all of {size} events in a row. "
                "Cure: look for settings that contradict each other"
            )
        return self._flatten(run.prt)

    def _flatten(self, prt: Any) -> Particles:
        flat = ak.flatten(prt)

        def column(array: Any) -> np.ndarray:
            return np.asarray(ak.to_numpy(array))

        pid, status = column(flat.id).astype(np.int64), column(flat.status).astype(np.int64)
        charge = np.zeros(len(pid))
        charge[status > 0] = self._charge(pid[status > 0])
        return Particles(
            lengths=column(ak.num(prt.id)).astype(np.int64),
            pid=pid,
            status=status,
            daughter1=column(flat.daughter1).astype(np.int64),
            daughter2=column(flat.daughter2).astype(np.int64),
            charge=charge,
            momentum=np.stack([column(flat.p[name]) for name in ("px", "py", "pz", "e")]),
            vertex=_vertices(flat.vProd.layout),
        )

    def _charge(self, pid: Int64[np.ndarray, " particle"]) -> Float64[np.ndarray, " particle"]:
        codes, inverse = np.unique(pid, return_inverse=True)
        for code in codes.tolist():
            if code not in self._charges:
                self._charges[code] = float(self._pythia.particleData.charge(code))
        return np.array([self._charges[code] for code in codes.tolist()], np.float64)[inverse]


def _vertices(layout: Any) -> Float64[np.ndarray, "3 particle"]:
    """Return production vertices; Pythia leaves out those at the primary vertex, which are 0."""
    row = np.asarray(layout.index.data)
    known = row >= 0
    vertex = np.zeros((3, len(row)))
    for i, name in enumerate(("px", "py", "pz")):
        vertex[i, known] = np.asarray(layout.content.content(name).data)[row[known]]
    return vertex


def _user_hook(pythia8mc: Any, veto: Veto) -> Any:
    """Return Pythia UserHooks that call `veto`."""

    class Hook(pythia8mc.UserHooks):  # type: ignore[misc]  # pythia8mc has no types
        # ruff: noqa: N802 - Pythia calls these names
        def __init__(self) -> None:
            super().__init__()
            self.vetoed = 0
            self.process: Any = None

        def canVetoProcessLevel(self) -> bool:
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:
            self.process = process
            wrong = veto.wrong_process(process)
            self.vetoed += wrong
            return wrong

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return veto.scale

        def doVetoPT(self, _position: int, event: Any) -> bool:
            # called again for the showers of resonance decays
            if self.process is None:
                return False
            hopeless = veto.hopeless(self.process, event)
            self.process = None
            self.vetoed += hopeless
            return hopeless

    return Hook()
