"""The results of a run: the content of metrics.json, with titles and units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.massbins import MassBins
from anomaly_hep.evaluate.paper import MEAN, Paper
from anomaly_hep.evaluate.sculpting import Sculpting
from anomaly_hep.models.outputs import ScoreDescription

ORIGINS = ("simulated", "published", "user")

# by the key of the metric; None if there are too few events
Measured = Mapping[str, Interval | None]


def _not_stored(default: Any = MISSING, **how: Any) -> Any:
    """Return a field that metrics.json does not hold: it is known from the run's other files."""
    return field(default=default, metadata={"stored": False}, **how)


@dataclass(frozen=True)
class DataDescription:
    """The events that a run was tested on.

    `events` counts them by label; `effective_events` says how many of equal weight fluctuate as
    much as those of each label, where weights differ. `groups` are labels of signals that belong
    together, such as one model at several masses. `signal_in_training` is the share of signal among
    the training events without labels. `event_noun` is the word for them: jets, images, events.
    `mass` is what the events' invariant mass is called; empty where they have none.
    """

    name: str
    origin: str
    generator: str | None
    background: str
    events: Mapping[str, int] = field(default_factory=dict)
    effective_events: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trained_on: str | None = None
    signal_in_training: float | None = None
    mass: str = ""
    event_noun: str = _not_stored("events")

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ConfigError(f"data origin '{self.origin}' is none of {', '.join(ORIGINS)}")
        if not self.name:
            raise ConfigError("the description of the data does not name them")
        for group, labels in self.groups.items():
            if not labels or len(set(labels)) < len(labels) or self.background in labels:
                raise ConfigError(
                    f"group {group} of the data has the labels {list(labels)}. Cure: name each of "
                    f"its signals once, and not the background {self.background}"
                )

    @property
    def title(self) -> str:
        """Name of the data; only published files go by the data set's plain name."""
        if self.origin == "simulated" and "simulated" not in self.name.lower():
            return f"{self.name} (simulated)"
        return f"{self.name} (user's files)" if self.origin == "user" else self.name

    @property
    def counts(self) -> str:
        """The numbers of background and signal events, in words."""
        signals = sum(self.events.values()) - self.events[self.background]
        return f"{self.events[self.background]:,} {self.background} and {signals:,} signal events"

    @property
    def measured_groups(self) -> dict[str, list[str]]:
        """The groups with those labels that have events; groups without any are left out."""
        measured = {g: [s for s in labels if s in self.events] for g, labels in self.groups.items()}
        return {group: labels for group, labels in measured.items() if labels}


@dataclass(frozen=True)
class ModelDescription:
    """A model: its size, its operations per event, and the titles of its scores in their order.

    Operations are counted at the mean multiplicity of the test events, and at the paper's reference
    multiplicity. `labels` are the classes whose labels the phases of a training used, if any did.
    """

    name: str
    parameters: int
    encoder_parameters: int
    flops_per_event: float
    encoder_flops_per_event: float
    supervised: bool = False
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mean_multiplicity: float | None = None
    reference_multiplicity: float | None = None
    flops_at_reference: float | None = None
    encoder_flops_at_reference: float | None = None
    title: str = _not_stored("")
    scores: Mapping[str, ScoreDescription] = _not_stored(default_factory=dict)

    @property
    def full_title(self) -> str:
        """Name of the model as its paper writes it, and whether it has seen labels of signals."""
        return f"{self.title or self.name}{f' ({self.supervision})' if self.supervised else ''}"

    @property
    def supervision(self) -> str:
        """In words, whether all phases of the training saw labels or only some."""
        partly = self.labels and not all(self.labels.values())
        return "semi-supervised" if partly else "supervised"


@dataclass(frozen=True)
class EventRates:
    """Events per second of a run's training and scoring; None where it was not measured."""

    train_events_per_second: float | None = None
    score_events_per_second: float | None = None


@dataclass(frozen=True)
class Spread:
    """Mean with its standard error, and standard deviation, of a quantity over one class."""

    mean: Interval
    std: float


