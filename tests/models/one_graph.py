"""`python -m tests.models.one_graph`: compile losses, steps and outputs as one graph each.

For every model of particles, and those of images that compile. Prints each that gives the same as
without compilation. It is a process of its own because the checks of shapes that tests add to
signatures do not compile.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any
from unittest import mock

import torch

from anomaly_hep.models.compiled import TrainingStep, replayed_outputs
from tests.models.images import random_images
from tests.models.jets import batch_for, make_model, random_batch
from tests.models.test_layouts import VARIANTS, small_model

IMAGES = ("codae", "codvae", "imageae", "dirichletvae")
# what dynamo makes of the code is checked; what inductor makes of that is torch's business
one_graph = partial(torch.compile, fullgraph=True, backend="eager", dynamic=False)


def check(model: Any, batch: Any, tolerance: float, modes: tuple[bool, ...] = (True,)) -> None:
    """Raise unless the compiled model computes what the plain one does, in training or not."""
    close = partial(torch.testing.assert_close, rtol=tolerance, atol=tolerance)
    for training in modes:
        plain, compiled = copy.deepcopy(model).train(training), copy.deepcopy(model).train(training)
        heard = copy.deepcopy(plain)
        with heard.noise.listening() as asked:
            heard.loss(batch, "train")
        given = [draw(size) for draw, size in asked]
        with plain.noise.given_as(given), compiled.noise.given_as(given):
            expected, found = plain.loss(batch, "train"), one_graph(compiled.loss)(batch, "train")
        for name, value in expected.items():
            close(found[name], value)
        for name, value in plain.named_buffers():
            close(dict(compiled.named_buffers())[name], value)
    if model.waits_for_host:  # its outputs are never compiled
        return
    plain.eval(), compiled.eval()
    with torch.no_grad():
        close(dict(one_graph(compiled.outputs)(batch).scores), dict(plain.outputs(batch).scores))


def check_steps(model: Any, batches: list[Any]) -> None:
    """Raise unless three steps by `TrainingStep`, two of them compiled, are three plain ones."""
    weights = []
    for compiled in (False, True):
        trained = copy.deepcopy(model).train()
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
        clip = partial(torch.nn.utils.clip_grad_norm_, list(trained.parameters()), 0.5)
        with mock.patch("torch.compile", partial(torch.compile, backend="eager")):
            step = TrainingStep(trained, clip, required=True)
        for batch in batches:
            if compiled:
                step(batch, "train")
            else:
                optimizer.zero_grad()
                trained.loss(batch, "train")["loss"].backward()
                clip()
            optimizer.step()
        weights.append(dict(trained.state_dict()))
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-5)


def check_outputs(model: Any, batches: list[Any]) -> None:
    """Raise unless scores by `replayed_outputs` are those of the model, with autocast and not."""
    for low in (False, True):
        torch._dynamo.reset()
        with mock.patch("torch.compile", partial(torch.compile, backend="eager")):
            outputs = replayed_outputs(model.eval(), required=True)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            for batch in batches:
                expected, found = model.outputs(batch).scores, outputs(batch).scores
                torch.testing.assert_close(dict(found), dict(expected), rtol=1e-2, atol=1e-2)


if __name__ == "__main__":
    for variant in VARIANTS:
        torch._dynamo.reset()
        # without types there is less of the same
        modes = (True,) if variant[-1].endswith("use_pid=false") else (True, False)
        made = small_model(*variant)
        check(made, batch_for(made, [5, 0, 40, 3]).slotted(6), 1e-5, modes)
        print(" ".join(variant), flush=True)
    for image_model in IMAGES:
        torch._dynamo.reset()
        made = make_model(f"model={image_model}", "data=darkshowers")
        check(made, random_images(3).slotted(4), 1e-3)
        print(image_model, flush=True)
    jets = [random_batch([5, 0, 40, 3], seed=seed).slotted(6) for seed in range(3)]
    torch._dynamo.reset()
    check_steps(small_model("clipvae", "model/encoder=deepset", "model.use_pid=true"), jets)
    check_outputs(small_model("clipvae", "model/encoder=deepset", "model.use_pid=true"), jets)
