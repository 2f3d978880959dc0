"""A score made independent of the mass: its quantile among background of the same mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int64

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fits.base import Events, FittedScore, Values, Weights, counting
from anomaly_hep.models.fits.massbins import FEWEST, MassBins
from anomaly_hep.models.fits.shares import ShareAbove
from anomaly_hep.models.fits.trend import Trend
from anomaly_hep.models.outputs import ScoreDescription

_IN_TAIL = 10  # events of a bin, at least, whose excess sets how fast its tail falls
_REJECTIONS = (10, 100, 1000)  # at which the events behind a quantile are reported


class Decorrelated(FittedScore):
    """Minus the logarithm of the share of background of the same mass that scores higher.

    score: name of the model's score or of a fitted one. mass: the event column with the mass, in
    GeV. The result grows with the score at a fixed mass, and a cut on it passes the same share of
    background at all masses. A mass outside the fitted range counts as the range's edge.
    """

    fewest_scores: ClassVar[int] = 1

    def __init__(self, *, score: str, mass: str, events: Events) -> None:
        super().__init__(events=events, scores=(score,), columns=(mass,))
        self.mass = mass
        # smallest and largest mass of the fit, in GeV; None before it
        self.mass_range: tuple[float, float] | None = None

    @property
    def fewest_events(self) -> int:
        """Enough for two bins of mass."""
        return FEWEST

    @property
    def description(self) -> ScoreDescription:
        """Title with score and mass."""
        return ScoreDescription(f"{self.scores[0]}, decorrelated from {self.mass}", "nats")

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """The range of masses; none before the fit."""
        return {} if self.mass_range is None else {self.mass: self.mass_range}

    def known(
        self, values: Values, weights: Weights
    ) -> tuple[Float[np.ndarray, "counting component"], Float[np.ndarray, " counting"]]:
        """Return the background that counts; raises ConfigError if it has only one mass."""
        values, weights = counting(values, weights, self.fewest_events)
        masses = values[:, 1]
        if not np.ptp(masses) > 0:
            raise ConfigError(
                f"all {len(masses):,} background events have the same {self.mass} ({masses[0]:g} "
                f"GeV), so {self.scores[0]} cannot depend on it. Cure: another column in data.mass,"
                " or score.decorrelate=null"
            )
        self.mass_range = float(masses.min()), float(masses.max())
        return values, weights


@dataclass(frozen=True, eq=False)
class QuantileTable:
    """The scores that a share of the background of a mass exceeds: a lookup table.

    masses: in GeV. shares: of background above, descending. thresholds: the score at which so much
    background of that mass lies above it; they ascend along a row.
    """

    masses: Float[np.ndarray, " mass"]
    shares: Float[np.ndarray, " share"]
    thresholds: Float[np.ndarray, "mass share"]


class MassQuantile(Decorrelated):
    """Decorrelated score: minus the logarithm of the background share above it at its mass.

    In bins of mass the score's median is subtracted and the result divided by half the width of its
    central 68 %, both linear in the mass between the mean masses of neighbouring bins. Of what is
    left, the share of background above is counted in each bin and interpolated likewise. The bins
    hold equal background, and ever less of it, by halves, towards both ends of the mass range;
    their number follows from that of the events. Beyond the first and the last mean mass the median
    goes on as a line, the rest is that of the bin. Beyond a bin's highest background the share
    falls as an exponential.
    """

    def __init__(self, *, score: str, mass: str, events: Events = 200_000) -> None:
        super().__init__(score=score, mass=mass, events=events)

    def fit(self, values: Values, weights: Weights) -> None:
        """Find the trend with the mass, then count the share of background above in every bin."""
        values, weights = self.known(values, weights)
        self._bins = MassBins.of(values[:, 1], weights, self.mass)
        places = self._bins.places(values[:, 1])
        self._trend = Trend.of(self._bins, places, values, weights)
        flat = self._trend.removed(values)
        self._shares = [
            _shares(flat[places == place], weights[places == place])
            for place in range(len(self._bins))
        ]

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score, in nats."""
        left, fraction = self._bins.between(values[:, 1])
        return -_mixed(self._logs(self._trend.removed(values), left), fraction)

    def uncertainty(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the standard deviation of each event's score, in nats.

        It is the relative error of the share above the event: binomial, with the effective events,
        (sum w)^2 / sum w^2, of the two bins between which it is interpolated.
        """
        left, fraction = self._bins.between(values[:, 1])
        logs = self._logs(self._trend.removed(values), left)
        shares, part = np.exp(logs), np.stack([1 - fraction, fraction]) ** 2
        number = np.stack([self._bins.events[left], self._bins.events[left + 1]])
        variance = (part * shares * (1 - shares) / number).sum(0)
        deviation: Float[np.ndarray, " event"] = np.sqrt(variance) * np.exp(-_mixed(logs, fraction))
        return deviation

    def _logs(
        self, flat: Float[np.ndarray, " event"], left: Int64[np.ndarray, " event"]
    ) -> Float[np.ndarray, "2 event"]:
        """Return the logarithm of the share above in the bin `left` of each event and the next."""
        logs = np.empty((2, len(flat)))
        for place, shares in enumerate(self._shares):
            for side in (0, 1):
                chosen = left + side == place
                logs[side, chosen] = shares.log(flat[chosen])
        return logs

    def table(
        self,
        shares: Float[np.ndarray, " share"],
        masses: Float[np.ndarray, " mass"] | None = None,
    ) -> QuantileTable:
        """Return the scores that given shares of background exceed, at some masses.

        shares: descending, above 0 and below 1. masses: in GeV; None: the mean masses of the bins.
        A share larger than that above the smallest score of the background has this score.
        """
        masses = self._bins.centres if masses is None else masses
        points = np.repeat(masses, len(shares))
        left, fraction = self._bins.between(points)
        wanted = np.tile(np.log(shares), len(masses))
        low = np.full(len(points), min(one.value[0] for one in self._shares))
        high = np.full(len(points), max(one.beyond(float(shares.min())) for one in self._shares))
        for _ in range(64):  # bisection, to the last digits
            middle = (low + high) / 2
            reached = _mixed(self._logs(middle, left), fraction) <= wanted
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        thresholds = self._trend.restored(high, points)
        return QuantileTable(masses, shares, thresholds.reshape(len(masses), len(shares)))

    def notes(self) -> Mapping[str, Any]:
        """Return the column, the bins, and how many events stand behind quantiles in a bin."""
        events = self._bins.events
        fewest = float(events.min()), float(np.median(events))
        return {
            "decorrelated_from": self.mass,
            "mass_edges": self._bins.edges.tolist(),
            "background_events": float(events.sum()),
            "events_behind": {
                str(rejection): [number / rejection for number in fewest]
                for rejection in _REJECTIONS
            },
        }  # fmt: skip

    def state(self) -> Mapping[str, np.ndarray]:
        """Return bins, trend, and of all bins, one after the other, scores and the shares above.

        The scores are those without the trend. `starts` says where each bin begins among `value`
        and `above`; `scale` is that of its tail.
        """
        lengths = [len(one.value) for one in self._shares]
        return {
            **self._bins.state(),
            **self._trend.state(),
            "starts": np.cumsum([0, *lengths]),
            "value": np.concatenate([one.value for one in self._shares]),
            "above": np.concatenate([one.above for one in self._shares]),
            "scale": np.array([one.scale for one in self._shares]),
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._bins, starts = MassBins.load(state), state["starts"]
        self._trend = Trend.load(self._bins, state)
        self.mass_range = float(self._bins.edges[0]), float(self._bins.edges[-1])
        self._shares = [
            ShareAbove(state["value"][begin:end], state["above"][begin:end], float(scale))
            for begin, end, scale in zip(starts[:-1], starts[1:], state["scale"], strict=True)
        ]


def _shares(scores: Float[np.ndarray, " event"], weights: Weights) -> ShareAbove:
    return ShareAbove.of(scores, weights, max(0.01, _IN_TAIL / len(scores)))


def _mixed(
    logs: Float[np.ndarray, "2 event"], fraction: Float[np.ndarray, " event"]
) -> Float[np.ndarray, " event"]:
    """Return the logarithm of the share that lies a fraction of the way between two."""
    with np.errstate(divide="ignore"):  # nothing of the other: the logarithm is minus infinity
        left, right = np.log1p(-fraction), np.log(fraction)
    mixed: Float[np.ndarray, " event"] = np.logaddexp(left + logs[0], right + logs[1])
    return mixed
