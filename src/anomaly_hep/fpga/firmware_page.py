"""report.html of a firmware run: one page that loads nothing else."""

from __future__ import annotations

from pathlib import Path

from anomaly_hep.evaluate.cells import Cell, percent
from anomaly_hep.evaluate.render import page
from anomaly_hep.fpga.proof_tables import (
    decorrelation,
    efficiencies,
    proof,
    rate,
    resources,
    routed,
)
from anomaly_hep.fpga.summary import FirmwareSummary

_CAPTIONS = {
    "efficiencies.png": "Signal efficiency at the share of background events that may fire, float "
    "models beside the chip. Bars: central 68 % interval.",
    "agreement.png": "Score of the chip against that of the float trigger encoder, event by event.",
    "passing.png": "Background that fires by mass, in bins that hold equally many test events. "
    "Bars: central 68 % interval; line: the share asked for.",
}


def firmware_page(directory: Path, summary: FirmwareSummary) -> str:
    """Return the page of a run directory, its figures inside."""
    learned = f", learned: {summary.model.learned}" if summary.model.score else ""
    placed = routed(summary)
    figures = {directory / "figures" / name: caption for name, caption in _CAPTIONS.items()}
    return page(
        "firmware.html.j2",
        title=f"{summary.model.title} in firmware{learned}",
        subtitle=f"From {summary.model.checkpoint}; {summary.measured_on}.",
        summary=summary,
        compared=[stage for stage in summary.stages if stage.equal is not None],
        cards=_cards(summary),
        tables=[
            proof(summary),
            efficiencies(summary),
            *([rate(summary.rate)] if summary.rate else []),
            *([decorrelation(summary.decorrelation)] if summary.decorrelation else []),
            resources(summary),
            *([placed] if placed else []),
        ],
        figures={path: caption for path, caption in figures.items() if path.exists()},
        json=summary.to_json(),
    )


def _firing(summary: FirmwareSummary) -> dict[str, str]:
    """Return where the trigger fires: above a score, or from a quantile on."""
    found = summary.decorrelation
    if found is None:
        return {"fires above": f"{summary.design.threshold:,}"}
    return {
        "fires at quantile": f"{found.deciding + 1} of {len(found.shares)}",
        "mass": f"{found.type}, steps of {found.step:g} GeV",
        "events with a clipped mass": f"{100 * found.beyond_range:.2f} %",
    }


def _cards(summary: FirmwareSummary) -> dict[str, str | Cell]:
    design = summary.design
    values: dict[str, str | Cell] = {
        "constituents × inputs": f"{design.constituents} × {len(design.ports)}",
        **({"of the event": ", ".join(p.name for p in design.context)} if design.context else {}),
        "learned": summary.model.learned,
        "weights / activations": f"{design.weight_bits} / {design.activation_bits} bits",
        "score": f"{design.score}, {design.score_type}",
        **_firing(summary),
        "background that fires [%]": percent(*summary.background_firing),
        "events with a clipped input": f"{100 * summary.inputs_beyond_range.events:.2f} %",
    }
    for row in summary.resources[:1]:
        values[f"LUT ({row.tool})"] = f"{row.lut:,}"
    return values
