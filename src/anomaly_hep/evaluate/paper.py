"""A paper's metrics, signals, baselines, published rows, remarks and figures."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from jaxtyping import Float64

from anomaly_hep import plugins
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.metrics import AREA, GENERAL, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from anomaly_hep.evaluate.combination import Combination, Combined
    from anomaly_hep.evaluate.results import Results
    from anomaly_hep.evaluate.runfiles import RunFiles

Values = Float64[np.ndarray, " event"]
# prefix of a column that holds the mean over a group of signals
MEAN = "mean "


@dataclass(frozen=True)
class Signal:
    """How a class of signal events is named and drawn.

    `name` is its decay or its model, `math` the same for matplotlib. `mass` in GeV distinguishes
    signals of one name. `colour`, a palette key of figures/style.py, and `line` style its curves.
    """

    label: str
    name: str
    math: str = ""
    mass: float | None = None
    colour: str | None = None
    line: str = "-"

    @property
    def mass_text(self) -> str:
        """The mass with its unit; empty without a mass."""
        if self.mass is None:
            return ""
        return f"{self.mass / 1000:g} TeV" if self.mass > 1000 else f"{self.mass:g} GeV"

    @property
    def text(self) -> str:
        """Name and mass in one line."""
        return f"{self.name} {self.mass_text}".strip()

    @property
    def heading(self) -> str:
        """The heading of a narrow column, with the mass in a second line."""
        return f"{self.name}\n{self.mass_text}".strip()


@dataclass(frozen=True)
class Baseline:
    """A score without a model, computed from `columns` of the files; by default the column itself.

    High values count as anomalous. optional: whether it is left out where some file lacks a
    column; otherwise such a file is refused.
    """

    name: str
    title: str
    unit: str
    columns: tuple[str, ...]
    score: Callable[..., Values] = np.asarray
    optional: bool = False

    def __call__(self, table: pd.DataFrame) -> Values:
        """Return the score of every event of a table that has the columns."""
        return self.score(*(np.asarray(table[column], np.float64) for column in self.columns))


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table, in %; `cells` holds its numbers as printed.

    `table` is its number, or the name of another source, such as "Fig. 6".

    `choices` are the configuration keys that reproduce it, none for a baseline. `score` is our name
    of the measured score, "" if the paper does not say; `inferred` if that name was deduced from
    the numbers. `cells`, `values` and `spread` are by signal or group mean.
    """

    table: int | str
    row: str
    choices: Mapping[str, Any]
    metric: str
    score: str
    inferred: bool
    cells: Mapping[str, Cell] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of the row in our tables."""
        return f"paper {self.place}: {self.row}"

    @property
    def place(self) -> str:
        """Where the paper has the row: "Table 1"."""
        return f"Table {self.table}" if isinstance(self.table, int) else self.table

    @property
    def beside(self) -> str:
        """The name of the row in our tables, below the score that it belongs to."""
        return f"  paper T{self.table} (inferred)" if self.inferred else f"  paper {self.place}"

    def made_with(self, config: Mapping[str, Any]) -> bool:
        """Return whether there are choices and a run's configuration makes all of them."""
        return bool(self.choices) and all(
            _value_at(config, key) in (value, str(value)) for key, value in self.choices.items()
        )


@dataclass(frozen=True)
class Plot:
    """A kind of figure: `draw` returns figures by the part of their file names after `name`.

    Those of a `wide` kind take the whole width of a page; others of one kind stand in pairs.
    """

    name: str
    caption: str
    draw: Callable[[RunFiles], Mapping[str, Figure]]
    wide: bool = False


