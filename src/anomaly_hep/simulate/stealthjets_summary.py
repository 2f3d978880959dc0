"""What boosted jets look like, in numbers: masses, pT, constituents, N-subjettiness. Units: GeV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from scipy.stats import ks_2samp

from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import rodem
from anomaly_hep.simulate.jets import subjettiness
from anomaly_hep.simulate.mediantable import aligned, cell
from anomaly_hep.simulate.plan import SPLITS
from anomaly_hep.simulate.stealthjets_processes import PREFIXES
from anomaly_hep.types import Events

MAX_JETS = 5000  # of each class, enough for all numbers and curves here
RADIUS = 1.0
HARDEST = 20  # constituents that networks see
SHAPED, PATTERN = "QCD_boosted", "StealthB400"  # the spectrum of the one is that of the other
CONTAINED = 0.8  # of the boson's mass, which the mass of a jet that contains it exceeds
PATTERN_MASS = 400.0
PT_EDGES = np.array([450.0, 600, 700, 800, 850, 900, 1000, 1100, 1300, 1800])
_MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
_COLUMNS = [*_MOMENTUM, "jet_pt", "jet_mass"]


@dataclass(frozen=True, eq=False)
class Quantities:
    """Quantities of jets.

    `tau21` and `tau32` are without the jets of too few constituents.
    """

    pt: Float64[np.ndarray, " jet"]
    mass: Float64[np.ndarray, " jet"]
    hardest_mass: Float64[np.ndarray, " jet"]
    constituents: Float64[np.ndarray, " jet"]
    tau21: Float64[np.ndarray, " two"]
    tau32: Float64[np.ndarray, " three"]


def of_production(directory: Path) -> dict[str, Quantities]:
    """Return the quantities of each class of a production, of at most 5000 jets of each."""
    found = {}
    for label, prefix in PREFIXES.items():
        # the test split first, since it has all classes
        paths = [
            p for s in reversed(SPLITS) for p in sorted((directory / s).glob(f"{prefix}_???.h5"))
        ]
        if paths:
            found[label] = quantities(_read(paths))
    if not found:
        raise MissingDataError(
            f"{directory} has no simulated jets. Cure: run `python -m anomaly_hep simulate` with "
            "this data"
        )
    return found


def _read(paths: list[Path]) -> Events:
    parts: list[Events] = []
    for path in paths:
        left = MAX_JETS - sum(map(len, parts))
        if left == 0:
            break
        description = rodem.describe(path)
        if (description.provenance or {}).get("origin") != "simulated":
            raise SimulationError(
                f"{path} was not simulated here, and its jets cannot be shown as simulated ones. "
                "Cure: keep published files in a directory of their own"
            )
        parts.append(rodem.read(path, 0, min(left, description.entries), _COLUMNS))
    return Events.concatenate(parts)


def quantities(jets: Events) -> Quantities:
    """Return the quantities of jets that have the momenta of their constituents."""
    momentum = np.stack([jets.particles[name].astype(np.float64) for name in _MOMENTUM])
    tau = subjettiness(momentum, jets.lengths, radius=RADIUS, number=3)
    return Quantities(
        pt=jets.events["jet_pt"].astype(np.float64),
        mass=jets.events["jet_mass"].astype(np.float64),
        hardest_mass=hardest_mass(momentum, jets.lengths, HARDEST),
        constituents=jets.lengths.astype(np.float64),
        tau21=_ratio(tau[:, 1], tau[:, 0]),
        tau32=_ratio(tau[:, 2], tau[:, 1]),
    )


def hardest_mass(
    momentum: Float64[np.ndarray, "4 constituent"], lengths: np.ndarray, most: int
) -> Float64[np.ndarray, " jet"]:
    """Return the mass of the first `most` constituents of each jet."""
    jet = np.repeat(np.arange(len(lengths)), lengths)
    rank = np.arange(len(jet)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = rank < most
    px, py, pz, energy = (
        np.bincount(jet[kept], component[kept], len(lengths)) for component in momentum
    )
    found: np.ndarray = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
    return found


def _ratio(above: np.ndarray, below: np.ndarray) -> Float64[np.ndarray, " defined"]:
    ratio: np.ndarray = above[below > 0] / below[below > 0]
    return ratio


def contained(jets: Quantities) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, in bins of pT, the share of bosons of 400 GeV in their jet, its error, the jets.

    A jet has its boson if its mass is above 0.8 of the boson's.
    """
    inside = jets.mass > CONTAINED * PATTERN_MASS
    total, _ = np.histogram(jets.pt, PT_EDGES)
    some = np.maximum(total, 1)
    share = np.histogram(jets.pt[inside], PT_EDGES)[0] / some
    return share, np.sqrt(share * (1 - share) / some), total


_COLUMNS_SHOWN = {
    "pt": ("pT", 0),
    "mass": ("mass", 0),
    "hardest_mass": (f"mass of {HARDEST} hardest", 0),
    "constituents": ("constituents", 0),
    "tau21": ("tau21", 2),
    "tau32": ("tau32", 2),
}


def table(classes: Mapping[str, Quantities]) -> list[str]:
    """Return lines with medians of all classes, and what concerns the spectra of two of them."""
    rows = [["medians", "jets", *(title for title, _ in _COLUMNS_SHOWN.values())]]
    for label, found in classes.items():
        texts = [cell(getattr(found, name), digits) for name, (_, digits) in _COLUMNS_SHOWN.items()]
        rows.append([label, f"{len(found.pt):,}", *texts])
    lines = aligned(rows)
    if SHAPED in classes and PATTERN in classes:
        test = ks_2samp(classes[SHAPED].pt, classes[PATTERN].pt)
        lines.append(
            f"pT of {SHAPED} and {PATTERN}: Kolmogorov-Smirnov distance {test.statistic:.3f} "
            f"(p = {test.pvalue:.2g})"
        )
    if PATTERN in classes:
        share, error, total = contained(classes[PATTERN])
        bins = [
            f"{low:.0f}-{high:.0f} GeV {100 * s:.0f} ± {100 * e:.0f} %"
            for low, high, s, e, n in zip(PT_EDGES, PT_EDGES[1:], share, error, total, strict=False)
            if n
        ]
        lines.append(
            f"{PATTERN}, jets of more than {CONTAINED * PATTERN_MASS:.0f} GeV: {', '.join(bins)}"
        )
    return lines
