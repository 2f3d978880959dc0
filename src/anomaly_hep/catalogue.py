"""The models, data sets, experiments and scores to choose from.

All are read from the yaml files of `conf/` and the classes that they name, including those of
private modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from inspect import isabstract, signature
from pathlib import Path
from typing import Any

import yaml

from anomaly_hep.configuration import compose, directories
from anomaly_hep.errors import ConfigError
from anomaly_hep.models import fitted
from anomaly_hep.models.fitted import FittedScore
from anomaly_hep.models.loading import model_class
from anomaly_hep.models.outputs import ScoreDescription

# what stands for an argument of a fitted score, where it is not the argument's name
_PLACEHOLDERS = {"scores": "[SCORE, SCORE]", "mass": "COLUMN"}


@dataclass(frozen=True)
class Entry:
    """One alternative: what it is, the override that chooses it, and the keys that it has.

    `facts` are short. `keys` are dotted, with their defaults. `scores` are those of a model, the
    default one first.
    """

    kind: str
    name: str
    choice: str
    summary: str
    facts: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, ScoreDescription] = field(default_factory=dict)


def models() -> list[Entry]:
    """Return the files of conf/model."""
    return [_model(name, tuple(directories())) for name in _names("model")]


def data_sets() -> list[Entry]:
    """Return the files of conf/data."""
    return [_data_set(name) for name in _names("data")]


def experiments() -> list[Entry]:
    """Return the files of conf/experiment, with the keys that each sets."""
    return [_experiment(name) for name in _names("experiment")]


def scores() -> list[Entry]:
    """Return the scores of every model, and those that can be fitted beside them."""
    of_models = [_score(model, name) for model in models() for name in model.scores]
    return of_models + [_fitted(score_class) for score_class in _fitted_classes()]


KINDS: Mapping[str, Callable[[], list[Entry]]] = {
    "models": models,
    "data": data_sets,
    "experiments": experiments,
    "scores": scores,
}


def find(name: str) -> list[Entry]:
    """Return every entry of this name; raises ConfigError, which lists the known names."""
    catalogue = [entry for make in KINDS.values() for entry in make()]
    entries = [entry for entry in catalogue if entry.name == name]
    if not entries:
        known = list(dict.fromkeys(entry.name for entry in catalogue))
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"there is no '{name}'.{hint} Cure: choose one of {', '.join(known)}")
    return entries


@cache
def _model(name: str, places: tuple[Path, ...]) -> Entry:
    del places  # where the yaml files are, which decides what the name stands for
    config = compose("train", [f"model={name}"])["model"]
    model = model_class(config["_target_"])
    default = model.default_score
    descriptions = dict(model.score_descriptions())
    return Entry(
        "model",
        name,
        f"model={name}",
        _first_sentence(model),
        {"title": model.title, "takes": model.accepts.__name__, "default score": default},
        _flat(config, "model."),
        {default: descriptions[default], **descriptions},
    )


def _data_set(name: str) -> Entry:
    config = compose("simulate", [f"data={name}"])["data"]
    return Entry(
        "data",
        name,
        f"data={name}",
        _remark(_file("data", name)),
        {"title": config["title"], "background": config["background"]},
        _flat(config, "data."),
    )


def _experiment(name: str) -> Entry:
    file = _file("experiment", name)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    chosen = [part for part in content.get("defaults", ()) if isinstance(part, dict)]
    groups = {k.removeprefix("override ").strip("/"): v for part in chosen for k, v in part.items()}
    keys = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    return Entry(
        "experiment", name, f"experiment={name}", _remark(file), {}, {**groups, **_flat(keys)}
    )


def _score(model: Entry, name: str) -> Entry:
    description = model.scores[name]
    default = " (default)" if name == next(iter(model.scores)) else ""
    return Entry(
        "score",
        name,
        model.choice,
        description.title,
        {"model": f"{model.name}{default}", "unit": description.unit},
    )


def _fitted_classes() -> Iterator[type[FittedScore]]:
    """Yield the classes of scores that can be fitted, private ones too."""
    waiting = FittedScore.__subclasses__()
    while waiting:
        score_class = waiting.pop(0)
        if not isabstract(score_class):
            yield score_class
        waiting += score_class.__subclasses__()


def _fitted(score_class: type[FittedScore]) -> Entry:
    name = score_class.__name__
    is_ours = getattr(fitted, name, None) is score_class
    path = f"{fitted.__name__ if is_ours else score_class.__module__}.{name}"
    needed = [n for n, p in signature(score_class).parameters.items() if p.default is p.empty]
    takes = "".join(f", {name}: {_PLACEHOLDERS.get(name, name.upper())}" for name in needed)
    return Entry(
        "fitted score",
        name,
        f"'fitted_scores.NAME={{_target_: {path}{takes}}}'",
        _first_sentence(score_class),
        {"model": "any", "unit": ""},
    )


def _names(folder: str) -> list[str]:
    files = (path for directory in directories() for path in (directory / folder).glob("*.yaml"))
    return sorted({path.stem for path in files})


def _file(folder: str, name: str) -> Path:
    paths = (directory / folder / f"{name}.yaml" for directory in directories())
    return next(path for path in paths if path.exists())


def _remark(file: Path) -> str:
    """Return the first comment of a yaml file, which states its purpose."""
    lines = file.read_text(encoding="utf-8").splitlines()
    remarks = (line[1:].strip() for line in lines if line.startswith("#"))
    return next((remark for remark in remarks if not remark.startswith("@package")), "")


def _first_sentence(described: type) -> str:
    return (described.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
