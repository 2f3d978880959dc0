"""Scores without a model, from what is known of an event anyway: what a model has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float64
from scipy.special import expit

# The published logistic regression divides by tau + this, so that a zero tau gives a number.
_GUARD = 1e-8

# Columns of the score table that each baseline is computed from, by what an event is.
FAMILIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "jets": {
        "n_subjettiness": ("jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4"),
        "soft_drop_mass": ("jet_sdmass",),
        "multiplicity": ("jet_nparticles",),
    },
    # arXiv:2306.12955 section 5.2; counting hits is as good as the latent space of its models
    "images": {
        "hits": ("hits",),
        "n_tracks": ("n_tracks",),
        "energy_tracker": ("energy_tracker",),
        "energy_ecal": ("energy_ecal",),
        "energy_hcal": ("energy_hcal",),
        "energy": ("energy",),
    },
}
NEEDS: Mapping[str, tuple[str, ...]] = {
    name: columns for members in FAMILIES.values() for name, columns in members.items()
}


def family_of(columns: Iterable[object]) -> str:
    """Return what the events of a table with these columns are: a key of `FAMILIES`."""
    images = {column for needs in FAMILIES["images"].values() for column in needs}
    return "images" if images & set(columns) else "jets"


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
    table: Mapping[str, Float64[np.ndarray, " event"]],
) -> dict[str, Float64[np.ndarray, " event"]]:
    """Return each baseline whose columns (`NEEDS`) `table` has; high values count as anomalous.

    Masses and energies are in GeV, the others are numbers of particles, tracks or pixels.
    """
    found: dict[str, Float64[np.ndarray, " event"]] = {}
    for name, columns in NEEDS.items():
        if not all(column in table for column in columns):
            continue
        values = [np.asarray(table[column], np.float64) for column in columns]
        found[name] = n_subjettiness(*values) if name == "n_subjettiness" else values[0]
    return found
