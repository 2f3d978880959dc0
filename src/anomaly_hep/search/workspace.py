"""The best point of a scan as a workspace of pyhf (HistFactory), which others can combine.

pyhf has no functions of the mass. Here each bin of the background is a sample whose normalisation
depends exponentially on the shape's parameters, along directions in which their fit is independent:
the dijet function itself. HistFactory constrains each parameter by a Gaussian of width 1, which is
50 standard deviations of its fit here and constrains next to nothing. The parameters lie around
1.5, as pyhf interpolates by a polynomial below 1 and exponentially above.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyhf
from jaxtyping import Float64

from anomaly_hep.search.shape import Shape

_LOOSE = 50.0  # standard deviations of a parameter's fit in its constraint's width
_LARGEST = 300.0  # exponent of a bin's change over that width: powers of it must be floats
_CENTRE, _REACH = 1.5, 0.4
Bins = Float64[np.ndarray, " bin"]


def workspace(
    counts: Bins, expected: Bins, signal: Bins, shape: Shape, *, channel: str = "mass"
) -> dict[str, Any]:
    """Return the workspace, in effective counts: observed, smooth fit without signal, signal.

    Its parameter of interest, `signal_strength`, multiplies `signal`.
    """
    effects = _effects(expected, shape)
    nominal = expected * np.exp(-_CENTRE * effects.sum(axis=1))
    samples = [
        _sample(f"background_bin_{index:02d}", _only(index, nominal), row)
        for index, row in enumerate(effects)
    ]
    strength = {"name": "signal_strength", "type": "normfactor", "data": None}
    samples.append({"name": "signal", "data": signal.tolist(), "modifiers": [strength]})
    shapes = [
        {"name": f"shape_{j}", "inits": [_CENTRE], "auxdata": [_CENTRE],
         "bounds": [[_CENTRE - _REACH, _CENTRE + _REACH]]}
        for j in range(effects.shape[1])
    ]  # fmt: skip
    interest = {"name": "signal_strength", "inits": [1.0], "bounds": [[0.0, 100.0]]}
    return {
        "version": "1.0.0",
        "channels": [{"name": channel, "samples": samples}],
        "observations": [{"name": channel, "data": counts.tolist()}],
        "measurements": [
            {
                "name": "search",
                "config": {"poi": "signal_strength", "parameters": [interest, *shapes]},
            }
        ],
    }


def pyhf_p(content: dict[str, Any]) -> float:
    """Return the local p-value that pyhf finds; raises its error for an invalid workspace."""
    space = pyhf.Workspace(content)  # validates against pyhf's schema
    model = space.model()
    p = pyhf.infer.hypotest(0.0, space.data(model), model, test_stat="q0")
    return float(p)


def _effects(expected: Bins, shape: Shape) -> Float64[np.ndarray, "bin direction"]:
    """Return how one unit of each independent direction moves the logarithm of each bin."""
    information = shape.basis.T @ (expected[:, None] * shape.basis)
    values, vectors = np.linalg.eigh(information)
    deviations = np.asarray(shape.basis @ (vectors / np.sqrt(values)))
    return deviations * np.minimum(_LOOSE, _LARGEST / np.abs(deviations).max(axis=0))


def _only(index: int, expected: Bins) -> list[float]:
    return [float(value) if i == index else 0.0 for i, value in enumerate(expected)]


def _sample(
    name: str, content: list[float], effects: Float64[np.ndarray, " direction"]
) -> dict[str, Any]:
    modifiers = [
        {"name": f"shape_{j}", "type": "normsys",
         "data": {"hi": float(np.exp(effect)), "lo": float(np.exp(-effect))}}
        for j, effect in enumerate(effects)
    ]  # fmt: skip
    return {"name": name, "data": content, "modifiers": modifiers}
