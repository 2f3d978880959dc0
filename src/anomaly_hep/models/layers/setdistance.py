"""The nearest partners of two small sets of typed objects, and the loss of their distances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

_ANGLE = 3  # the component of a four-vector that is an angle
_TINY = 1e-12  # below the root: the gradient of a vanishing distance is finite


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """The true objects of events, zero-padded: (log10 E, log10 pT, eta, phi) and class 1, 2 ..."""

    values: Float[Tensor, "event object 4"]
    classes: Int64[Tensor, "event object"]
    present: Bool[Tensor, "event object"]


@dataclass(frozen=True)
class SetDistance:
    """The Chamfer distance of Ostdiek (SciPost Phys. 12, 045, eq. 5), with a term for the classes.

    weight: w, of the log-likelihoods of classes. legacy_slots: the likelihood of a true object's
    class is normalised over the predicted objects instead of the classes, as in the published code.
    legacy_angle: the distance in phi is not wrapped at +-pi, as there.
    """

    weight: float
    legacy_slots: bool = False
    legacy_angle: bool = False

    def difference(
        self, one: Float[Tensor, "... 4"], other: Float[Tensor, "... 4"]
    ) -> Float[Tensor, ...]:
        """Return the Euclidean distance of four-vectors."""
        gap = one - other
        if not self.legacy_angle:
            turns = torch.round(gap[..., _ANGLE].detach() / (2 * math.pi))
            gap = torch.cat(
                [gap[..., :_ANGLE], (gap[..., _ANGLE] - 2 * math.pi * turns)[..., None]], -1
            )
        return (gap.square().sum(-1) + _TINY).sqrt()

    def __call__(
        self,
        truth: ObjectSet,
        predicted: Float[Tensor, "event slot 4"],
        logits: Float[Tensor, "event slot class"],
    ) -> Float[Tensor, " event"]:
        """Return the distance of each event; class 0 of a slot says that it holds no object.

        Each true object is compared with the nearest slot, each slot whose most probable class is
        not 0 with the nearest true object. The search for partners needs no gradient.
        """
        with torch.no_grad():
            pairs = self.difference(truth.values[:, :, None], predicted[:, None])
            pairs = pairs.masked_fill(~truth.present[:, :, None], math.inf)
            slot, partner = pairs.argmin(2), pairs.argmin(1)
            filled = (logits.argmax(2) != 0) & truth.present.any(1)[:, None]
        by_class = functional.log_softmax(logits, 2)
        by_slot = functional.log_softmax(logits, 1) if self.legacy_slots else by_class
        found = torch.gather(predicted, 1, slot[..., None].expand(-1, -1, 4))
        likelihood = torch.gather(by_slot, 1, slot[..., None].expand(-1, -1, logits.shape[2]))
        likelihood = likelihood.gather(2, truth.classes[..., None])[..., 0]
        there = self.difference(truth.values, found) - self.weight * likelihood
        nearest = torch.gather(truth.values, 1, partner[..., None].expand(-1, -1, 4))
        classes = torch.gather(truth.classes, 1, partner)
        back = self.difference(nearest, predicted)
        back = back - self.weight * by_class.gather(2, classes[..., None])[..., 0]
        return there.masked_fill(~truth.present, 0.0).sum(1) + back.masked_fill(~filled, 0.0).sum(1)


def count_mismatch(
    truth: ObjectSet, logits: Float[Tensor, "event slot class"]
) -> Float[Tensor, " event"]:
    """Return the sum over classes of the squared difference of predicted and true numbers.

    A slot counts for its most probable class, so there is no gradient.
    """
    kinds = torch.arange(1, logits.shape[2], device=logits.device)
    predicted = (logits.argmax(2)[..., None] == kinds).sum(1)
    true = ((truth.classes * truth.present)[..., None] == kinds).sum(1)
    return (predicted - true).square().sum(1).to(logits.dtype)
