"""The first events of each class, true and reconstructed, for the figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.evaluate.scores import Scorer, usable


def write_reconstructions(
    scorer: Scorer, files: Sequence[tuple[str, SampleFile]], path: Path
) -> None:
    """Write the first events of each (label, file), as many as the model says, before and after.

    The npz has the fields of the model's `reconstruction`, the name of its class as `form`, and the
    label of each event; no file is written for a model that reconstructs nothing.
    """
    parts: dict[str, list[np.ndarray]] = {}
    form = ""
    for label, file in files:
        piece = Slice(file, 0, min(scorer.model.reconstructed_events, len(file)), 0)
        chosen = scorer.reading.read(piece)
        chosen = chosen.take(np.flatnonzero(usable(scorer.reading, chosen)))
        batch, _ = scorer.reading.batch(chosen, np.arange(len(chosen)), file.path)
        with torch.inference_mode(), scorer.autocast():
            reconstruction = scorer.model.reconstruction(batch.to(scorer.model.device))
        if reconstruction is None:
            return
        form = type(reconstruction).__name__
        for name, values in reconstruction.arrays().items():
            parts.setdefault(name, []).append(values)
        parts.setdefault("labels", []).append(np.array([label] * len(chosen)))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        np.savez_compressed(handle, form=form, **arrays)
