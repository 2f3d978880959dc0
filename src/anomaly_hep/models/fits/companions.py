"""The scores that stand beside others because of one choice: `score.decorrelate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from anomaly_hep.errors import ConfigError

Method = Literal["table", "flow"]
_CLASSES: Mapping[Method, str] = {
    "table": "anomaly_hep.models.fitted.MassQuantile",
    "flow": "anomaly_hep.models.fitted.MassFlow",
}

Choices = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Decorrelation:
    """How every score gets a companion that does not depend on the mass.

    mass: the event column with the mass, in GeV.
    """

    mass: str
    method: Method

    def added(self, fitted: Choices, scores: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the choices of fitted scores with NAME_decorrelated for every score NAME.

        fitted: the choices of the scores fitted so far. scores: the names of the model's own.
        Raises ConfigError where one of the fitted scores has such a name already.
        """
        path = _CLASSES[self.method]
        named = {decorrelated(name): name for name in (*scores, *fitted)}
        if taken := [name for name in named if name in fitted]:
            raise ConfigError(
                f"fitted_scores.{taken[0]} has the name that score.decorrelate=mass gives. Cure: "
                "another name, or score.decorrelate=null"
            )
        made = {n: {"_target_": path, "score": of, "mass": self.mass} for n, of in named.items()}
        return {**fitted, **made}


def decorrelated(name: str) -> str:
    """Return the name of the companion of a score."""
    return f"{name}_decorrelated"


def decorrelation_of(config: Mapping[str, Any]) -> Decorrelation | None:
    """Return what a composed configuration, of any age, says of it; None if no score is changed.

    Raises ConfigError if the data name no column with the mass.
    """
    choice = config.get("score") or {}
    if choice.get("decorrelate") is None:
        return None
    mass = config["data"].get("mass")
    if mass is None:
        raise ConfigError(
            "score.decorrelate=mass: data.mass is null, so no column holds the mass of an event. "
            "Cure: data.mass=COLUMN, in GeV; or score.decorrelate=null"
        )
    return Decorrelation(str(mass), choice["method"])
