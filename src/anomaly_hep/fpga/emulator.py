"""A self-contained C++17 package that computes what the chip computes.

Its namespace and the names of its files come from the design's integers, so emulators of several
designs fit into one program. Nothing in it depends on this package or on a vendor's types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jaxtyping import Int64

from anomaly_hep.fpga.chipscore import TABLE
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.emulator_inputs import input_texts
from anomaly_hep.fpga.export import Physical, ProofEvents
from anomaly_hep.fpga.integers import ChannelBits, IntegerEncoder, Layer
from anomaly_hep.fpga.stimuli import Stimuli

_TEMPLATES = Path(__file__).with_name("emulator_templates")
OUTPUTS = ("latent", "score", "quantile", "decision")


def name_of(design: Design, physical: Physical | None) -> str:
    """Return the namespace of a design: the same for the same integers and inputs."""
    inputs = input_texts("", None if physical is None else physical[:0])
    content = [_constants(design), _body(design), _port_texts(design), sorted(inputs.items())]
    return f"trigger_{hashlib.sha256(repr(content).encode()).hexdigest()[:8]}"


def write(design: Design, proof: ProofEvents, directory: Path, test_events: int) -> None:
    """Write the package into a directory, with the first and the last events as its test.

    Without physical events the conversion of inputs is left out.
    """
    encoder, physical = design.integers, proof.physical
    name = name_of(design, physical)
    texts: dict[str, str] = {
        "name": name,
        "constituents": str(encoder.constituents),
        "ports": str(len(encoder.ports)),
        "port_names": ", ".join(port.name for port in encoder.ports),
        "quantities": str(len(encoder.context)),
        "quantity_names": ", ".join(port.name for port in encoder.context) or "none",
        "latents": str(len(encoder.head.weight)),
        "has_mass": str(design.table is not None).lower(),
        "score_step": f"2^-{design.score.fraction}",
        **_port_texts(design),
        "constants": _constants(design),
        "body": _body(design),
    }
    from_data, made = _test_events(proof.stimuli, test_events)
    converted = None if physical is None else physical[:from_data]
    texts |= input_texts(name, converted)
    events = _test_rows(proof, from_data, made)
    texts |= {
        "events": str(len(events)),
        "pins": _pins_text(encoder),
        "tested": f"{len(events):,} events with their answers",
    }
    files = {
        f"interface/{name}.h": "interface.h",
        f"src/{name}.cc": "source.cc",
        f"test/{name}_test.cc": "test.cc",
        f"tools/{name}_stream.cc": "stream.cc",
        f"cmssw/{name}_cmssw.cc": "cmssw.cc",
        "Makefile": "Makefile",
        "README.md": "README.md",
    }
    if converted is not None:
        files[f"interface/{name}_inputs.h"] = "inputs.h"
        for part in ("stream_particles.cc", "test_particles.cc"):
            texts[part] = filled(part, texts | {"converted": str(len(converted))})
    texts["particles"] = ""
    for path, template in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        stem = template.removesuffix(".cc")
        particles = texts.get(f"{stem}_particles.cc", "")
        target.write_text(filled(template, texts | {"particles": particles}), encoding="utf-8")
    np.savetxt(directory / "test" / "events.txt", events, fmt="%d")
    if converted is not None:
        write_particles(converted, directory / "test" / "particles.txt")


def filled(template: str, texts: Mapping[str, str]) -> str:
    """Return a template with its places filled."""
    path = _TEMPLATES / f"{template}.template"
    return Template(path.read_text(encoding="utf-8")).substitute(texts)


def write_particles(physical: Physical, path: Path) -> None:
    """Write events in physical units: how many particles, what the event has, then each of them."""
    particles, lines = physical.particles, []
    edges = particles.offsets.tolist()
    rows = list(zip(*(column.tolist() for column in _printed(particles.particles)), strict=True))
    heads = zip(*(c.tolist() for c in _printed(particles.events)), strict=True)
    masses = np.nan_to_num(physical.masses).tolist()
    known = list(heads) if particles.events else [()] * len(particles)
    for event, head in enumerate(known):
        lines.append(" ".join(map(repr, (edges[event + 1] - edges[event], *head, masses[event]))))
        lines += [" ".join(map(repr, row)) for row in rows[edges[event] : edges[event + 1]]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _printed(columns: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    # the shortest text of a double is read back as the same float, too
    return [c if c.dtype.kind == "i" else c.astype(np.float64) for c in columns.values()]


def _test_events(stimuli: Stimuli, number: int) -> tuple[int, int]:
    """Return how many events of data and how many made ones the package's test has."""
    data, every = len(stimuli.data), len(stimuli)
    made = min(every - data, max(number // 2, number - data))
    return min(number - made, data), made


def _test_rows(proof: ProofEvents, from_data: int, made: int) -> Int64[np.ndarray, "event number"]:
    """Return pins and answers of the first events of data and the first made ones."""
    stimuli = proof.stimuli
    rows = np.concatenate(
        [np.arange(from_data), np.arange(len(stimuli.data), len(stimuli.data) + made)]
    )
    events = stimuli.first(int(rows.max()) + 1)
    pins = stimuli.pins(events)[rows]
    if stimuli.mass is None:
        pins = np.column_stack([pins, np.zeros(len(pins), np.int64)])
    answers = [proof.expected["latent"][rows], *(
        proof.expected[name][rows] if name in proof.expected else np.zeros(len(rows), np.int64)
        for name in OUTPUTS[1:]
    )]  # fmt: skip
    return np.column_stack([pins, *answers])


def _port_texts(design: Design) -> dict[str, str]:
    encoder, half = design.integers, 1 << (design.integers.input.fraction - 1)
    kind = encoder.input
    return {
        "port_lowest": array([0 if p.flag else kind.lowest for p in encoder.ports]),
        "port_highest": array([1 if p.flag else kind.highest for p in encoder.ports]),
        "port_step": array([half if p.flag else 1 for p in encoder.ports]),
        "event_lowest": str(kind.lowest),
        "event_highest": str(kind.highest),
        "mass_highest": str(0 if design.table is None else design.table.mass.highest),
    }


def array(values: Any) -> str:
    """Return nested integers as C++ writes them."""
    if isinstance(values, (list, tuple)):
        return "{" + ", ".join(map(array, values)) + "}"
    return str(values)


def _identifier(layer: Layer) -> str:
    return layer.name.replace(".", "_")


def _constants(design: Design) -> str:
    encoder, lines = design.integers, []
    for layer in encoder.layers:
        name = _identifier(layer)
        # one leading axis: the slots, or one for all
        weight = np.swapaxes(layer.weight.reshape(-1, *layer.weight.shape[-2:]), 1, 2)
        bias = layer.bias.reshape(-1, layer.bias.shape[-1])
        for kind, values in (("weight", weight), ("bias", bias)):
            sizes = "".join(f"[{size}]" for size in values.shape)
            text = array(values.tolist())
            lines.append(f"constexpr std::int32_t {name}_{kind}{sizes} = {text};")
        lines += _kept(f"{name}_kept", layer.kept)
    lines += _kept("read_kept", encoder.read) + _kept("pool_kept", encoder.pooled)
    if design.score.name == "kl":
        table = design.score.table().tolist()
        lines.append(f"constexpr std::int32_t exponential[{len(table)}] = {array(table)};")
    if design.table is None:
        lines.append(f"constexpr std::int64_t threshold = {design.threshold};")
    else:
        thresholds = design.table.thresholds
        sizes = "".join(f"[{size}]" for size in thresholds.shape)
        text = array(thresholds.tolist())
        lines.append(f"constexpr std::int64_t thresholds{sizes} = {text};")
    return "\n".join(lines)


def _kept(name: str, kept: ChannelBits | None) -> list[str]:
    if kept is None:
        return []
    width = kept.bits.shape[-1]
    parts = [-(1 << kept.dropped), kept.lowest, kept.highest]
    rows = [
        "{" + ", ".join(f"{{{array(part.tolist())}}}" for part in row) + "}"
        for row in zip(*(part.reshape(-1, width) for part in parts), strict=True)
    ]
    return [f"constexpr Kept<{width}> {name}[{len(rows)}] = {{{', '.join(rows)}}};"]


def _slot(values: np.ndarray, axes: int) -> str:
    return "[slot]" if values.ndim > axes and len(values) > 1 else "[0]"


def _call(layer: Layer, source: str) -> list[str]:
    name = _identifier(layer)
    places = layer.output.fraction - layer.accumulator.fraction
    line = (
        f"auto {name} = layer<{places}>({source}, {name}_weight{_slot(layer.weight, 2)}, "
        f"{name}_bias{_slot(layer.bias, 1)}, {layer.output.lowest}, {layer.output.highest});"
    )
    return [line, *_keep(name, f"{name}_kept", layer.kept)]


def _keep(values: str, name: str, kept: ChannelBits | None) -> list[str]:
    return [] if kept is None else [f"keep({values}, {name}{_slot(kept.bits, 1)});"]


def _body(design: Design) -> str:
    encoder = design.integers
    last = _identifier(encoder.phi[-1])
    width = encoder.phi[-1].weight.shape[-2]
    lines = [f"std::array<std::int32_t, {width}> total{{}};"]
    slot = ["auto values = read(pins.values[slot]);", *_keep("values", "read_kept", encoder.read)]
    source = "values"
    for layer in encoder.phi:
        slot += _call(layer, source)
        source = _identifier(layer)
    slot.append(f"for (int i = 0; i < {width}; ++i) total[i] += {last}[i];")
    lines += ["for (int slot = 0; slot < constituents; ++slot) {", *(f"  {s}" for s in slot), "}"]
    places = encoder.pool.fraction - encoder.phi[-1].output.fraction
    lines.append(
        f"for (auto& value : total) value = rounded<{places}>(value, {encoder.pool.lowest}, "
        f"{encoder.pool.highest});"
    )
    lines += _keep("total", "pool_kept", encoder.pooled)
    source = "total"
    if encoder.context:
        lines += _joined(encoder, width)
        source = "joined"
    for layer in (*encoder.rho, encoder.head):
        lines += _call(layer, source)
        source = _identifier(layer)
    lines += ["Result result;", f"result.latent = {source};", *_score(design), *_decision(design)]
    return "\n".join(f"  {line}" for line in lines)


def _joined(encoder: IntegerEncoder, width: int) -> list[str]:
    """Return code that puts the event's quantities behind the sum, at one scale."""
    total, event = (
        1 << (encoder.joined.fraction - kind.fraction) for kind in (encoder.pool, encoder.input)
    )
    return [
        f"std::array<std::int32_t, {width} + quantities> joined;",
        f"for (int i = 0; i < {width}; ++i) joined[i] = total[i] * {total};",
        f"for (int i = 0; i < quantities; ++i) joined[{width} + i] = pins.event[i] * {event};",
    ]


def _score(design: Design) -> list[str]:
    score = design.score
    square = score.fraction - 2 * score.latent.fraction
    means = score.outputs if score.name == "squared" else score.outputs // 2
    lines = [
        f"for (int i = 0; i < {means}; ++i)",
        f"  result.score += std::int64_t{{result.latent[i]}} * result.latent[i] * {1 << square};",
    ]
    if score.name == "kl":
        table, own = score.fraction - TABLE.fraction, score.fraction - score.latent.fraction
        entry = f"std::int64_t{{exponential[result.latent[i] - ({score.latent.lowest})]}}"
        lines += [
            f"for (int i = {means}; i < {2 * means}; ++i)",
            f"  result.score += {entry} * {1 << table} - result.latent[i] * {1 << own};",
        ]
    return lines


def _decision(design: Design) -> list[str]:
    if design.table is None:
        return ["result.decision = result.score > threshold;"]
    return [
        "for (const auto level : thresholds[pins.mass]) result.quantile += result.score > level;",
        f"result.decision = result.quantile > {design.table.deciding};",
    ]


def _pins_text(encoder: IntegerEncoder) -> str:
    """Return what the README says of each port."""
    lines = ["| port | type | center | one step, in physical units |", "|---|---|---:|---:|"]
    for port in (*encoder.ports, *encoder.context):
        kind = port.type(encoder.input)
        step = "" if port.flag else f"{kind.lsb / port.scale:.6g}"
        lines.append(f"| `{port.name}` | {kind} | {port.center:g} | {step} |")
    return "\n".join(lines)
