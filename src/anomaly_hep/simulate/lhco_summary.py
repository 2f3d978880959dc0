"""What events of the LHC Olympics look like, in numbers: masses and shapes of the leading jets.

Units: GeV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import MissingDataError
from anomaly_hep.formats import lhco, lhco_features
from anomaly_hep.simulate.lhco_files import published_in
from anomaly_hep.simulate.lhco_jets import features
from anomaly_hep.simulate.lhco_processes import BACKGROUND_TRUTH, CLASSES
from anomaly_hep.simulate.mediantable import aligned, cell
from anomaly_hep.types import Events

_FEATURES = ("m", "tau1", "tau2", "tau3")  # of the jets j1 and j2
_AT_ONCE = 500  # events of a published file: their particles are 1 MB


@dataclass(frozen=True, eq=False)
class Quantities:
    """Quantities of events: the two leading jets together, each one's mass and shape.

    `tau21` and `tau32` have both jets of all events, without those of too few particles.
    """

    mjj: Float64[np.ndarray, " event"]
    light_mass: Float64[np.ndarray, " event"]
    heavy_mass: Float64[np.ndarray, " event"]
    tau21: Float64[np.ndarray, " jet"]
    tau32: Float64[np.ndarray, " jet"]
    particles: Float64[np.ndarray, " event"]


def of_production(directory: Path) -> dict[str, Quantities]:
    """Return the quantities of each class of a production; of black boxes, of each signal.

    The background of a black box with signals is made as QCD is, and left out.
    """
    found: dict[str, Quantities] = {}
    for label, composition in CLASSES.items():
        # not the features beside them
        paths = sorted((directory / "events").glob(f"{label}_???.h5"))
        if not paths:
            continue
        columns = [f"{name}j{jet}" for jet in (1, 2) for name in _FEATURES]
        columns += ["mjj"] + ["truth"] * bool(composition.signals)
        parts = [lhco.read(path, 0, lhco.describe(path).entries, columns) for path in paths]
        events = Events.concatenate(parts)
        if not composition.signals:
            found[label] = quantities(events)
        for signal in composition.signals:
            rows = np.flatnonzero(events.events["truth"] == signal.truth)
            if len(rows):
                found[signal.name] = quantities(events.take(rows))
    if not found:
        raise MissingDataError(
            f"{directory} has no events. Cure: run `python -m anomaly_hep simulate` with this data"
        )
    return found


def of_published(directory: Path) -> dict[str, Quantities]:
    """Return the quantities of published background and signal, clustered here."""
    particles = list(lhco.WRITTEN.particles)
    parts = []
    for path in published_in(directory):
        entries = lhco.describe(path).entries
        for start in range(0, entries, _AT_ONCE):
            stop = min(start + _AT_ONCE, entries)
            part = lhco.read(path, start, stop, [*particles, "truth"])
            found = features(part)
            own = {"mjj": lhco_features.dijet_mass(found), "truth": part.events["truth"]}
            parts.append(Events(part.lengths, {}, {**found, **own}))
    events = Events.concatenate(parts)
    background = events.events["truth"] == BACKGROUND_TRUTH
    return {
        "published QCD": quantities(events.take(np.flatnonzero(background))),
        "published two_prong": quantities(events.take(np.flatnonzero(~background))),
    }


def quantities(events: Events) -> Quantities:
    """Return the quantities of events that have the features of their two leading jets."""
    own = {name: values.astype(np.float64) for name, values in events.events.items()}
    return Quantities(
        mjj=own["mjj"],
        light_mass=np.minimum(own["mj1"], own["mj2"]),
        heavy_mass=np.maximum(own["mj1"], own["mj2"]),
        tau21=_ratio(own, 2, 1),
        tau32=_ratio(own, 3, 2),
        particles=events.lengths.astype(np.float64),
    )


def _ratio(own: Mapping[str, np.ndarray], over: int, under: int) -> Float64[np.ndarray, " jet"]:
    above, below = (np.concatenate([own[f"tau{n}j{jet}"] for jet in (1, 2)]) for n in (over, under))
    some = below > 0
    ratio: np.ndarray = above[some] / below[some]
    return ratio


_COLUMNS = {
    "mjj": ("m_jj (16-84 %)", 0),
    "light_mass": ("light jet mass", 0),
    "heavy_mass": ("heavy jet mass", 0),
    "tau21": ("tau21", 2),
    "tau32": ("tau32", 2),
    "particles": ("particles", 0),
}


def table(classes: Mapping[str, Quantities]) -> list[str]:
    """Return lines with the median and its 68 % interval of each quantity of each class; GeV."""
    rows = [["medians", "events", *(title for title, _ in _COLUMNS.values())]]
    for name, found in classes.items():
        row = [name, f"{len(found.mjj):,}"]
        for column, (_, digits) in _COLUMNS.items():
            values = getattr(found, column)
            text = cell(values, digits)
            if column == "mjj":
                text += " ({:.0f}-{:.0f})".format(*np.quantile(values, (0.16, 0.84)))
            row.append(text)
        rows.append(row)
    return aligned(rows)
