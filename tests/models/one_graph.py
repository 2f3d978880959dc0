"""`python -m tests.models.one_graph`: compile the loss and the outputs of every model as one graph.

Prints each variant that gives the same as without compilation, in training and in evaluation.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from tests.models.jets import random_batch
from tests.models.test_layouts import VARIANTS, small_model


def check(model: Any) -> None:
    """Raise unless the compiled model computes what the plain one does."""
    batch = random_batch([5, 0, 40, 3]).slotted(6)
    for training in (True, False):
        plain, compiled = copy.deepcopy(model).train(training), copy.deepcopy(model).train(training)
        given = [torch.randn(6, 16)]
        for one in (plain, compiled):
            one.noise.give(given)
        whole = torch.compile(compiled.loss, fullgraph=True, backend="eager", dynamic=False)
        expected, found = plain.loss(batch, "train"), whole(batch, "train")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)
        for name, value in plain.named_buffers():
            torch.testing.assert_close(dict(compiled.named_buffers())[name], value)
    whole = torch.compile(compiled.outputs, fullgraph=True, backend="eager", dynamic=False)
    with torch.no_grad():
        torch.testing.assert_close(dict(whole(batch).scores), dict(plain.outputs(batch).scores))


if __name__ == "__main__":
    for variant in VARIANTS:
        torch._dynamo.reset()
        check(small_model(*variant))
        print("-".join(variant))
