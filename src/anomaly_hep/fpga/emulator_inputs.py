"""The parts of the emulator package that convert particles in physical units."""

from __future__ import annotations

import re

import numpy as np

from anomaly_hep.data.features import Formula
from anomaly_hep.fpga.export import Physical
from anomaly_hep.fpga.inputs import TYPE, Column, PinConversion

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_CPP = {_SINGLE: "float", _DOUBLE: "double"}
_MASS = "mass"


def input_texts(name: str, physical: Physical | None) -> dict[str, str]:
    """Return the texts of the templates that the conversion decides; empty ones without it."""
    if physical is None:
        return {
            "include_inputs": "",
            "inputs_row": "",
            "call_particles": 'throw std::runtime_error("this design has no conversion of inputs")',
            "also": "",
        }
    conversion = physical.conversion
    particle, event = _fields(physical)
    order = conversion.order
    return {
        "include_inputs": f'#include "{name}_inputs.h"',
        "inputs_row": f"| `interface/{name}_inputs.h` | `{name}::to_pins`: particles in GeV and "
        "radians to the integers on the pins |",
        "call_particles": "particles_to_pins(static_cast<std::size_t>(events))",
        "also": ", and the conversion with particles.txt",
        "particle_fields": _struct(particle),
        "event_fields": _struct(event),
        "columns": str(len(conversion.columns)),
        "column_names": ", ".join(column.feature.name for column in conversion.columns),
        "lowest": str(conversion.encoder.input.lowest),
        "highest": str(conversion.encoder.input.highest),
        "thresholds": "\n".join(_thresholds(c, conversion) for c in _logarithms(conversion)),
        "order": _network(order),
        # an argument that nothing reads has no name
        "order_arguments": f"const Event&{' event' if order.formula.per else ''}, "
        "const Particle& particle",
        "order_call": "event, particles[i]",
        "column_values": ",\n".join(f"        {_steps(c, conversion)}" for c in conversion.columns),
        "flags": _flags(conversion),
        "mass": _mass(physical),
        "read_events": _read_all(event, "every"),
        "read_particles": _read_all(particle, "particles"),
        "read_event": _read_one(event, "quantities", "event"),
        "read_particle": _read_one(particle, "quantities", "particle"),
    }


def _fields(physical: Physical) -> tuple[dict[str, str], dict[str, str]]:
    """Return C++ names and types of what a particle and an event have, in their order."""
    particles = physical.particles
    particle = {
        identifier(name): "std::int32_t" if name == TYPE else _CPP[column.dtype]
        for name, column in particles.particles.items()
    }
    event = {identifier(name): _CPP[column.dtype] for name, column in particles.events.items()}
    return particle, event | {_MASS: "double"}


def identifier(name: str) -> str:
    """Return a name as C++ can write it."""
    plain = re.sub(r"\W", "_", name)
    return f"_{plain}" if plain[0].isdigit() else plain


def _struct(fields: dict[str, str]) -> str:
    return "\n".join(f"  {kind} {name} = 0;" for name, kind in fields.items())


def _logarithms(conversion: PinConversion) -> list[Column]:
    return [column for column in conversion.columns if column.formula.logarithm]


def number(value: float, kind: np.dtype = _DOUBLE) -> str:
    """Return a number as C++ reads it, without loss."""
    text = repr(float(value)) if kind == _DOUBLE else str(np.float32(value))
    text = text if re.search(r"[.e]", text) else f"{text}.0"
    return text if kind == _DOUBLE else f"{text}f"


def _value(formula: Formula) -> str:
    value = f"particle.{identifier(formula.quantity)}"
    return value if formula.per is None else f"{value} / event.{identifier(formula.per)}"


def _network(column: Column) -> str:
    feature = column.feature
    limit = "inputs::unlimited"
    if feature.clip is not None:
        limit = number(feature.clip, _SINGLE)
    return (
        f"inputs::network({_value(column.formula)}, {number(feature.center)}, "
        f"{number(feature.scale)}, {limit})"
    )


def _steps(column: Column, conversion: PinConversion) -> str:
    if column.formula.logarithm:
        return f"inputs::reached({_value(column.formula)}, inputs::{_array_name(column)})"
    factor = 2.0**conversion.encoder.input.fraction / column.range
    return f"inputs::steps({_network(column)}, {number(factor)})"


def _array_name(column: Column) -> str:
    return f"{identifier(column.feature.name)}_from"


def _thresholds(column: Column, conversion: PinConversion) -> str:
    formula = column.formula
    kind = conversion.numbers[formula.quantity]
    if formula.per is not None:
        kind = np.result_type(kind, conversion.numbers[formula.per])
    values = column.thresholds(conversion.encoder.input, kind)
    text = ", ".join(number(value, kind) for value in values.tolist())
    return (
        f"// from which {formula.quantity} on each integer of {column.feature.name} is reached\n"
        f"constexpr {_CPP[kind]} {_array_name(column)}[{len(values)}] = {{{text}}};"
    )


def _flags(conversion: PinConversion) -> str:
    if not conversion.flags:
        return ""
    return (
        f"    inputs::refuse(particle.{TYPE} < 0 || particle.{TYPE} >= {conversion.flags});\n"
        f"    pins.values[slot][columns + particle.{TYPE}] = 1;"
    )


def _mass(physical: Physical) -> str:
    kind = physical.mass
    if kind is None:
        return ""
    return (
        "  inputs::refuse(!std::isfinite(event.mass));\n"
        f"  const double mass = std::floor(event.mass * {number(2.0**kind.fraction)});\n"
        f"  pins.mass = static_cast<std::int32_t>(std::clamp(mass, 0.0, {kind.highest}.0));\n"
        "  saturated.masses += pins.mass != mass;"
    )


def _read_all(fields: dict[str, str], rows: str) -> str:
    """Return code that reads one column after the other."""
    lines = []
    for name, kind in fields.items():
        loop = f"for (std::size_t i = 0; i < {rows}.size(); ++i)"
        lines += [
            f"  const auto {rows}_{name} = read<{kind}>({rows}.size());",
            f"  {loop} {rows}[i].{name} = {rows}_{name}[i];",
        ]
    return "\n".join(lines)


def _read_one(fields: dict[str, str], stream: str, row: str) -> str:
    return f"{stream} >> {' >> '.join(f'{row}.{name}' for name in fields)};"
