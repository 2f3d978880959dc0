"""report.html: a run's results, their data, and how to reproduce them, on one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.figures import plots_of
from anomaly_hep.evaluate.headline import banners
from anomaly_hep.evaluate.paper import Plot
from anomaly_hep.evaluate.remarks import run_remarks
from anomaly_hep.evaluate.render import page
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.tables import published_table, reconstruction_table, result_table


class Figures(NamedTuple):
    """Pictures that share a caption; `paired` ones stand two in a row."""

    paths: Sequence[Path]
    caption: str
    paired: bool = False


def write_report(run_directory: Path) -> Path:
    """Write report.html of a run from its files and return the path.

    Needs metrics.json, config.yaml and ledger.json (else MissingDataError), shows every picture in
    figures/ and, where it is there, provenance.json.
    """
    run = RunFiles(run_directory)
    results, paper = run.results, run.paper
    quality = reconstruction_table(results, run.published)
    text = page(
        "run.html.j2",
        title=f"{results.model.full_title} on {results.data.title}",
        subtitle=f"Run {run.directory.resolve().name}, seed "
        f"{run.config.get('seed', 'unknown')}; measured on {results.data.counts}.",
        notes=banners(results),
        headline=paper.sentence(results),
        cards=_cards(results) | _measured_on(run.provenance or {}),
        tables=[
            result_table(results, published=run.published),
            *([quality] if quality else []),
        ],
        figures=list(_figures(run.directory / "figures", plots_of(paper))),
        other=[
            result_table(results, metric=metric)
            for metric in paper.metrics
            if metric not in paper.headlines
        ],
        published={
            f"{place} of {paper.source}": published_table(paper, number)
            for number, place in dict.fromkeys((row.table, row.place) for row in paper.rows)
        },
        data=results.data.title,
        events={n: results.data.events[n] for n in (results.data.background, *results.signals)},
        ledger=run.ledger,
        losses=list(run_remarks(run.ledger)),
        config=run.config_text,
        provenance=run.provenance or {},
    )
    path = run.directory / "report.html"
    write_text(path, text)
    return path


def _cards(results: Results) -> dict[str, str]:
    model, speed = results.model, results.speed
    return {
        "parameters": _number(model.parameters),
        "of these in the encoder": _number(model.encoder_parameters),
        "FLOPs per event": _number(model.flops_per_event),
        "training, events/s": _number(speed.train_events_per_second),
        "scoring, events/s": _number(speed.score_events_per_second),
        "default score": results.title(results.default_score),
    }


def _measured_on(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the processor and threads of the last start, to which the rates belong."""
    start = (provenance.get("starts") or [{}])[-1]
    if "arithmetic" not in start:
        return {}
    arithmetic = start["arithmetic"]
    return {"measured on": f"{arithmetic['processor']}, threads: {arithmetic['threads']}"}


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    if value >= 1e9:
        return f"{value / 1e9:,.3g} G"
    return f"{value / 1e6:,.3g} M" if value >= 1e6 else f"{value:,.0f}"


def _figures(directory: Path, plots: Sequence[Plot]) -> Iterator[Figures]:
    """Yield every picture of a directory, the paper's first and with their captions."""
    left = sorted(directory.glob("*.png"))
    for plot in plots:
        chosen = [
            path
            for path in left
            if path.stem == plot.name
            or (plot.name.endswith("_") and path.stem.startswith(plot.name))
        ]
        left = [path for path in left if path not in chosen]
        if chosen:
            yield Figures(chosen, plot.caption, paired=len(chosen) > 1 and not plot.wide)
    for path in left:
        yield Figures([path], path.stem.replace("_", " "))
