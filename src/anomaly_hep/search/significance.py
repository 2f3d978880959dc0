"""p-values and standard deviations, of one mass and of the whole scan (look-elsewhere effect)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import log_ndtr
from scipy.stats import norm

from anomaly_hep.evaluate.intervals import Interval, binomial

# with fewer toys beyond the observed value, their number is continued by Gross and Vitells
ENOUGH = 10
LEVEL = 0.5  # of q0, at which up-crossings are counted


def standard_deviations(p: float | np.ndarray) -> np.ndarray:
    """Return Z of a one-sided p-value: the normal distribution exceeds Z with probability p.

    The finite number of toys can make p 0 or 1, and rounding 0: Z stays between -4.8 and 37.
    """
    return np.asarray(norm.isf(np.clip(p, 1e-300, 1 - 1e-6)))


def local_p(q0: float | np.ndarray) -> np.ndarray:
    """Return the p-value of q0 by the asymptotic formula (arXiv:1007.1727 eq. (52)).

    One half of the experiments without a signal have q0 = 0.
    """
    return np.asarray(np.exp(log_ndtr(-np.sqrt(q0))))


@dataclass(frozen=True, eq=False)
class ToyNull:
    """The largest q0 of each scan of background alone, ascending, and their mean up-crossings.

    A scan of one mass has no up-crossings: its p-values are local.
    """

    maxima: Float64[np.ndarray, " toy"]
    crossings: float

    @staticmethod
    def of(q0: Float64[np.ndarray, "toy mass"]) -> ToyNull:
        """Return what the scans of toys say."""
        above = q0 > LEVEL
        crossings = (above[:, 1:] & ~above[:, :-1]).sum(axis=1).mean() if len(q0) else 0.0
        return ToyNull(np.sort(q0.max(axis=1)), float(crossings))

    def interval(self, maximum: float) -> Interval:
        """Return the share of toys whose largest q0 reaches this one, with its interval."""
        reached = len(self.maxima) - int(np.searchsorted(self.maxima, maximum, side="left"))
        return binomial(reached, len(self.maxima))

    def bound(self, maximum: float | np.ndarray) -> np.ndarray:
        """Return the upper bound of Gross and Vitells (arXiv:1005.1891 eq. (3)) on the p-value."""
        decay = np.exp(-(np.asarray(maximum) - LEVEL) / 2)
        return np.asarray(np.minimum(local_p(maximum) + self.crossings * decay, 1.0))

    def p(self, maximum: float | np.ndarray) -> np.ndarray:
        """Return the p-value: the share of toys, or the bound where fewer than ten are beyond."""
        reached = len(self.maxima) - np.searchsorted(self.maxima, maximum, side="left")
        few = np.minimum(self.bound(maximum), ENOUGH / len(self.maxima))
        return np.where(reached >= ENOUGH, reached / len(self.maxima), few)


def in_deviations(p: Interval, value: float) -> tuple[float, float, float | None]:
    """Return Z of a p-value with its interval; no upper end where no toy was beyond.

    `value` is the p-value to show where toys are too few to have their own.
    """
    low, high = (float(standard_deviations(bound)) for bound in (p.high, p.low or 1.0))
    z = float(standard_deviations(value))
    return z, min(low, z), max(high, z) if p.low > 0 else None
