"""Load a trained model with its reading and fitted scores; keep fitted scores beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep import checksums
from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.reading import Counts, Reading, reading_of
from anomaly_hep.errors import CheckpointError, in_one_line
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.loading import fitted_scores, model_class, read_checkpoint


def load_model(path: Path) -> tuple[AnomalyModel, Reading, Counts]:
    """Return the model of a checkpoint, how it reads events, and what it read in validation.

    Raises CheckpointError for a file that is missing, damaged or not one of ours.
    """
    content = read_checkpoint(path)
    try:
        model = model_class(content["anomaly_hep"]["model"])(**content["hyper_parameters"])
        model.load_state_dict(content["state_dict"])
        data = content["datamodule_hyper_parameters"]
        reading = reading_of(data["reading"], data["inputs"])
        counts = Counts()
        for name, state in content.get("EventDataModule", {}).get("counts", {}).items():
            if name.startswith("val"):
                counts.load_state_dict(state)
    except Exception as error:  # whatever it holds, it is not our checkpoint
        raise CheckpointError(
            f"{path} is no checkpoint of this version of the package "
            f"({in_one_line(error)}). Cure: use one written by train.py"
        ) from error
    return model.eval(), reading, counts


def load_fitted(directory: Path) -> dict[str, FittedScore]:
    """Return the fitted scores kept in a directory of checkpoints, by name."""
    scores: dict[str, FittedScore] = {}
    for path in sorted(directory.glob("fitted-*.npz")):
        name = path.stem.removeprefix("fitted-")
        checksums.verify(path)
        try:
            # numpy leaves a damaged file open that it opened itself
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            scores |= fitted_scores({name: json.loads(str(arrays.pop("settings")))})
            scores[name].load(arrays)
        except Exception as error:  # damaged bytes can raise any exception
            raise CheckpointError(
                f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
            ) from error
    return scores


def write_fitted(
    fitted: Mapping[str, FittedScore], settings: Mapping[str, Mapping[str, Any]], directory: Path
) -> None:
    """Write the state of each fitted score beside the checkpoint, as fitted-NAME.npz."""
    for name, score in fitted.items():
        path = directory / f"fitted-{name}.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            arrays: dict[str, Any] = dict(score.state())
            np.savez_compressed(handle, settings=json.dumps(dict(settings[name])), **arrays)
