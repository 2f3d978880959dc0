"""What a user chooses for a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt

from anomaly_hep.bounds import Count, Positive, Seed

Fraction = Annotated[float, Ge(0), Lt(1)]
Efficiency = Annotated[float, Gt(0), Le(1)]
EFFICIENCIES = (1.0, 0.1, 0.01)


@dataclass(frozen=True)
class Choices:
    """The keys of conf/search.yaml that decide the results; null as it says there.

    `width` is that of the signal relative to its mass; `mass_range` and `energy` are in GeV.
    """

    score: str | None
    efficiency: Efficiency | Annotated[Sequence[Efficiency], Len(1)] | None
    observed: Annotated[Sequence[str], Len(1)] | None
    signal: str | None
    fraction: Fraction
    width: Annotated[float, Ge(0.005), Le(0.3)]
    template: str | None
    mass_range: Annotated[Sequence[Positive], Len(2, 2)] | None
    energy: Positive
    toys: Annotated[Count, Ge(100)]
    experiments: Annotated[Count, Ge(100)]
    fractions: Sequence[Fraction]
    seed: Seed

    @property
    def efficiencies(self) -> tuple[float, ...]:
        """The background efficiencies of the cuts, loosest first."""
        asked = EFFICIENCIES if self.efficiency is None else self.efficiency
        numbers = [asked] if isinstance(asked, int | float) else asked
        return tuple(sorted({float(number) for number in numbers}, reverse=True))
