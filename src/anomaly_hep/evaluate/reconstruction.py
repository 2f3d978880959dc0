"""How well images are reconstructed: squared error and structural similarity by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from anomaly_hep.evaluate.intervals import mean_interval

# Columns of the score table: squared error summed over the image's pixels, and SSIM in [-1, 1].
COLUMNS: Mapping[str, str] = {"mse": "reconstruction_mse", "ssim": "reconstruction_ssim"}


def reconstruction_quality(
    table: pd.DataFrame,
    classes: Mapping[str, Int64[np.ndarray, " _"]],
    weights: Float64[np.ndarray, " event"],
) -> dict[str, dict[str, Any]]:
    """Return mean (with its standard error as interval) and standard deviation by class.

    arXiv:2306.12955 Table 8 gives mean and deviation for QCD; its MSE is summed over the pixels.
    A class of less than two events has none (null).
    """
    found: dict[str, dict[str, Any]] = {}
    for label, rows in classes.items():
        found[label] = {}
        for name, column in COLUMNS.items():
            values = table[column].to_numpy(np.float64)[rows]
            measured = mean_interval(values, weights[rows])
            found[label][name] = (
                {"mean": measured[0], "std": measured[1]} if measured is not None else None
            )
    return found
