"""Scores without a model, from jet substructure alone: what a model has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64
from scipy.special import expit

# The published logistic regression divides by tau + this, so that a zero tau gives a number.
_GUARD = 1e-8

# Columns of the score table that each baseline is computed from.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "n_subjettiness": ("jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4"),
    "soft_drop_mass": ("jet_sdmass",),
    "multiplicity": ("jet_nparticles",),
}


def n_subjettiness(
    tau1: Float64[np.ndarray, " jet"],
    tau2: Float64[np.ndarray, " jet"],
    tau3: Float64[np.ndarray, " jet"],
    tau4: Float64[np.ndarray, " jet"],
) -> Float64[np.ndarray, " jet"]:
    """Return sigmoid(9.9 - 7.2 tau21 - 3.3 tau32 - 3.4 tau42), arXiv:2311.17162 section 4.1.

    tau21 = tau2/tau1, tau32 = tau3/tau2, tau42 = tau4/tau2. The authors fitted it to the nine
    signals of published JetClass: it is supervised, unlike the models beside it.
    """
    tau21 = tau2 / (tau1 + _GUARD)
    tau32 = tau3 / (tau2 + _GUARD)
    tau42 = tau4 / (tau2 + _GUARD)
    return np.asarray(expit(9.9 - 7.2 * tau21 - 3.3 * tau32 - 3.4 * tau42))


def baselines(
    table: Mapping[str, Float64[np.ndarray, " jet"]],
) -> dict[str, Float64[np.ndarray, " jet"]]:
    """Return each baseline whose columns (`NEEDS`) `table` has; high values count as anomalous.

    The soft-drop mass is in GeV, the multiplicity is the number of constituents.
    """
    found: dict[str, Float64[np.ndarray, " jet"]] = {}
    for name, columns in NEEDS.items():
        if not all(column in table for column in columns):
            continue
        values = [np.asarray(table[column], np.float64) for column in columns]
        found[name] = n_subjettiness(*values) if name == "n_subjettiness" else values[0]
    return found