@dataclass(frozen=True)
class Results:
    """All results of a run, as fractions: of scores and baselines by name, signal and metric.

    `means` are by name and group; None for data without groups. `reconstruction` is by class and
    quantity; None for a model that reconstructs no images. `sculpting` is by name, in `mass_bins`;
    None without masses. `notes` say what could not be computed.
    """

    data: DataDescription
    model: ModelDescription
    default_score: str
    speed: EventRates
    paper: Paper
    scores: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    means: Mapping[str, Mapping[str, Measured]] | None = None
    reconstruction: Mapping[str, Mapping[str, Spread | None]] | None = None
    mass_bins: MassBins | None = None
    sculpting: Mapping[str, Sculpting] | None = None
    notes: Sequence[str] = ()

    @property
    def signals(self) -> list[str]:
        """Labels of the signals that were tested, in the paper's order."""
        return self.paper.ordered(set(self.data.events) - {self.data.background})

    @property
    def sections(self) -> dict[str, list[str]]:
        """The scores, default first, in the model's order; the baselines in the paper's order."""
        known = [name for name in self.model.scores if name in self.scores]
        scores = [self.default_score, *known, *sorted(self.scores)]
        baselines = [one.name for one in self.paper.baselines if one.name in self.baselines]
        return {"scores": list(dict.fromkeys(scores)), "baselines": baselines}

    @property
    def names(self) -> list[str]:
        """Every score and baseline, in the order to show them."""
        return [name for names in self.sections.values() for name in names]

    def of(self, name: str) -> Mapping[str, Measured]:
        """Return the metrics of a score or baseline, by signal."""
        return self.scores[name] if name in self.scores else self.baselines[name]

    def cells(self, name: str, metric: str) -> dict[str, Interval]:
        """Return one metric of a score or baseline by signal and group mean, where measured."""
        cells = {signal: measured.get(metric) for signal, measured in self.of(name).items()}
        means = (self.means or {}).get(name, {})
        cells |= {MEAN + group: measured.get(metric) for group, measured in means.items()}
        return {signal: interval for signal, interval in cells.items() if interval}

    def title(self, name: str) -> str:
        """Return the title of a score or baseline; its name if nothing describes it."""
        return self._described(name).title

    def axis(self, name: str) -> str:
        """Return the title of a score or baseline with its unit, for an axis."""
        described = self._described(name)
        return f"{described.title} ({described.unit})" if described.unit else described.title

    def _described(self, name: str) -> ScoreDescription:
        if name in self.model.scores:
            return self.model.scores[name]
        baselines = {b.name: ScoreDescription(b.title, b.unit) for b in self.paper.baselines}
        return baselines.get(name, ScoreDescription(name, ""))

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json (docs/reference/metrics.md)."""
        content = {
            "data": _stored(self.data),
            "model": _stored(self.model),
            "default_score": self.default_score,
            "scores": self.scores,
            "baselines": self.baselines,
            "notes": list(self.notes),
        }
        if self.means is not None:
            content["means"] = self.means
        if self.reconstruction is not None:
            content["reconstruction"] = {
                label: {name: spread and vars(spread) for name, spread in quantities.items()}
                for label, quantities in self.reconstruction.items()
            }
        if self.mass_bins is not None and self.sculpting is not None:
            content["mass_bins"] = vars(self.mass_bins)
            content["sculpting"] = {n: one.to_json() for n, one in self.sculpting.items()}
        return content

    @staticmethod
    def from_json(
        content: Any,
        paper: Paper,
        *,
        title: str,
        scores: Mapping[str, ScoreDescription],
        event_noun: str,
        speed: EventRates,
    ) -> Results:
        """Return the results that metrics.json holds; a damaged one raises some exception.

        The caller gives what it lacks: titles of model and scores, the event noun, and the rates.
        """
        data, default_score = content["data"], content["default_score"]
        if data["background"] not in data["events"] or default_score not in content["scores"]:
            raise ValueError("its background or its default score is not among its entries")
        means, quality = content.get("means"), content.get("reconstruction")
        bins, sculpting = content.get("mass_bins"), content.get("sculpting")
        return Results(
            data=DataDescription(**data, event_noun=event_noun),
            model=ModelDescription(**content["model"], title=title, scores=scores),
            default_score=default_score,
            speed=speed,
            paper=paper,
            scores=_measured(content["scores"]),
            baselines=_measured(content["baselines"]),
            means=None if means is None else _measured(means),
            reconstruction=None if quality is None else _spreads(quality),
            mass_bins=bins and MassBins(**bins),
            sculpting=sculpting and {n: Sculpting.from_json(s) for n, s in sculpting.items()},
            notes=tuple(content["notes"]),
        )


def write_results(directory: Path, results: Results) -> None:
    """Write metrics.json, whose bytes are the same for the same run, and speed.json beside it."""
    for name, content in (
        ("metrics.json", results.to_json()),
        ("speed.json", dict(vars(results.speed))),
    ):
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        write_text(directory / name, text + "\n")


def _stored(description: Any) -> dict[str, Any]:
    """Return the fields that metrics.json holds; empty optional ones are left out."""
    return {
        f.name: value
        for f in fields(description)
        if f.metadata.get("stored", True)
        for value in [getattr(description, f.name)]
        if value or f.default is f.default_factory is MISSING
    }


def _measured(content: Any) -> dict[str, dict[str, Measured]]:
    """Return intervals by name, signal or group, and metric, from lists of three numbers."""
    return {
        name: {
            label: {key: numbers and Interval(*numbers) for key, numbers in metrics.items()}
            for label, metrics in labels.items()
        }
        for name, labels in content.items()
    }


def _spreads(content: Any) -> dict[str, dict[str, Spread | None]]:
    return {
        label: {
            name: spread and Spread(Interval(*spread["mean"]), spread["std"])
            for name, spread in quantities.items()
        }
        for label, quantities in content.items()
    }
