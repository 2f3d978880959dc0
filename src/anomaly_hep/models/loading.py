"""Load checkpoints, and the classes named in them and in configurations.

A checkpoint may be of unknown origin: its classes are only imported from this package and from
installed packages that announce themselves (`anomaly_hep.plugins`).
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from anomaly_hep import checksums
from anomaly_hep.errors import CheckpointError, ConfigError, in_one_line
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.companions import Decorrelation
from anomaly_hep.models.outputs import ScoreDescription
from anomaly_hep.plugins import named

_BLOCK = 2**20  # bytes of a record that are read at once


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, on the CPU.

    Raises CheckpointError, or RunDirectoryError for one that is not what its run wrote. Every
    record is compared with its checksum, which torch does not do: a flipped bit would change the
    weights unnoticed. Only plain values and tensors are read.
    """
    checksums.verify(path)
    try:
        _verify_records(path)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist. Cure: give checkpoint=RUN/checkpoints/best.ckpt"
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read. Cure: change its permissions") from error
    except Exception as error:  # a damaged file can raise anything
        # torch then explains how to unpickle it all the same
        pickled = type(error).__name__ == "UnpicklingError"
        said = "it holds other Python objects than tensors" if pickled else in_one_line(error)
        raise CheckpointError(
            f"{path} is no checkpoint of this package, or it is damaged ({said}). Cure: use a "
            "whole one, written by train.py"
        ) from error
    return content


def _verify_records(path: Path) -> None:
    """Read every record of a zip file, which compares checksums; raises BadZipFile.

    Each is opened by its place in the list: by name, one that has another's name is left out.
    """
    with zipfile.ZipFile(path) as archive:
        for listed in archive.infolist():
            if listed.external_attr:  # torch takes a record that is marked as a directory for empty
                raise zipfile.BadZipFile(f"{listed.filename} has attributes")
            with archive.open(listed) as record:
                while record.read(_BLOCK):
                    pass


def class_of(path: str) -> type:
    """Return the class at a dotted path into the models; raises ConfigError for anything else."""
    found = named(path, "models")
    if not isinstance(found, type):
        raise ConfigError(
            f"_target_={path} is no class of the models. Cure: name one below anomaly_hep.models, "
            "or announce your own module by an entry point 'anomaly_hep.models'"
        )
    return found


def model_class(path: str) -> type[AnomalyModel]:
    """Return the model class at a dotted path; raises ConfigError for any other class."""
    model = class_of(path)
    if not issubclass(model, AnomalyModel):
        raise ConfigError(
            f"_target_={path} is no model. Cure: name a subclass of anomaly_hep.models.base."
            "AnomalyModel"
        )
    return model


def fitted_scores(settings: Mapping[str, Mapping[str, Any]] | None) -> dict[str, FittedScore]:
    """Return the fitted scores of a configuration by name, not yet fitted."""
    scores: dict[str, FittedScore] = {}
    for name, choices in (settings or {}).items():
        arguments = dict(choices)
        score_class = class_of(str(arguments.pop("_target_", "")))
        try:
            scores[name] = score_class(**arguments)
        except TypeError as error:
            raise ConfigError(
                f"fitted_scores.{name}: {error}. Cure: give the arguments of {score_class.__name__}"
            ) from error
    return scores


def score_descriptions(
    target: str,
    fitted: Mapping[str, Mapping[str, Any]] | None,
    decorrelation: Decorrelation | None = None,
) -> dict[str, ScoreDescription]:
    """Return title and unit of every score of a model and fitted on it, in the order of tables."""
    described = dict(model_class(target).score_descriptions())
    if decorrelation:
        fitted = decorrelation.added(fitted or {}, list(described))
    for name, score in fitted_scores(fitted).items():
        described[name] = score.description
    titles = Counter(one.title for one in described.values())
    return {
        name: replace(one, title=f"{name}: {one.title}") if titles[one.title] > 1 else one
        for name, one in described.items()
    }
