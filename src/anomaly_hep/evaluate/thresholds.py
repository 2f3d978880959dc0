"""threshold.json: the thresholds of a run's scores, which `score` and the firmware read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep import checksums
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ConfigError, MissingDataError, RunDirectoryError, in_one_line
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.triggerrate import TriggerThreshold
from anomaly_hep.models.fits.base import FittedScore

FILE = "threshold.json"
VERSION = 1
_MODEL = "model"  # the checkpoint among `files`


@dataclass(frozen=True)
class Thresholds:
    """The content of threshold.json.

    wanted_hz, input_rate_hz: the rate that was asked for, and that of all events, in Hz. origin:
    whether the background is simulated or published. events, effective_events: of the background.
    files: SHA-256 of the checkpoint (`model`) and of each fitted score that a threshold needs.
    """

    data: str
    origin: str
    background: str
    events: int
    effective_events: float
    wanted_hz: float
    input_rate_hz: float
    files: Mapping[str, str]
    thresholds: Sequence[TriggerThreshold]
    version: int = VERSION

    @property
    def cuts(self) -> dict[str, float]:
        """The threshold of each score, by its name."""
        return {one.score: one.threshold.value for one in self.thresholds}

    def write(self, run: Path) -> None:
        """Write threshold.json into a run's directory, with its checksum."""
        with checksums.rewriting(run, FILE):
            write_text(run / FILE, json.dumps(asdict(self), indent=2) + "\n")

    def check(self, path: Path, checkpoint: Path, fitted: Mapping[str, FittedScore]) -> None:
        """Refuse a model whose scores are others than these thresholds are for.

        Raises ConfigError. path: where the thresholds come from. fitted: the scores stored beside
        the checkpoint.
        """
        for name, digest in self.files.items():
            file = checkpoint if name == _MODEL else fitted_file(checkpoint, name)
            if not file.is_file() or checksums.sha256(file) != digest:
                raise ConfigError(
                    f"threshold={path} belongs to another {_words(name)} than {file}. Cure: the "
                    "checkpoint of its own run; or make a threshold for this one by the command "
                    "rate"
                )
        if unknown := [n for n in needed_files(list(self.cuts), fitted) if n not in self.files]:
            raise ConfigError(
                f"threshold={path} does not say which fitted score '{unknown[0]}' it is for. Cure: "
                "make it again by the command rate"
            )


def files_behind(
    checkpoint: Path, scores: Sequence[str], fitted: Mapping[str, FittedScore]
) -> dict[str, str]:
    """Return the SHA-256 of the checkpoint and of the fitted scores that scores follow from."""
    names = needed_files(scores, fitted)
    found = {name: checksums.sha256(fitted_file(checkpoint, name)) for name in names}
    return {_MODEL: checksums.sha256(checkpoint), **found}


def needed_files(scores: Sequence[str], fitted: Mapping[str, FittedScore]) -> list[str]:
    """Return the names of the fitted scores that scores are, or follow from."""
    found: dict[str, None] = {}
    waiting = list(scores)
    while waiting:
        name = waiting.pop()
        if name in fitted and name not in found:
            found[name] = None
            waiting += fitted[name].scores
    return sorted(found)


def fitted_file(checkpoint: Path, name: str) -> Path:
    """Return where the fitted score of a name is kept beside a checkpoint."""
    return checkpoint.parent / f"fitted-{name}.npz"


def read_thresholds(path: Path) -> Thresholds:
    """Return the content of a threshold.json.

    Raises MissingDataError where there is none, RunDirectoryError for a damaged one or one of
    another version.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path} does not exist. Cure: python -m anomaly_hep rate run=RUN makes it"
        )
    checksums.verify(path)
    try:
        content = dict(json.loads(path.read_text("utf-8")))
        version = content["version"]
        thresholds = [_threshold(one) for one in content.pop("thresholds")]
        made = Thresholds(**content, thresholds=thresholds)
        _check(made)
    except OSError:
        raise
    except Exception as error:  # damaged bytes can raise any exception
        raise RunDirectoryError(
            f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
        ) from error
    if version != VERSION:
        raise RunDirectoryError(
            f"{path} is of version {version}, and this package reads {VERSION}. Cure: make it "
            "again by the command rate"
        )
    return made


def _threshold(content: Mapping[str, Any]) -> TriggerThreshold:
    intervals = {name: Interval(*map(float, content[name])) for name in ("threshold", "rate_hz")}
    return TriggerThreshold(**{**content, **intervals})


def _check(made: Thresholds) -> None:
    """Raise ValueError or TypeError for numbers that no threshold has."""
    numbers = [made.wanted_hz, made.input_rate_hz, made.effective_events, made.events]
    for one in made.thresholds:
        numbers += [*one.threshold, *one.rate_hz, one.above]
    if not np.isfinite(np.array(numbers, np.float64)).all() or not made.thresholds:
        raise ValueError("a number is not finite, or there is no threshold")
    if not 0 < made.wanted_hz < made.input_rate_hz:
        raise ValueError("the wanted rate is not between 0 and that of the input")
    if not isinstance(made.files, dict) or _MODEL not in made.files:
        raise ValueError("it does not say which model it is for")


def _words(name: str) -> str:
    return "model" if name == _MODEL else f"fitted score '{name}'"
