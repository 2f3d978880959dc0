"""What metrics.json says of a run's data and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.formats.origin import origin_of
from anomaly_hep.models.base import AnomalyModel


def describe_data(config: Mapping[str, Any], module: EventDataModule) -> dict[str, Any]:
    """Return name, origin and generator of the test data, as its files say."""
    files = [file for label in module.classes for file in module.files("test", label)]
    origin, generator = origin_of(files, module.test_directory)
    # what is simulated never goes by the plain name of the published data set
    name = config["data"]["title"] + (" (simulated)" if origin == "simulated" else "")
    described: dict[str, Any] = {"name": name, "origin": origin, "generator": generator}
    if module.test_directory != module.directory:
        trained, _ = origin_of(module.files("train", module.background), module.directory)
        described["trained_on"] = trained
    if groups := config["data"]["groups"]:
        described["groups"] = groups
    if module.signal_share:
        described["signal_in_training"] = module.signal_share
    return described


def describe_model(
    config: Mapping[str, Any], model: AnomalyModel, table: pd.DataFrame
) -> dict[str, Any]:
    """Return name, size and operations, and where the paper says it the multiplicity of these."""
    counts = model.parameter_counts()
    known = "jet_nparticles" in table
    multiplicity = float(table["jet_nparticles"].mean()) if known else 0.0
    here = model.flops(multiplicity)
    described = {
        "name": config["model"]["name"],
        "parameters": counts["total"],
        "encoder_parameters": counts["encoder"],
        "flops_per_event": here["total"],
        "encoder_flops_per_event": here["encoder"],
    }
    if model.supervised:
        described["supervised"] = True
        described["labels"] = {phase.name: list(phase.labels) for phase in model.phases}
    if known:
        described["mean_multiplicity"] = multiplicity
    if model.reference_multiplicity is not None:
        paper = model.flops(model.reference_multiplicity)
        described |= {
            "reference_multiplicity": model.reference_multiplicity,
            "flops_at_reference": paper["total"],
            "encoder_flops_at_reference": paper["encoder"],
        }
    return described
