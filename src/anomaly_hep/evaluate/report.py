"""report.html: what a run found, on what data, and how to make it again, in one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.headline import banners, headline
from anomaly_hep.evaluate.labels import data_name, event_counts, model_name, ordered, score_name
from anomaly_hep.evaluate.published import PAPER, PublishedRow, darkshowers, jetclass
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.render import page
from anomaly_hep.evaluate.tables import (
    TITLES,
    ResultTable,
    headlines,
    published_cells,
    published_for,
    reconstruction_table,
    result_table,
)

# Figures in the order of the page by the beginning of their file's name, with their captions.
_CAPTIONS: Mapping[str, str] = {
    "efficiencies": "Signal efficiency where 1 in 100 background events passes. Bars: central 68 % "
    "interval; of published rows, the spread of five trainings.",
    "roc": "ROC curve of every score and baseline, signal by signal; the band is the 68 % interval "
    "of the default score, the horizontal line the paper's working point.",
    "roc_": "ROC curves of one score for all signals.",
    "latent": f"The two latent components of single events, as in Fig. 3 of {darkshowers.PAPER}. "
    "Of the background a random part is drawn.",
    "images": f"Images before and after the autoencoder, as in Fig. 4 of {darkshowers.PAPER}: what "
    "is true, the reconstructed probability of each pixel, and where it exceeds one half.",
    "group_roc_": "ROC curve of every score and of baselines, mass by mass; the band is the 68 % "
    "interval of the default score, the vertical line the paper's working point.",
    "masses": "ROC curves of the default score at every mass.",
    "distributions": "Distribution of every score and baseline in the background and in each "
    "group of signals, whose masses count alike. The outermost bins hold what lies beyond.",
    "histogram_": "Distribution of one score in each class. The outermost bins hold what lies "
    "beyond.",
    "reconstruction_kl": f"Reconstruction loss against KL divergence, as in Fig. 3 of {PAPER}.",
    "jets": "Jets before (above) and after (below) the autoencoder; the area of a disc is the "
    "particle's share of the jet's transverse momentum.",
    "losses": "Loss terms while training, on background alone.",
}

# Figures of many panels need the page's whole width.
_WIDE = ("group_roc_",)


class Figures(NamedTuple):
    """Pictures that share a caption; two stand in a row where they are `paired`."""

    paths: Sequence[Path]
    caption: str
    paired: bool = False


def write_report(run_directory: Path) -> Path:
    """Write report.html of a run from its files and return the path.

    Needs metrics.json, config.yaml and ledger.json (else MissingDataError), shows every picture in
    figures/ and, where it is there, provenance.json.
    """
    record = Record(run_directory)
    metrics = record.metrics
    published = published_for(record.config)
    quality = reconstruction_table(metrics)
    text = page(
        "run.html.j2",
        title=f"{model_name(metrics)} on {data_name(metrics)}",
        subtitle=f"Run {record.directory.resolve().name}, seed "
        f"{record.config.get('seed', 'unknown')}; measured on {event_counts(metrics)}.",
        notes=banners(metrics),
        headline=headline(metrics),
        cards=_cards(metrics),
        tables=[result_table(metrics, published=published), *([quality] if quality else [])],
        figures=list(_figures(record.directory / "figures")),
        other=[
            result_table(metrics, metric=name) for name in TITLES if name not in headlines(metrics)
        ],
        published=dict(_published(published)),
        data=data_name(metrics),
        events=_events(metrics),
        ledger=record.ledger,
        config=record.config_text,
        provenance=record.provenance or {},
    )
    path = record.directory / "report.html"
    write_text(path, text)
    return path


def _cards(metrics: Mapping[str, Any]) -> dict[str, str]:
    model, speed = metrics["model"], metrics["speed"]
    return {
        "parameters": _number(model.get("parameters")),
        "of these in the encoder": _number(model.get("encoder_parameters")),
        "FLOPs per event": _number(model.get("flops_per_event")),
        "training, events/s": _number(speed.get("train_events_per_second")),
        "scoring, events/s": _number(speed.get("score_events_per_second")),
        "default score": score_name(metrics["default_score"]),
    }


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    if value >= 1e9:
        return f"{value / 1e9:,.3g} G"
    return f"{value / 1e6:,.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _figures(directory: Path) -> Iterator[Figures]:
    """Yield every picture of a directory, known ones first and with their captions."""
    left = sorted(directory.glob("*.png"))
    for key, caption in _CAPTIONS.items():
        chosen = [
            p for p in left if p.stem == key or (key.endswith("_") and p.stem.startswith(key))
        ]
        left = [path for path in left if path not in chosen]
        if chosen:
            yield Figures(chosen, caption, paired=len(chosen) > 1 and key not in _WIDE)
    for path in left:
        yield Figures([path], path.stem.replace("_", " "))


def _published(shown: Sequence[PublishedRow]) -> Iterator[tuple[str, ResultTable]]:
    """Yield the tables of the paper, whole, that rows are shown of, each with its name."""
    if not shown:
        return
    rows: Sequence[PublishedRow] = tuple(jetclass.PUBLISHED.values())
    columns: Sequence[str] = jetclass.SIGNALS
    remark = "Measured by its authors on JetClass; mean and spread of five trainings."
    if shown[0].paper == darkshowers.PAPER:
        rows, columns = darkshowers.PUBLISHED, darkshowers.COLUMNS
        remark = "Measured by its authors on their own events, one training each."
    for number in sorted({row.table for row in rows}):
        of_table = [row for row in rows if row.table == number]
        paper, what = of_table[0].paper, TITLES[of_table[0].metric]
        title = f"{paper} Table {number}: {what[0].lower()}{what[1:]}"
        table = ResultTable(title, columns, [published_cells(r) for r in of_table], [remark])
        yield f"Table {number} of {paper}", table


def _events(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Return how many events of each class were evaluated, background first."""
    counts, background = metrics["data"]["events"], metrics["data"]["background"]
    return {label: counts[label] for label in [background, *ordered(set(counts) - {background})]}
