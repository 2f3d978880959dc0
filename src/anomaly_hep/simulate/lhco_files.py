"""Files of LHC-Olympics-like events with what stands beside them: jet features, perhaps the key.

NAME.features.h5 and NAME.masterkey are written before NAME.h5, so that a file that has its name has
both. Units: GeV, radians.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.errors import SimulationError
from anomaly_hep.formats import lhco, lhco_features, lhco_masterkey
from anomaly_hep.types import Events, FileDescription

SUFFIX = ".h5"
# where the truth of a class's files stands: `truth` of a task
IN_FILE, IN_MASTERKEY, NOWHERE = "file", "masterkey", "nowhere"
# of the challenge's events with labels
PUBLISHED_PATTERN = "events_anomalydetection*.h5"


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises SimulationError if what belongs to it is missing."""
    description = lhco.describe(path)
    task = (description.provenance or {}).get("task", {})
    for beside in _beside(path, task.get("truth", NOWHERE)):
        if not beside.exists():
            raise SimulationError(
                f"{path} has lost {beside.name}, which was written with it. Cure: remove "
                f"{path.name}, and the same command makes both again"
            )
    return description


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write events with `truth`, their features, and the masterkey of a black box.

    Where the truth goes is said by the task in `provenance`; without one it goes into the file.
    Returns the number of events.
    """
    # loads FastJet, which only the workers need
    from anomaly_hep.simulate.lhco_jets import features

    place = ((provenance or {}).get("task") or {}).get("truth", IN_FILE)
    events = Events.concatenate(list(parts))
    kept = events.events if place == IN_FILE else {}
    found = features(events)
    stored = {name: found[name] for name in lhco_features.STORED}
    beside = Events(np.zeros(len(events), np.int64), {}, {**stored, **kept})
    lhco_features.write(lhco_features.features_path(path), [beside], provenance)
    if place == IN_MASTERKEY:
        lhco.write_masterkey(path, events.events["truth"])
    return lhco.write(path, [Events(events.lengths, events.particles, kept)], provenance)


def published_in(directory: Path) -> list[Path]:
    """Return the published files with labels in a directory."""
    found = sorted(directory.glob(PUBLISHED_PATTERN))
    beside = {lhco_features.features_path(path) for path in found}
    return [path for path in found if path not in beside]


def _beside(path: Path, truth: str) -> list[Path]:
    key = [path.with_suffix(lhco_masterkey.SUFFIX)] if truth == IN_MASTERKEY else []
    return [lhco_features.features_path(path), *key]
