"""How few random cuts isolate an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float, Int64
from sklearn.ensemble import IsolationForest as Forest

from anomaly_hep.models.fits.base import (
    Events,
    FittedScore,
    Values,
    Weights,
    counting,
    in_blocks,
)
from anomaly_hep.models.fits.learning import SEED
from anomaly_hep.models.outputs import ScoreDescription

Trees = Annotated[int, Ge(1), Le(10_000)]
_NODE = ("feature", "threshold", "left", "right", "length")


class IsolationForest(FittedScore):
    """Isolation forest: random cuts separate an anomalous event from background sooner.

    trees: their number. sample: background events that each is grown on. The score is 2 to the
    power of minus the mean path length over its expectation, 0 to 1: Liu, Ting and Zhou, ICDM 2008,
    eq. 2. The forest is scikit-learn's; its nodes are kept as arrays. Weights are the chances with
    which events are drawn.
    """

    def __init__(
        self,
        *,
        embedding: str,
        trees: Trees = 200,
        sample: Events = 256,
        events: Events = 100_000,
    ) -> None:
        super().__init__(embedding=embedding, events=events)
        self.trees, self.sample = trees, sample

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("isolation forest")

    def fit(self, values: Values, weights: Weights) -> None:
        """Grow the trees."""
        values, weights = counting(values, weights, self.fewest_events)
        if (weights != weights[0]).any():
            chances = weights / weights.sum()
            draw = np.random.default_rng(SEED).choice(len(values), len(values), p=chances)
            values = values[draw]
        sample = min(self.sample, len(values))
        forest = Forest(n_estimators=self.trees, max_samples=sample, random_state=SEED)
        grown = [_nodes(tree.tree_) for tree in forest.fit(values).estimators_]
        first = np.cumsum([0, *(len(tree["feature"]) for tree in grown)])
        for tree, start in zip(grown, first, strict=False):
            tree["left"], tree["right"] = tree["left"] + start, tree["right"] + start
        nodes = {name: np.concatenate([tree[name] for tree in grown]) for name in _NODE}
        depth = max(tree.tree_.max_depth for tree in forest.estimators_)
        expected = _expected(np.array([sample]))[0]
        self.load({**nodes, "roots": first[:-1], "depth": depth, "expected": expected})

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return 2 to the power of minus the relative path length."""
        return in_blocks(self._scored, values)

    def _scored(self, values: Values) -> Float[np.ndarray, " event"]:
        single = values.astype(np.float32)  # as the trees compared them when they grew
        feature, threshold, left, right, length = (self._state[name] for name in _NODE)
        event = np.arange(len(values))
        total = np.zeros(len(values))
        for root in self._state["roots"]:
            node = np.full(len(values), root)
            for _ in range(int(self._state["depth"])):
                goes_left = single[event, feature[node]] <= threshold[node]
                node = np.where(goes_left, left[node], right[node])
            total += length[node]
        mean = total / len(self._state["roots"])
        relative = mean / self._state["expected"]
        return np.exp2(-relative)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return the nodes of all trees, where each tree starts, and the expected path length."""
        return self._state

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._state = {name: np.asarray(value) for name, value in state.items()}


def _nodes(tree: Any) -> dict[str, np.ndarray]:
    """Return a tree's nodes by number from 0; a leaf is its own child, and has the path length."""
    number = np.arange(tree.node_count)
    is_leaf = tree.children_left < 0
    depth = np.zeros(tree.node_count)
    for node in np.flatnonzero(~is_leaf):  # parents come before their children
        depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    return {
        "feature": np.where(is_leaf, 0, tree.feature),
        "threshold": np.where(is_leaf, 0.0, tree.threshold),
        "left": np.where(is_leaf, number, tree.children_left),
        "right": np.where(is_leaf, number, tree.children_right),
        "length": depth + _expected(tree.n_node_samples.astype(np.int64)),
    }


def _expected(events: Int64[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
    """Return the mean path length in a random tree of so many events: their eq. 1."""
    many = np.maximum(events, 3)
    harmonic = np.log(many - 1.0) + np.euler_gamma
    long = 2.0 * harmonic - 2.0 * (many - 1.0) / many
    return np.select([events <= 1, events == 2], [0.0, 1.0], long)
