"""report.html: what a run found, on what data, and how to make it again, in one page."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.labels import (
    data_name,
    decay,
    event_counts,
    model_name,
    ordered,
    score_name,
)
from anomaly_hep.evaluate.page import PAGE, STYLE
from anomaly_hep.evaluate.published import PAPER, PUBLISHED, SIGNALS
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.tables import (
    HEADLINE,
    TITLES,
    ResultTable,
    percent,
    published_cells,
    published_for,
    result_table,
    to_html,
)

# Figures in the order of the page by the beginning of their file's name, with their captions.
_CAPTIONS: Mapping[str, str] = {
    "efficiencies": "Signal efficiency where 1 in 100 background events passes. Bars: central 68 % "
    "interval; of published rows, the spread of five trainings.",
    "roc": "ROC curve of every score and baseline, signal by signal; the band is the 68 % interval "
    "of the default score, the horizontal line the paper's working point.",
    "roc_": "ROC curves of one score for all signals.",
    "histogram_": "Distribution of one score in each class. The outermost bins hold what lies "
    "beyond.",
    "reconstruction_kl": f"Reconstruction loss against KL divergence, as in Fig. 3 of {PAPER}.",
    "jets": "Jets before (above) and after (below) the autoencoder; the area of a disc is the "
    "particle's share of the jet's transverse momentum.",
    "losses": "Loss terms while training, on background jets alone.",
}


def write_report(run_directory: Path) -> Path:
    """Write report.html of a run from its files and return the path.

    Needs metrics.json, config.yaml and ledger.json (else MissingDataError), shows every picture in
    figures/ and, where it is there, provenance.json.
    """
    record = Record(run_directory)
    metrics = record.metrics
    title = f"{model_name(metrics)} on {data_name(metrics)}"
    page = PAGE.substitute(
        style=STYLE,
        title=escape(title),
        subtitle=escape(
            f"Run {record.directory.resolve().name}, seed {record.config.get('seed', 'unknown')}; "
            f"measured on {event_counts(metrics)}."
        ),
        banner=_banner(metrics),
        headline=escape(_headline(metrics)),
        cards=_cards(metrics),
        results=to_html(result_table(metrics, published=published_for(record.config))),
        figures=_figures(record.directory / "figures"),
        other="".join(
            _details(TITLES[metric], to_html(result_table(metrics, metric=metric)))
            for metric in TITLES
            if metric != HEADLINE
        ),
        published=_published(),
        data=_data(record),
        again=_again(record),
    )
    path = record.directory / "report.html"
    write_text(path, page)
    return path


def _banner(metrics: Mapping[str, Any]) -> str:
    if metrics["data"]["origin"] != "simulated":
        return ""
    generator = metrics["data"].get("generator") or "our own simulation"
    return (
        "<p class='note'><strong>Simulated data.</strong> These jets were made by "
        f"{escape(str(generator))} for this project; they are not the published data set, and "
        "numbers may differ from published ones for that reason alone.</p>"
    )


def _headline(metrics: Mapping[str, Any]) -> str:
    """Say in a sentence or two what the default score finds, and whether a baseline does better."""
    background, name = metrics["data"]["background"], metrics["default_score"]
    found = {s: m[HEADLINE] for s, m in metrics["scores"][name].items() if m[HEADLINE]}
    if not found:
        return "There are too few events to measure an efficiency."
    best = max(found, key=lambda signal: float(found[signal][0]))
    worst = min(found, key=lambda signal: float(found[signal][0]))
    text = (
        f"A cut on the {score_name(name)} that lets 1 in 100 {background} events pass keeps "
        f"{_inline(found[best])} of {decay(best)} and {_inline(found[worst])} of {decay(worst)}, "
        "the signals it finds best and worst."
    )
    reference = metrics["baselines"].get("n_subjettiness", {})
    compared = [s for s in found if s in reference and reference[s][HEADLINE]]
    ahead = sum(found[s][1] > reference[s][HEADLINE][2] for s in compared)
    behind = sum(found[s][2] < reference[s][HEADLINE][1] for s in compared)
    if compared:
        text += (
            f" Compared with N-subjettiness it keeps more of {ahead} signals and less of {behind}; "
            f"for {len(compared) - ahead - behind} the intervals overlap."
        )
    return text


def _inline(interval: list[float]) -> str:
    cell = percent(*interval)
    return f"{cell.value} {f'({cell.spread})' if ' ' in cell.spread else cell.spread} %"


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
        parts.append(f"<div class='pair'>{pictures}</div>" if len(chosen) > 1 else pictures)
    parts += [_picture(path, path.stem.replace("_", " ")) for path in left]
    return "".join(parts) or "<p>No figure was drawn.</p>"


def _picture(path: Path, caption: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f"<figure class='figure'><img alt='{escape(path.stem, quote=True)}' "
        f"src='data:image/png;base64,{content}'><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _published() -> str:
    """Return both published tables, whole."""
    parts = []
    for table in sorted({table for table, _ in PUBLISHED}):
        rows = [published_cells(row) for row in PUBLISHED.values() if row.table == table]
        title = f"{PAPER} Table {table}: signal efficiency in % at background rejection 100"
        remark = "Measured by its authors on JetClass; mean and spread of five trainings."
        shown = ResultTable(title, SIGNALS, rows, [remark])
        parts.append(_details(f"Table {table} of {PAPER}", to_html(shown)))
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
