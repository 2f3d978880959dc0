"""The smooth shape of a background: the dijet function, linear in its parameters in the logarithm.

dN/dm = p0 (1 - x)^p1 x^-(p2 + p3 ln x + p4 ln² x) with x = m / energy, as the searches for dijet
resonances use it (CDF, arXiv:0812.4036 eq. (1); ATLAS, arXiv:1910.08447).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import SearchError

Bins = Float64[np.ndarray, " bin"]
PARAMETERS = (3, 4, 5)  # numbers of parameters to choose from, p0 among them


@dataclass(frozen=True, eq=False)
class Shape:
    """The dijet function in bins (edges in GeV) of collisions at `energy` GeV.

    The expectation in a bin is the density at its geometric centre x its width x `scale`, counts
    per unit of weight. Within bins of a few per cent that differs from the integral by a smooth
    factor below 1 %, which the parameters take up.
    """

    edges: Float64[np.ndarray, " edge"]
    energy: float
    parameters: int
    scale: Bins

    def __post_init__(self) -> None:
        if self.edges[-1] >= self.energy:
            raise SearchError(
                f"masses up to {self.edges[-1]:,.0f} GeV are beyond energy={self.energy:,.0f} GeV "
                "of the collisions. Cure: energy=..., or a mass_range below it"
            )

    @cached_property
    def offset(self) -> Bins:
        """The logarithm of what one unit of density makes of counts in each bin."""
        return np.log(np.diff(self.edges) * self.scale)

    @cached_property
    def _terms(self) -> Float64[np.ndarray, "bin parameter"]:
        """1, ln(1 - x), -ln x, -ln² x, -ln³ x at the centre of each bin."""
        x = np.sqrt(self.edges[1:] * self.edges[:-1]) / self.energy
        log = np.log(x)
        columns = [np.ones_like(x), np.log1p(-x), -log, -(log**2), -(log**3)]
        return np.stack(columns[: self.parameters], axis=1)

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        orthonormal, triangular = np.linalg.qr(self._terms)
        return orthonormal, triangular

    @property
    def basis(self) -> Float64[np.ndarray, "bin parameter"]:
        """The terms as orthonormal columns, in which a fit is well conditioned."""
        return self._factors[0]

    def coefficients(
        self, parameters: Float64[np.ndarray, " parameter"]
    ) -> Float64[np.ndarray, " parameter"]:
        """Return ln p0, p1, p2 ... of a fit's parameters; p0 is events per GeV."""
        return np.asarray(np.linalg.solve(self._factors[1], parameters))

    def with_parameters(self, number: int) -> Shape:
        """Return the shape with another number of parameters."""
        return replace(self, parameters=number)
