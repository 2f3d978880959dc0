"""The descriptions of data and model in a run's metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.evaluate.results import DataDescription, ModelDescription
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.origin import origin_of
from anomaly_hep.models.loading import score_descriptions
from anomaly_hep.settings import DataSettings, ModelSettings


def describe_data(settings: DataSettings, module: EventDataModule) -> DataDescription:
    """Return name, origin and generator of the test data, as recorded in its files."""
    files = [f.description for label in module.classes for f in module.files("test", label)]
    origin, generator = origin_of(files, module.test_directory)
    trained_on = None
    if module.test_directory != module.directory:
        trained = [file.description for file in module.files("train", module.background)]
        trained_on, _ = origin_of(trained, module.directory)
    return DataDescription(
        # simulated data never carry the plain name of the published data set
        name=settings.title + (" (simulated)" if origin == "simulated" else ""),
        origin=origin,
        generator=generator,
        background=module.background,
        groups=module.groups or {},
        trained_on=trained_on,
        signal_in_training=module.signal_share or None,
        mass=(settings.mass_title or settings.mass) if settings.mass else "",
        event_noun=format_of(files[0].path).EVENT_NOUN,
    )


def describe_model(
    settings: ModelSettings, fitted: Mapping[str, Mapping[str, Any]], scorer: Scorer
) -> ModelDescription:
    """Return name, size, operations, and the multiplicities that the operations are for."""
    model = scorer.model
    counts = model.parameter_counts()
    multiplicity = None
    if issubclass(model.accepts, ParticleBatch):
        multiplicity = scorer.rows / (scorer.counts.events - scorer.counts.rejected)
    at_mean = model.flops(multiplicity or 0.0)
    reference = model.reference_multiplicity
    at_reference = {} if reference is None else model.flops(reference)
    return ModelDescription(
        name=settings.name,
        parameters=counts["total"],
        encoder_parameters=counts["encoder"],
        flops_per_event=at_mean["total"],
        encoder_flops_per_event=at_mean["encoder"],
        supervised=model.supervised,
        labels=model.labels_seen if model.supervised else {},
        mean_multiplicity=multiplicity,
        reference_multiplicity=reference,
        flops_at_reference=at_reference.get("total"),
        encoder_flops_at_reference=at_reference.get("encoder"),
        title=model.title,
        scores=score_descriptions(settings.target, fitted),
    )
