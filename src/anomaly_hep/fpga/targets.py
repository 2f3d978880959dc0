"""What a student learns from its teacher's score of each event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anomaly_hep.errors import ExportError


@dataclass(frozen=True)
class Targets:
    """Scores of a teacher as targets: (score - offset) / unit, and 0 below the offset.

    The score of a student is a sum of squares, which is not negative and begins near 0. Neither
    changes the order of the events above the offset.
    """

    offset: float
    unit: float

    @staticmethod
    def of(background: Float[np.ndarray, " event"], name: str) -> Targets:
        """Return the targets for a score by its values of training background.

        The offset is the lowest of them if that is negative, else 0, and the unit their median
        above it. Raises ExportError for a score whose median is its offset; `name` is for that.
        """
        offset = min(float(background.min()), 0.0)
        unit = float(np.median(background)) - offset
        if unit <= 0:
            raise ExportError(
                f"at least half of the training background has {offset:g}, the lowest {name}, and "
                "an encoder has nothing to learn from it. Cure: another fpga.teacher"
            )
        return Targets(offset, unit)

    def __call__(self, scores: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
        """Return the targets of events."""
        targets: np.ndarray = np.clip((scores - self.offset) / self.unit, 0, None)
        return targets.astype(np.float32)

    def remark(self, name: str, test: Float[np.ndarray, " event"]) -> str:
        """Return what the student learned instead of the score itself, for the report.

        `test` are the scores of test events, of which those below the offset are counted.
        """
        below = float((test < self.offset).mean())
        shift = "" if not self.offset else f" minus {self.offset:.4g}, its lowest value there,"
        lost = (
            ""
            if not below
            else f"; {100 * below:.2g} % of the test events are below and count as 0"
        )
        return (
            f"The encoder learned the {name}{shift} in units of {self.unit:.4g}, the median of the "
            f"training background{lost}."
        )
