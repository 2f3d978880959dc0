"""The integer layers of a chain of modules, whatever kind of encoder they are read from."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import Layer

# a linear map, what rounds its results, the layer's name and the type of its inputs
ReadLayer = Callable[[nn.Module, nn.Module, str, FixedPoint], Layer]


def chain(modules: nn.Module, name: str, inputs: FixedPoint, read: ReadLayer) -> list[Layer]:
    """Return the layers of a chain in which a rounding follows each linear map."""
    parts = list(modules.children())
    layers: list[Layer] = []
    for number, (linear, rounding) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        before = layers[-1].output if layers else inputs
        layers.append(read(linear, rounding, f"{name}.{number}", before))
    return layers
