"""report.html: what a run found, on what data, and how to make it again, in one page."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.headline import banners, headline
from anomaly_hep.evaluate.labels import data_name, event_counts, model_name, ordered, score_name
from anomaly_hep.evaluate.page import PAGE, STYLE
from anomaly_hep.evaluate.published import PAPER, PublishedRow, darkshowers, jetclass
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.render import to_html
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


def write_report(run_directory: Path) -> Path:
    """Write report.html of a run from its files and return the path.

    Needs metrics.json, config.yaml and ledger.json (else MissingDataError), shows every picture in
    figures/ and, where it is there, provenance.json.
    """
    record = Record(run_directory)
    metrics = record.metrics
    quality = reconstruction_table(metrics)
    title = f"{model_name(metrics)} on {data_name(metrics)}"
    page = PAGE.substitute(
        style=STYLE,
        title=escape(title),
        subtitle=escape(
            f"Run {record.directory.resolve().name}, seed {record.config.get('seed', 'unknown')}; "
            f"measured on {event_counts(metrics)}."
        ),
        banner=banners(metrics),
        headline=escape(headline(metrics)),
        cards=_cards(metrics),
        results=to_html(result_table(metrics, published=published_for(record.config))),
        reconstruction=to_html(quality) if quality else "",
        figures=_figures(record.directory / "figures"),
        other="".join(
            _details(TITLES[metric], to_html(result_table(metrics, metric=metric)))
            for metric in TITLES
            if metric not in headlines(metrics)
        ),
        published=_published(published_for(record.config)),
        data=_data(record),
        again=_again(record),
    )
    path = record.directory / "report.html"
    write_text(path, page)
    return path


def _cards(metrics: Mapping[str, Any]) -> str:
    model, speed = metrics["model"], metrics["speed"]
    values = {
        "parameters": _number(model.get("parameters")),
        "of these in the encoder": _number(model.get("encoder_parameters")),
        "FLOPs per event": _number(model.get("flops_per_event")),
        "training, events/s": _number(speed.get("train_events_per_second")),
        "scoring, events/s": _number(speed.get("score_events_per_second")),
        "default score": score_name(metrics["default_score"]),
    }
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in values.items()
    )


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    if value >= 1e9:
        return f"{value / 1e9:,.3g} G"
    return f"{value / 1e6:,.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _figures(directory: Path) -> str:
    """Return every picture of a directory inline, known ones first and with their captions."""
    left = sorted(directory.glob("*.png"))
    parts = []
    for key, caption in _CAPTIONS.items():
        chosen = [
            p for p in left if p.stem == key or (key.endswith("_") and p.stem.startswith(key))
        ]
        left = [path for path in left if path not in chosen]
        pictures = "".join(_picture(path, caption) for path in chosen)
        # of several of a kind, two stand in a row
        paired = len(chosen) > 1 and key not in _WIDE
        parts.append(f"<div class='pair'>{pictures}</div>" if paired else pictures)
    parts += [_picture(path, path.stem.replace("_", " ")) for path in left]
    return "".join(parts) or "<p>No figure was drawn.</p>"


def _picture(path: Path, caption: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f"<figure class='figure'><img alt='{escape(path.stem, quote=True)}' "
        f"src='data:image/png;base64,{content}'><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _published(shown: Sequence[PublishedRow]) -> str:
    """Return the tables of the paper, whole, that rows are shown of."""
    rows: Sequence[PublishedRow] = tuple(jetclass.PUBLISHED.values())
    columns: Sequence[str] = jetclass.SIGNALS
    remark = "Measured by its authors on JetClass; mean and spread of five trainings."
    if not shown:
        return "<p>No paper's numbers are known for this data set.</p>"
    if shown[0].paper == darkshowers.PAPER:
        rows, columns = darkshowers.PUBLISHED, darkshowers.COLUMNS
        remark = "Measured by its authors on their own events, one training each."
    parts = []
    for table in sorted({row.table for row in rows}):
        of_table = [row for row in rows if row.table == table]
        paper, what = of_table[0].paper, TITLES[of_table[0].metric]
        title = f"{paper} Table {table}: {what[0].lower()}{what[1:]}"
        content = ResultTable(title, columns, [published_cells(r) for r in of_table], [remark])
        parts.append(_details(f"Table {table} of {paper}", to_html(content)))
    return "".join(parts)


def _data(record: Record) -> str:
    metrics, ledger = record.metrics, record.ledger
    counts = metrics["data"]["events"]
    background = metrics["data"]["background"]
    events = ", ".join(
        f"{n} {counts[n]:,}" for n in [background, *ordered(set(counts) - {background})]
    )
    files, refused = ledger.get("files", []), ledger.get("refused", [])
    text = (
        f"<p><strong>{escape(data_name(metrics))}</strong>: {len(files)} files read, "
        f"{len(refused)} refused. Evaluated events: {escape(events)}.</p>"
    )
    if refused:
        text += "<p class='note'>Refused: " + "<br>".join(map(_refusal, refused)) + "</p>"
    rows = "".join(
        f"<tr class='files'><td class='text'>{escape(str(file.get('path')))}</td>"
        f"<td>{file.get('events', 0):,}</td>"
        f"<td><code>{escape(str(file.get('sha256'))[:16])}</code></td></tr>"
        for file in files
    )
    head = "<thead><tr><th>file</th><th>events</th><th>sha256 begins</th></tr></thead>"
    table = f"<div class='scroll'><table>{head}<tbody>{rows}</tbody></table></div>"
    return (
        text
        + _details("Files", table)
        + _details("ledger.json", _code(json.dumps(ledger, indent=2)))
    )


def _refusal(entry: Mapping[str, Any]) -> str:
    return escape(f"{entry.get('path')}: {entry.get('problem')}")


def _again(record: Record) -> str:
    parts = list(_origin(record))
    parts.append(_details("config.yaml", _code(record.config_text)))
    if record.provenance:
        versions = json.dumps(record.provenance, indent=2)
        parts.append(_details("provenance.json: versions and starts", _code(versions)))
    return "".join(parts)


def _origin(record: Record) -> Iterator[str]:
    """Say which revision and which command made the run, as far as provenance.json knows."""
    provenance = record.provenance or {}
    if provenance.get("git"):
        yield f"<p>Source revision <code>{escape(str(provenance['git']))}</code>.</p>"
    if starts := provenance.get("starts"):
        yield _code("python " + shlex.join(starts[0]["command"]))
    yield (
        "<p>The whole configuration is below; the same configuration, versions and machine give "
        "the same numbers. Every score of every event is in scores.parquet beside this page.</p>"
    )


def _details(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"
