"""Classes as people read them: order of columns, decays, and what made the data."""

from __future__ import annotations

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
_SCORES = {
    "chamfer": "Chamfer loss",
    "chamfer_sum": "Chamfer loss, summed",
    "kl": "KL divergence",
    "total": "total loss",
    "n_subjettiness": "N-subjettiness",
    "soft_drop_mass": "soft-drop mass",
    "multiplicity": "multiplicity",
}
_UNITS = {
    "chamfer": "dimensionless",
    "chamfer_sum": "dimensionless",
    "kl": "nats per latent dimension",
    "total": "dimensionless",
    "n_subjettiness": "dimensionless",
    "soft_drop_mass": "GeV",
    "multiplicity": "particles",
}


def score_axis(name: str) -> str:
    """Return a score's name with its unit, for an axis."""
    return f"{score_name(name)} ({_UNITS[name]})" if name in _UNITS else score_name(name)


def score_name(name: str) -> str:
    """Return the name of a score or baseline as people say it; others as they are."""
    return _SCORES.get(name, name)


def score_groups(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the group in metrics.json of each score and baseline, in the order to show them.

    The default score first, then the other scores, then the baselines as the paper values them.
    """
    known = list(_SCORES)
    rank = {name: i for i, name in enumerate(known)}
    names = {
        group: sorted(metrics[group], key=lambda n: (n != default, rank.get(n, len(rank)), n))
        for default, group in ((metrics["default_score"], "scores"), ("", "baselines"))
    }
    return {name: group for group, members in names.items() for name in members}


def ordered(labels: Iterable[str]) -> list[str]:
    """Return labels in the column order of arXiv:2311.17162, others after them by name."""
    rank = {label: i for i, label in enumerate(SIGNALS)}
    return sorted(labels, key=lambda label: (rank.get(label, len(rank)), label))


def decay(label: str) -> str:
    """Return the decay that a JetClass label stands for, as text; other labels as they are."""
    return _DECAYS.get(label, label)


def decay_math(label: str) -> str:
    """Return the decay that a JetClass label stands for, as matplotlib mathematics."""
    return f"${_MATH[label]}$" if label in _MATH else label


def model_name(metrics: Mapping[str, Any]) -> str:
    """Return the name of the model as its paper writes it; others as they are."""
    name = str(metrics["model"].get("name", "model"))
    return {"setvae": "Set-VAE", "clipvae": "CLIP-VAE"}.get(name, name)


def data_name(metrics: Mapping[str, Any]) -> str:
    """Return the name of the data; only published files go by the data set's plain name."""
    name, origin = str(metrics["data"]["name"]), metrics["data"]["origin"]
    if origin == "simulated" and "simulated" not in name.lower():
        return f"{name} (simulated)"
    return f"{name} (user's files)" if origin == "user" else name


def event_counts(metrics: Mapping[str, Any]) -> str:
    """Return how many background and signal events the metrics were measured on."""
    counts, background = metrics["data"]["events"], metrics["data"]["background"]
    signals = sum(counts.values()) - counts[background]
    return f"{counts[background]:,} {background} and {signals:,} signal events"
