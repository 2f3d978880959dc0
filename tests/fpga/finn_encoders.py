"""Small integer encoders with random weights, and events that push them to their limits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import IntegerEncoder, Layer, Port

ACTIVATION, OUTPUT = FixedPoint(False, 7, 5), FixedPoint(True, 11, 8)


def random_encoder(
    seed: int,
    *,
    constituents: int = 5,
    phi: tuple[int, ...] = (6, 4),
    rho: tuple[int, ...] = (6,),
    activation: FixedPoint = ACTIVATION,
    output: FixedPoint = OUTPUT,
) -> IntegerEncoder:
    """Return an encoder of 3 ports and 2 outputs; weights up to 15, biases where there may be."""
    generator = np.random.default_rng(seed)
    inputs, pool = FixedPoint(True, 6, 5), FixedPoint(False, 9, 5)

    def layer(name: str, count: int, before: FixedPoint, width: int, after: FixedPoint) -> Layer:
        weight = generator.integers(-15, 16, (count, width))
        bias = generator.integers(-300, 300, count) * (not name.startswith("phi"))
        return Layer(name, weight, 5, bias, before, after)

    sizes = [3, *phi, *rho]
    types = [inputs, *[activation] * len(phi)]
    first = [
        layer(f"phi.{i}", sizes[i + 1], types[i], sizes[i], activation) for i in range(len(phi))
    ]
    types = [pool, *[activation] * len(rho)]
    sizes = sizes[len(phi) :]
    second = [
        layer(f"rho.{i}", sizes[i + 1], types[i], sizes[i], activation) for i in range(len(rho))
    ]
    head = layer("head", 2, types[-1], sizes[-1], output)
    ports = tuple(Port(f"port{i}", 1.0, False) for i in range(3))
    return IntegerEncoder(constituents, ports, inputs, tuple(first), pool, tuple(second), head)


def events(
    encoder: IntegerEncoder, count: int, seed: int = 0
) -> Int64[np.ndarray, "event constituent port"]:
    """Return random events; the first is empty, the next two are at the ends of the range."""
    generator = np.random.default_rng(seed)
    low, high = encoder.input.lowest, encoder.input.highest
    result = generator.integers(low, high + 1, (count, encoder.constituents, len(encoder.ports)))
    result[:3] = np.array([0, low, high])[:, None, None]
    return result
