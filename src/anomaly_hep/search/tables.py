"""The tables of a search, for terminals and pipes of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.search.results import CutResult, Deviations, SearchResults


def scan_table(results: SearchResults) -> ResultTable:
    """Return what each cut found: events, quality of the smooth fit, mass and p-values."""
    before = results.mass_before.mass
    low, high = results.edges[0] / 1000, results.edges[-1] / 1000
    return _table(
        f"Search in {results.data}: {results.observed}, {results.score}",
        ("events", "mass 16-84 % [TeV]", "fit p", "at [TeV]", "signal events", "local p",
         "local Z", "global Z"),
        ((_name(cut), _scan_cells(cut)) for cut in results.cuts),
        f"Masses from {low:.2f} to {high:.2f} TeV, {len(results.edges) - 1} bins; signal: "
        f"{results.template}. The cut keeps that share of {results.background}. Mass: of "
        f"{results.background} after the cut, from "
        f"{before.low / 1000:.2f} to {before.high / 1000:.2f} TeV before; rank correlation with "
        f"the score {results.correlation:+.2f}. Fit p: how well the smooth shape describes "
        f"{results.background} alone. Global: {results.toys:,} toys"
        + (
            "; where fewer than 10 toys are beyond, the bound of Gross and Vitells (~)."
            if any(cut.excess.extrapolated for cut in results.cuts)
            else "."
        ),
        *results.notes,
    )  # fmt: skip


def injection_table(results: SearchResults) -> ResultTable:
    """Return the median significances of injected signal: at its mass, and anywhere."""
    fractions = [one.fraction for one in results.cuts[0].injections]
    rows = [
        (f"{_name(cut)}, {words}", [_band(getattr(one, key)) for one in cut.injections])
        for cut in results.cuts
        for key, words in (("local_z", "local"), ("global_z", "global"))
    ]
    return _table(
        f"Significance of {results.signal} among all events, {results.experiments:,} pseudo-"
        "experiments each",
        [f"{100 * fraction:g} %" for fraction in fractions],
        rows,
        "Medians with 68 % bands. Background is thrown from the smooth fit of the run's background "
        "after the cut, signal from the spectrum of its events.",
    )


def false_positive_table(results: SearchResults) -> ResultTable:
    """Return how often background alone exceeds two standard deviations."""
    rows = []
    for cut in results.cuts:
        found = cut.false_positives
        rates = (found.local_asymptotic, found.local_toys, found.anywhere, found.in_parts)
        rows.append((_name(cut), [_rate(rate) for rate in rates]))
    parts = results.cuts[0].false_positives
    return _table(
        "Background alone beyond 2 standard deviations [%]; nominal 2.28",
        ("local, asymptotic", "local, toys", "anywhere, global", "in real parts"),
        rows,
        f"Local at {parts.mass / 1000:.2f} TeV, with Clopper-Pearson intervals of 68 %. Parts: "
        "disjoint parts of the run's own background events, each used once, asymptotic"
        f" ({', '.join(str(cut.false_positives.parts) for cut in results.cuts)}).",
    )


def _scan_cells(cut: CutResult) -> list[Cell]:
    excess, mass = cut.excess, cut.background_mass.mass
    mark = "~" if excess.extrapolated else ""
    return [
        Cell(f"{cut.observed_events:,}", ""),
        Cell(f"{mass.low / 1000:.2f}-{mass.high / 1000:.2f}", ""),
        Cell(f"{cut.background_fit.p.value:.2f}", ""),
        Cell(f"{excess.mass / 1000:.2f}", ""),
        Cell(f"{excess.signal_events:,.0f}", ""),
        Cell(f"{excess.local_p:.1e}", ""),
        Cell(f"{excess.local_z:.1f}", ""),
        _deviations(excess.global_z, mark),
    ]


def _deviations(z: Deviations, mark: str) -> Cell:
    high = "" if z.high is None else f"{z.high:.1f}"
    return Cell(f"{mark}{z.value:z.1f}", f"{z.low:.1f}-{high}")


def _band(z: Interval) -> Cell:
    return Cell(f"{z.value:z.1f}", f"{z.low:z.1f} to {z.high:z.1f}")


def _rate(rate: Interval | None) -> Cell:
    if rate is None:
        return Cell("–", "")
    return Cell(f"{100 * rate.value:.1f}", f"{100 * rate.low:.1f}-{100 * rate.high:.1f}")


def _name(cut: CutResult) -> str:
    return "no cut" if cut.efficiency == 1 else f"{100 * cut.efficiency:g} % of background"


def _table(
    title: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]], *remarks: str
) -> ResultTable:
    columns = [Column(head, head, "\n".join(head.split(maxsplit=1))) for head in heads]
    lines = [Row(name, "", dict(zip(heads, cells, strict=True))) for name, cells in rows]
    return ResultTable(title, [columns], lines, remarks)
