"""The Python interface: train a model, load a run and score files, read events.

Each function does what the corresponding command does, with the same configuration and results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import pandas as pd
import pyarrow as pa

from anomaly_hep.bounds import Count, Share
from anomaly_hep.checking import settings_of
from anomaly_hep.commands import train as training
from anomaly_hep.commands.score import input_files, open_scorer
from anomaly_hep.configuration import compose, is_folder
from anomaly_hep.errors import ConfigError, in_one_line
from anomaly_hep.evaluate.filescores import FileScores
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.formats.files import format_of, read
from anomaly_hep.paths import at_home
from anomaly_hep.runtime import endings_restored
from anomaly_hep.settings import Precision
from anomaly_hep.signatures import checked

Files = str | Path | Sequence[str | Path]  # paths or patterns


@dataclass(frozen=True)
class _Options:
    """How `TrainedModel.score` computes."""

    batch_size: Count = 1024
    precision: Precision = "32-true"
    carry: Sequence[str] | None = None
    on_bad_file: Literal["refuse", "skip"] = "refuse"
    on_bad_event: Literal["refuse", "skip"] = "refuse"
    max_bad_fraction: Share = 0.01


class TrainedModel:
    """A trained model that scores files."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of the scores; the columns of a table are called score_NAME."""
        return self._scorer.score_names

    @property
    def default_score(self) -> str:
        """Name of the score that the model is designed for."""
        return self._scorer.model.default_score

    def score(self, files: Files, **options: Any) -> pd.DataFrame:
        """Return the events of the files with every score, one row per event in file order.

        The table is the one that `python -m anomaly_hep score` writes, and `options` are its keys
        batch_size, precision, carry, on_bad_file, on_bad_event and max_bad_fraction. Events that
        fail the training's selection keep their row, with missing scores; `table.attrs` counts them
        ("rejected"), the jets truncated to the model's largest number of particles ("cut"), and
        impossible events without scores ("impossible").
        """
        chosen = _Options(**checked([_Options], options, "score"))
        scorer = replace(self._scorer, batch_size=chosen.batch_size, precision=chosen.precision)
        scores = FileScores(
            scorer,
            input_files(files),
            carry=chosen.carry,
            on_bad_file=chosen.on_bad_file,
            on_bad_event=chosen.on_bad_event,
            max_bad_fraction=chosen.max_bad_fraction,
        )
        empty = scores.schema.empty_table()
        table: pd.DataFrame = pa.concat_tables([empty, *scores.tables()]).to_pandas()
        counts = scorer.counts
        table.attrs = {
            "rejected": counts.rejected,
            "cut": counts.truncated,
            "impossible": scorer.left_out.events,
        }
        return table


def load(path: str | Path) -> TrainedModel:
    """Return the model of a run directory, with its best weights, or of a checkpoint."""
    try:
        location = Path(at_home(str(Path(path))))
    except TypeError as error:
        raise ConfigError(
            f"load({path!r}): {in_one_line(error)}. Cure: give the path of a run or checkpoint"
        ) from error
    checkpoint = location / "checkpoints" / "best.ckpt" if location.is_dir() else location
    return TrainedModel(open_scorer(checkpoint, 1024, "32-true"))


def events(files: Files) -> ak.Array:
    """Return the events of the files as records, in the columns that all files share.

    Names and units are the file format's; a column of particles or pixels holds a list per event.
    """
    descriptions = [format_of(path).describe(path) for path in input_files(files)]
    shared = [c for c in descriptions[0].columns if all(c in file.columns for file in descriptions)]
    if not shared:
        raise ConfigError(
            f"{descriptions[0].path} and other files share no column. Cure: files of one format"
        )
    parts = []
    for file in descriptions:
        content = read(file.path, 0, file.entries, shared)
        lists = {n: ak.unflatten(v, content.lengths) for n, v in content.particles.items()}
        parts.append(ak.zip({**lists, **content.events}, depth_limit=1))
    return ak.concatenate(parts)


def train(model: str, data: str | Mapping[str, Any] | None = None, **overrides: Any) -> Results:
    """Train, score and evaluate a model as `python -m anomaly_hep train` does; return its results.

    model, data: names as `list` shows them; `data` defaults to what the model is made for.
    `overrides` are keys of the configuration: `seed=2`, sections as mappings,
    `trainer={"max_epochs": 5}`, or dotted keys, `**{"model.beta": 0.1, "model/encoder":
    "transformer"}`. Each replaces the configured value. A finished run is read, not repeated.
    """
    if not isinstance(model, str):
        raise ConfigError(
            f"model={model!r} is not a name. Cure: give one that `anomaly_hep list models` shows, "
            "and its keys as dotted keys"
        )
    requested = {"model": model, **({} if data is None else {"data": data}), **overrides}
    choices = [f"{k}={v}" for k, v in requested.items() if is_folder(k) and isinstance(v, str)]
    values: dict[str, Any] = {}
    for key, value in requested.items():
        if isinstance(value, Mapping) and is_folder(key):
            values |= {f"{key}.{name}": inner for name, inner in value.items()}
        elif not (is_folder(key) and isinstance(value, str)):
            values[key] = value
    config = compose("train", choices, values)
    settings = settings_of("train", config)
    with endings_restored():
        return RunFiles(training.run(settings)).results
