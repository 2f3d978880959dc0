"""Bounded number types, for the signatures of what a configuration builds."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le

_LARGEST = 2**63 - 1  # of the integers of torch and numpy
Count = Annotated[int, Ge(1), Le(_LARGEST)]
Natural = Annotated[int, Ge(0), Le(_LARGEST)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # numpy's range
