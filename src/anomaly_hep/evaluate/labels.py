"""Classes as people read them: order of columns, decays, and what made the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from anomaly_hep.evaluate.published import SIGNALS

_DECAYS = {
    "H4q": "H → 4q",
    "Hbb": "H → bb",
    "Hcc": "H → cc",
    "Hgg": "H → gg",
    "Hqql": "H → ℓνqq′",
    "Wqq": "W → qq′",
    "Zqq": "Z → qq",
    "Tbl": "t → bℓν",
    "Tbqq": "t → bqq′",
}
_MATH = {
    "H4q": r"H \to 4q",
    "Hbb": r"H \to b\bar{b}",
    "Hcc": r"H \to c\bar{c}",
    "Hgg": r"H \to gg",
    "Hqql": r"H \to \ell\nu q q'",
    "Wqq": r"W \to q q'",
    "Zqq": r"Z \to q\bar{q}",
    "Tbl": r"t \to b\ell\nu",
    "Tbqq": r"t \to b q q'",
}
# Shown in this order.
_SCORES = {
    "chamfer": "Chamfer loss",
    "chamfer_sum": "Chamfer loss, summed",
    "kl": "KL divergence",
    "total": "total loss",
    "signal_probability": "signal probability",
    "latent_1": "latent 1",
    "latent_2": "latent 2",
    "latent_3": "latent 3",
    "kl_forward": "KL (forward)",
    "reconstruction_kl": "KL of the reconstruction",
    "latent_kl": "KL of the latent vector",
    "kl_reverse": "KL (reverse)",
    "bce": "BCE",
    "sae": "SAE",
    "sse": "SSE",
    "inverse_dice": "1/Dice",
    "sae_mask": "SAE of masks",
    "energy_predicted": "predicted energy",
    "energy_difference": "energy difference",
    "n_subjettiness": "N-subjettiness",
    "soft_drop_mass": "soft-drop mass",
    "multiplicity": "multiplicity",
    "hits": "hit pixels",
    "n_tracks": "tracks",
    "energy_tracker": "tracker energy",
    "energy_ecal": "ECAL energy",
    "energy_hcal": "HCAL energy",
    "energy": "total energy",
}
_UNITS = {
    "chamfer": "dimensionless",
    "chamfer_sum": "dimensionless",
    "kl": "nats per latent dimension",
    "total": "dimensionless",
    "latent_1": "dimensionless",
    "latent_2": "dimensionless",
    "latent_3": "dimensionless",
    "kl_forward": "nats",
    "reconstruction_kl": "nats",
    "latent_kl": "nats",
    "kl_reverse": "nats",
    "bce": "nats per image",
    "sae": "sum over pixels",
    "sse": "sum over pixels",
    "inverse_dice": "dimensionless",
    "sae_mask": "sum over pixels",
    "energy_predicted": "sum over pixels",
    "energy_difference": "sum over pixels",
    "n_subjettiness": "dimensionless",
    "soft_drop_mass": "GeV",
    "multiplicity": "particles",
    "hits": "number",
    "n_tracks": "number",
    "energy_tracker": "GeV",
    "energy_ecal": "GeV",
    "energy_hcal": "GeV",
    "energy": "GeV",
}
_MODELS = {
    "setvae": "Set-VAE",
    "clipvae": "CLIP-VAE",
    "codae": "CoDAE",
    "codvae": "CoDVAE",
    "imageae": "AE (Heimel-like)",
    "dirichletvae": "Dirichlet VAE",
    "cct": "CCT",
}
# A signal model and the mass of its mediator in GeV.
_MASS = re.compile(r"(SUEP|SVJ)(\d+)")
_MEAN = "mean "


def score_axis(name: str) -> str:
    """Return a score's name with its unit, for an axis."""
    return f"{score_name(name)} ({_UNITS[name]})" if name in _UNITS else score_name(name)


def score_name(name: str) -> str:
    """Return the name of a score or baseline as people say it; others as they are."""
    return _SCORES.get(name, name)


def known_first(names: Iterable[str]) -> list[str]:
    """Return scores and baselines in the order to show them, unknown ones last by name."""
    rank = {name: i for i, name in enumerate(_SCORES)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def score_groups(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the group in metrics.json of each score and baseline, in the order to show them.

    The default score first, then the other scores, then the baselines as the paper values them.
    """
    names = {
        group: sorted(known_first(metrics[group]), key=lambda name: name != default)
        for default, group in ((metrics["default_score"], "scores"), ("", "baselines"))
    }
    return {name: group for group, members in names.items() for name in members}


def ordered(labels: Iterable[str]) -> list[str]:
    """Return labels in the column order of arXiv:2311.17162, others after them by name and mass."""
    rank = {label: i for i, label in enumerate(SIGNALS)}

    def key(label: str) -> tuple[int, list[tuple[int, str]]]:
        parts = re.split(r"(\d+)", label)
        return rank.get(label, len(rank)), [(int(p) if p.isdigit() else -1, p) for p in parts]

    return sorted(labels, key=key)


def decay(label: str) -> str:
    """Return the decay or mass that a label stands for, as text; other labels as they are."""
    if known := _MASS.fullmatch(label):
        return f"{known[1]} {_mass(known[2])}"
    return _DECAYS.get(label, label)


def decay_math(label: str) -> str:
    """Return the decay or mass that a label stands for, for matplotlib; others as they are."""
    return f"${_MATH[label]}$" if label in _MATH else decay(label)


def column_name(label: str) -> str:
    """Return how a narrow column is headed: by the model and, in a second line, its mass."""
    if known := _MASS.fullmatch(label):
        return f"{known[1]}\n{_mass(known[2])}"
    return "\n".join(reversed(label.split())) if label.startswith(_MEAN) else decay(label)


def mass_name(label: str) -> str:
    """Return the mass of a label whose model is said beside it; other labels as `decay` does."""
    known = _MASS.fullmatch(label)
    return _mass(known[2]) if known else decay_math(label)


def _mass(digits: str) -> str:
    gev = int(digits)
    return f"{gev / 1000:g} TeV" if gev > 1000 else f"{gev} GeV"


def mean_of(group: str) -> str:
    """Return what stands for the mean over a group where signals are keys."""
    return _MEAN + group


def model_name(metrics: Mapping[str, Any]) -> str:
    """Return the name of the model as its paper writes it; others as they are."""
    name = str(metrics["model"].get("name", "model"))
    supervised = " (supervised)" if metrics["model"].get("supervised") else ""
    return _MODELS.get(name, name) + supervised


def data_name(metrics: Mapping[str, Any]) -> str:
    """Return the name of the data; only published files go by the data set's plain name."""
    name, origin = str(metrics["data"]["name"]), metrics["data"]["origin"]
    if origin == "simulated" and "simulated" not in name.lower():
        return f"{name} (simulated)"
    return f"{name} (user's files)" if origin == "user" else name


def events_name(metrics: Mapping[str, Any]) -> str:
    """Return what the events of a data set are called: jets, or events where images are whole."""
    return "events" if metrics["data"].get("groups") else "jets"


def event_counts(metrics: Mapping[str, Any]) -> str:
    """Return how many background and signal events the metrics were measured on."""
    counts, background = metrics["data"]["events"], metrics["data"]["background"]
    signals = sum(counts.values()) - counts[background]
    return f"{counts[background]:,} {background} and {signals:,} signal events"
