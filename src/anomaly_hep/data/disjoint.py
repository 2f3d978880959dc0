"""Refuse, before a training, samples that hold no event, share events, or cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from anomaly_hep.data.plan import Plan
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.types import Sample

Key = tuple[str, str]  # split and class


def check_samples(
    samples: Mapping[Key, Sample],
    paths: Callable[[str, str], Sequence[Path]],
    files: Callable[[str, str], Sequence[SampleFile]],
) -> None:
    """Raise ConfigError or MissingDataError for samples that are empty or share events.

    `paths` lists the files of a sample, `files` opens them. Only those files are opened of which
    bounds, a share or weights choose events, or which two samples list.
    """
    users: dict[Path, list[Key]] = {}  # the samples that list a file
    for key in samples:
        for path in paths(*key):
            users.setdefault(path.resolve(), []).append(key)
    for key, sample in samples.items():
        if sample.weight or sample.where or sample.entries != (0.0, 1.0):
            _refuse_empty(key, files(*key))
    pairs = {pair: None for keys in users.values() for pair in combinations(keys, 2)}
    for one, other in pairs:
        _refuse_overlap(one, other, files)


def _refuse_empty(key: Key, files: Sequence[SampleFile]) -> None:
    place = f"data.samples.{'.'.join(key)}"
    if not sum(map(len, files)):
        raise MissingDataError(
            f"{place} holds no event of its files. Cure: other bounds in `where`, or more in "
            "`entries`"
        )
    if not any(file.has_weight for file in files):
        raise MissingDataError(
            f"all events of {place} have the weight 0. Cure: another column of weights"
        )


def _refuse_overlap(
    one: Key, other: Key, files: Callable[[str, str], Sequence[SampleFile]]
) -> None:
    first, second = ({file.path.resolve(): file for file in files(*key)} for key in (one, other))
    for path in first.keys() & second.keys():
        if first[path].overlaps(second[path]):
            raise ConfigError(
                f"events of {path} belong to data.samples.{'.'.join(one)} and to "
                f"data.samples.{'.'.join(other)}. Cure: separate them by `where` or `entries`"
            )


def check_plan(plan: Plan, split: str, background: str, directory: Path, weighting: str) -> None:
    """Raise MissingDataError for a plan without events, ConfigError for weights that cannot draw.

    Where `weighting` is 'resample', weights are probabilities.
    """
    if plan.events == 0:
        raise MissingDataError(
            f"the {split} files of {background} in {directory} hold no event of "
            f"data.samples.{split}.{background}. Cure: simulate or fetch some, choose another "
            "data.dir, or other bounds there"
        )
    negative = sum(part.file.negative for part in plan.files)
    if negative and sum({p.file: p.file.total_weight for p in plan.files}.values()) <= 0:
        raise ConfigError(
            f"the weights of {background} in {split} have no positive sum, so that no mean exists. "
            "Cure: more events, or another column of weights"
        )
    if weighting == "resample" and negative:
        raise ConfigError(
            f"data.weighting=resample, but {negative:,} events of {background} have negative "
            "weights, which are no probabilities. Cure: data.weighting=loss"
        )
