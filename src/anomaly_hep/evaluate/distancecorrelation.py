"""Distance correlation of two quantities of weighted events, with its interval.

Libraries such as dcor take no weights, and negative ones can not be drawn; hence these few lines.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.roc import ScoreDistribution, scaled

CELLS = 128  # along either quantile

Values = Float64[np.ndarray, " event"]


def distance_correlation(one: Values, other: Values, weights: Values) -> Interval:
    """Return the distance correlation of the quantiles of two quantities, with its interval.

    It is 0 for independent ones alone and 1 where one is a monotone function of the other.
    Quantiles make it the same for every monotone function of a score. They are taken in `CELLS`
    cells, so time and memory do not grow with pairs of events. What chance gives independent ones
    is subtracted from the square. Annals of Statistics 35 (2007) 2769.
    """
    weights = scaled(weights)
    weights = weights / weights.sum()
    (i, x), (j, y) = _cells(one, weights), _cells(other, weights)
    shape = (len(x), len(y))
    cell = i * shape[1] + j
    share = np.bincount(cell, weights, shape[0] * shape[1]).reshape(shape)
    squares = np.bincount(cell, weights**2, shape[0] * shape[1]).reshape(shape)
    covariance, slope = _covariance(share, x, y)
    along_x, slope_x = _variance(share.sum(axis=1), x)
    along_y, slope_y = _variance(share.sum(axis=0), y)
    scale = along_x * along_y
    if covariance <= 0 or scale <= 0:  # one of them is constant
        return Interval(0.0, 0.0, 0.0)
    squared = min(covariance / scale**0.5, 1.0)
    n = 1.0 / float(squares.sum())
    chance = _mean_distance(share.sum(axis=1), x) * _mean_distance(share.sum(axis=0), y)
    value = squared - (1 - squared) * chance / (n * scale**0.5)
    # the first order of the delta method vanishes for independent ones, the second is 2 / n^2
    influence = squared * (
        slope / covariance - 0.5 * slope_x[:, None] / along_x - 0.5 * slope_y / along_y
    )
    error = float((squares * influence**2).sum() + 2 * ((1 - squared) / n) ** 2) ** 0.5
    roots = np.sqrt(np.clip([value, value - error, value + error], 0.0, 1.0))
    return Interval(*map(float, roots))


def _cells(values: Values, weights: Values) -> tuple[np.ndarray, Float64[np.ndarray, " cell"]]:
    """Return the cell of each event and the mean quantile of each cell that holds weight."""
    quantile = 1.0 - ScoreDistribution.of(values, weights).placement(values)
    cell = np.minimum((quantile * CELLS).astype(np.int64), CELLS - 1)
    known, cell = np.unique(cell, return_inverse=True)
    number = np.bincount(cell, minlength=len(known))
    return cell, np.bincount(cell, quantile, len(known)) / number


def _covariance(
    share: Float64[np.ndarray, "x y"], x: Float64[np.ndarray, " x"], y: Float64[np.ndarray, " y"]
) -> tuple[float, Float64[np.ndarray, "x y"]]:
    """Return the squared distance covariance, and how much more events in each cell change it."""
    far_x, far_y = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
    both = far_x @ share @ far_y  # mean of |x - x'| |y - y'| from each cell
    from_x, from_y = far_x @ share.sum(axis=1), far_y @ share.sum(axis=0)
    mean_x, mean_y = float(from_x @ share.sum(axis=1)), float(from_y @ share.sum(axis=0))
    crossed = float(from_x @ share @ from_y)
    covariance = float((share * both).sum()) + mean_x * mean_y - 2 * crossed
    slope = (
        2 * (both + from_x[:, None] * mean_y + mean_x * from_y)
        - 2 * from_x[:, None] * from_y
        - 2 * (far_x @ (share @ from_y))[:, None]
        - 2 * (far_y @ (from_x @ share))
    )
    return covariance, slope - float((share * slope).sum())


def _variance(
    share: Float64[np.ndarray, " x"], x: Float64[np.ndarray, " x"]
) -> tuple[float, Float64[np.ndarray, " x"]]:
    """Return the same of a quantity with itself."""
    far = np.abs(x[:, None] - x)
    both, away = far**2 @ share, far @ share
    mean = float(away @ share)
    variance = float(share @ both) + mean**2 - 2 * float(share @ away**2)
    slope = 2 * both + 4 * away * mean - 2 * away**2 - 4 * (far @ (share * away))
    return variance, slope - float(share @ slope)


def _mean_distance(share: Float64[np.ndarray, " cell"], x: Float64[np.ndarray, " cell"]) -> float:
    return float(share @ np.abs(x[:, None] - x) @ share)
