"""Pythia 8: settings and a seed → batches of generated particles as flat arrays.

The only file that knows pythia8mc. Units: GeV, mm (production vertices), charges in e.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.errors import SimulationError

# Pythia's own range; 0 would mean "seed from the clock".
MAX_SEED = 900_000_000

# Quiet: Pythia and its SLHA reader would print hundreds of lines per process.
_SILENCE = ("Print:quiet = on", "SLHA:verbose = 0")


@dataclass(frozen=True, eq=False)
class Particles:
    """All particles of a batch of events, intermediate ones included, in Pythia's order.

    `daughter1` and `daughter2` count from the beginning of the particle's own event; 0 means none.
    """

    lengths: Int64[np.ndarray, " event"]
    pid: Int64[np.ndarray, " particle"]
    status: Int64[np.ndarray, " particle"]
    daughter1: Int64[np.ndarray, " particle"]
    daughter2: Int64[np.ndarray, " particle"]
    px: Float64[np.ndarray, " particle"]
    py: Float64[np.ndarray, " particle"]
    pz: Float64[np.ndarray, " particle"]
    energy: Float64[np.ndarray, " particle"]
    x: Float64[np.ndarray, " particle"]
    y: Float64[np.ndarray, " particle"]
    z: Float64[np.ndarray, " particle"]
    charge: Float64[np.ndarray, " particle"]

    @property
    def event(self) -> Int64[np.ndarray, " particle"]:
        """Event number of each particle, from 0."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def final(self) -> Bool[np.ndarray, " particle"]:
        """True for the particles that reach the detector."""
        return self.status > 0


class Generator:
    """One Pythia instance.

    `settings` are Pythia's own strings ("PhaseSpace:pTHatMin = 400."); `veto`, if given, sees each
    hard process with its resonance decays and returns True for those not worth showering.
    Raises SimulationError for a setting that Pythia does not know or cannot start with.
    """

    def __init__(
        self,
        settings: Sequence[str],
        seed: int,
        *,
        veto: Callable[[Any], bool] | None = None,
    ) -> None:
        import pythia8mc

        if not 0 < seed <= MAX_SEED:
            raise SimulationError(
                f"Pythia cannot use the seed {seed}. Cure: choose one from 1 to {MAX_SEED}"
            )
        self._pythia = pythia8mc.Pythia("", False)
        for line in (*_SILENCE, *settings, "Random:setSeed = on", f"Random:seed = {seed}"):
            if not self._pythia.readString(line):
                raise SimulationError(
                    f"Pythia refused the setting '{line}'. Cure: mend its name or value; "
                    "names are in https://pythia.org/manuals"
                )
        self._hook = _process_veto(pythia8mc, veto) if veto is not None else None
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

    @property
    def skipped(self) -> int:
        """Events that Pythia gave up on, out of those requested so far."""
        return self.requested - self.generated

    @property
    def vetoed(self) -> int:
        """Hard processes refused by the veto so far."""
        return self._hook.vetoed if self._hook is not None else 0

    def batch(self, size: int) -> Particles:
        """Generate `size` events; those that Pythia gives up on are counted and left out."""
        # "skip": one event that cannot be hadronised must not end a production.
        run = self._pythia.nextBatch(size, errorMode="skip")
        self.requested += size
        self.generated += len(run)
        return self._flatten(run)

    def _flatten(self, run: Any) -> Particles:
        prt = run.prt

        def flat(array: Any, dtype: type) -> np.ndarray:
            return ak.to_numpy(ak.flatten(array)).astype(dtype, copy=False)

        def vertex(name: str) -> np.ndarray:
            # the vertex of particles made at the collision point itself is not set
            return ak.to_numpy(ak.fill_none(ak.flatten(prt.vProd[name]), 0.0)).astype(np.float64)

        pid = flat(prt.id, np.int64)
        return Particles(
            lengths=ak.to_numpy(ak.num(prt.id)).astype(np.int64),
            pid=pid,
            status=flat(prt.status, np.int64),
            daughter1=flat(prt.daughter1, np.int64),
            daughter2=flat(prt.daughter2, np.int64),
            px=flat(prt.p.px, np.float64),
            py=flat(prt.p.py, np.float64),
            pz=flat(prt.p.pz, np.float64),
            energy=flat(prt.p.e, np.float64),
            x=vertex("px"),
            y=vertex("py"),
            z=vertex("pz"),
            charge=self._charge(pid),
        )

    def _charge(self, pid: Int64[np.ndarray, " particle"]) -> Float64[np.ndarray, " particle"]:
        kinds, inverse = np.unique(pid, return_inverse=True)
        for kind in kinds.tolist():
            if kind not in self._charges:
                self._charges[kind] = float(self._pythia.particleData.charge(kind))
        return np.array([self._charges[kind] for kind in kinds.tolist()], np.float64)[inverse]


def _process_veto(pythia8mc: Any, veto: Callable[[Any], bool]) -> Any:
    """Return a Pythia UserHooks that asks `veto` about each hard process."""

    class ProcessVeto(pythia8mc.UserHooks):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.vetoed = 0

        def canVetoProcessLevel(self) -> bool:  # noqa: N802 (Pythia's name)
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
            refused = veto(process)
            self.vetoed += refused
            return refused

    return ProcessVeto()


def version() -> str:
    """Return the version of the installed pythia8mc."""
    from importlib.metadata import version as installed

    return installed("pythia8mc")