@dataclass(frozen=True)
class Paper:
    """How results on a data set are measured, named, drawn and compared.

    `headlines` are the metrics that are shown first. `reference` names the baseline that a score
    has to beat. `columns` of the files are kept in the table of scores besides those that the
    baselines need. `shown_with_all` names published rows to show beside every model of the paper,
    `rows_measured` says how the rows were measured. `sentence` states the main result in words,
    `remarks` explain the published rows that are shown, `one_training` a table of a single seed.
    `comparison` draws figures, by name, from one run of each of the models `compared`, by the
    model's title, to which " trained on BACKGROUND" may be added. `combination` makes tables and
    figures of runs on the channels of a data set.
    """

    headlines: tuple[Metric, ...]
    sentence: Callable[[Results], str]
    plots: tuple[Plot, ...]
    one_training: str
    source: str = ""
    metrics: tuple[Metric, ...] = GENERAL
    signals: tuple[Signal, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    reference: str | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[PublishedRow, ...] = ()
    rows_measured: str = ""
    shown_with_all: tuple[str, ...] = ()
    remarks: Callable[[Results, Sequence[PublishedRow]], Iterator[str]] = lambda *_: iter(())
    compared: tuple[str, ...] = ()
    comparison: Callable[[Mapping[str, RunFiles]], Mapping[str, Figure]] = lambda _: {}
    combination: Callable[[Sequence[Combined]], Combination] | None = None

    @property
    def averaged(self) -> tuple[Metric, ...]:
        """Metrics whose means over groups of signals are taken: the area and the headlines."""
        return tuple(dict.fromkeys((AREA, *self.headlines)))

    @property
    def event_columns(self) -> tuple[str, ...]:
        """Columns of the files that the table of scores is to hold."""
        return tuple(dict.fromkeys((*self.columns, *self._of_baselines(optional=False))))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Columns that the table of scores is to hold where all files have them."""
        return tuple(dict.fromkeys(self._of_baselines(optional=True)))

    def _of_baselines(self, *, optional: bool) -> Iterator[str]:
        for baseline in self.baselines:
            if baseline.optional == optional:
                yield from baseline.columns

    def signal(self, label: str) -> Signal:
        """Return the description of a class; one unknown to the paper is shown by its label."""
        if label.startswith(MEAN):
            return Signal(label, f"{label.removeprefix(MEAN)}\nmean")
        return next((s for s in self.signals if s.label == label), Signal(label, label))

    def text(self, label: str) -> str:
        """Return the name of a class or of a group mean in one line."""
        return label if label.startswith(MEAN) else self.signal(label).text

    def math(self, label: str) -> str:
        """Return the name of a class for matplotlib."""
        return self.signal(label).math or self.text(label)

    def short(self, label: str) -> str:
        """Return the name of a class within its group: its mass, if it has one."""
        return self.signal(label).mass_text or self.math(label)

    def ordered(self, labels: Iterable[str]) -> list[str]:
        """Return labels in the paper's order, unknown ones after them by name and number."""
        rank = {signal.label: i for i, signal in enumerate(self.signals)}

        def key(label: str) -> tuple[int, list[tuple[int, str]]]:
            parts = re.split(r"(\d+)", label)
            number = [(int(p) if p.isdigit() else -1, p) for p in parts]
            return rank.get(label, len(rank)), number

        return sorted(labels, key=key)

    def published(self, config: Mapping[str, Any]) -> list[PublishedRow]:
        """Return the rows to show beside a run: those of its own choices, and the baselines.

        A run that the paper did not make has none. If several tables repeat a row, the one beside
        the run's own rows is taken.
        """
        matching = [row for row in self.rows if row.made_with(config)]
        if not matching:
            return []
        tables = {row.table for row in matching}
        others = (row for row in self.rows if not row.choices or row.row in self.shown_with_all)
        nearest = sorted(others, key=lambda row: row.table in tables)
        chosen = {(row.row, row.metric): row for row in (*nearest, *matching)}
        return [row for row in self.rows if row is chosen.get((row.row, row.metric))]


def read_rows(path: Path) -> tuple[PublishedRow, ...]:
    """Return the published rows of a CSV file.

    Its columns: table, row, choices ("model.name=x model.use_pid=true"), metric (a key of
    metrics.json), score, signal, value and spread as printed (or empty), inferred (or empty).
    """
    with path.open(newline="", encoding="utf-8") as handle:
        lines = list(csv.DictReader(handle))
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for line in lines:
        key = [line[k] for k in ("table", "row", "choices", "metric", "score", "inferred")]
        groups.setdefault(tuple(key), []).append(line)
    return tuple(
        PublishedRow(
            int(table) if table.isdecimal() else table,
            row,
            {k: yaml.safe_load(v) for k, _, v in (c.partition("=") for c in choices.split())},
            metric,
            score,
            bool(inferred),
            {
                line["signal"]: Cell(line["value"], f"±{line['spread']}" if line["spread"] else "")
                for line in members
            },
            {line["signal"]: float(line["value"]) for line in members},
            {line["signal"]: float(line["spread"]) for line in members if line["spread"]},
        )
        for (table, row, choices, metric, score, inferred), members in groups.items()
    )


def load_paper(name: str | None) -> Paper:
    """Return the paper of this name; for None, the defaults for data without a paper."""
    if name is None:
        from anomaly_hep.evaluate.general import GENERAL_PAPER

        return GENERAL_PAPER
    paper: Paper = plugins.load("papers", name).PAPER
    return paper


def paper_of(config: Mapping[str, Any]) -> Paper:
    """Return the paper that a run's configuration names as data.paper; raises ConfigError."""
    data = config.get("data") or {}
    if "paper" not in data:
        raise ConfigError(
            "the configuration does not set data.paper, which names signals, baselines and "
            f"published rows. Cure: add it to data, one of {', '.join(plugins.modules('papers'))} "
            "or null"
        )
    return load_paper(data["paper"])


def _value_at(config: Mapping[str, Any], key: str) -> Any:
    """Return a configuration's value at a dotted key; None if there is none."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
