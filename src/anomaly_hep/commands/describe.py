"""What metrics.json says of a run's data and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.evaluate.results import DataDescription, ModelDescription
from anomaly_hep.formats.origin import origin_of
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.loading import score_descriptions


def describe_data(config: Mapping[str, Any], module: EventDataModule) -> DataDescription:
    """Return name, origin and generator of the test data, as its files say."""
    files = [file for label in module.classes for file in module.files("test", label)]
    origin, generator = origin_of(files, module.test_directory)
    trained_on = None
    if module.test_directory != module.directory:
        trained_on, _ = origin_of(module.files("train", module.background), module.directory)
    return DataDescription(
        # what is simulated never goes by the plain name of the published data set
        name=config["data"]["title"] + (" (simulated)" if origin == "simulated" else ""),
        origin=origin,
        generator=generator,
        background=module.background,
        groups=config["data"]["groups"] or {},
        trained_on=trained_on,
        signal_in_training=module.signal.value or None,
        event_noun=config["data"]["kind"],
    )


def describe_model(
    config: Mapping[str, Any], model: AnomalyModel, table: pd.DataFrame
) -> ModelDescription:
    """Return name, size and operations, and where the paper says it the multiplicity of these."""
    counts = model.parameter_counts()
    known = "jet_nparticles" in table
    multiplicity = float(table["jet_nparticles"].mean()) if known else 0.0
    here = model.flops(multiplicity)
    reference = model.reference_multiplicity
    printed = {} if reference is None else model.flops(reference)
    return ModelDescription(
        name=config["model"]["name"],
        parameters=counts["total"],
        encoder_parameters=counts["encoder"],
        flops_per_event=here["total"],
        encoder_flops_per_event=here["encoder"],
        supervised=model.supervised,
        mean_multiplicity=multiplicity if known else None,
        reference_multiplicity=reference,
        flops_at_reference=printed.get("total"),
        encoder_flops_at_reference=printed.get("encoder"),
        title=model.title,
        scores=score_descriptions(config),
    )
