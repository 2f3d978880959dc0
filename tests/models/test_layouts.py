"""A model computes the same on jagged and slotted events, and waits for nothing on the latter."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from anomaly_hep.data.batch import ParticleBatch
from tests.models.images import SHAPE, random_images
from tests.models.jets import (
    MODELS,
    batch_for,
    make_model,
    makes_choices,
    random_batch,
    settings_of,
)

SMALL = ("model.encoder.decoder_layers=1", "model.noise_ramp_steps=1")
VARIANTS = [
    (name, *choices)
    for name in MODELS
    if "features" in settings_of(f"model={name}")
    for choices in makes_choices(name)
]
LENGTHS = st.one_of(
    st.lists(st.integers(0, 40), min_size=1, max_size=7),
    st.sampled_from([[1], [0, 3], [128], [5, 0, 0], [0], [128, 1, 0, 17]]),
)
RTOL = 1e-4
# a wait for the device, or a shape that depends on values
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "is_nonzero")


@pytest.fixture(scope="module", params=VARIANTS, ids=" ".join)
def model(request: pytest.FixtureRequest) -> Any:
    return small_model(*request.param)


def small_model(name: str, *choices: str) -> Any:
    """Return a model of one layer or two, half way through its noise ramp."""
    torch.manual_seed(0)
    layers = {
        "model/encoder=deepset": (*SMALL, "model.encoder.layers=2"),
        "model/encoder=transformer": (
            *SMALL, "model.encoder.layers=1", "model.encoder.pooling_layers=1"
        ),
        "model/encoder=trigger": SMALL,
    }.get(choices[0], ())  # fmt: skip
    made = make_model(f"model={name}", *choices, *layers)
    made.steps_done.fill_(0.5)
    for key, buffer in made.named_buffers():
        if key.endswith("updates"):
            # in its first step one jet alone would set the variance, to 0 where it has one
            # particle, and rounding errors would be multiplied by 1 / sqrt(eps) = 316 a layer
            buffer.fill_(50.0)
    return made


def step(model: Any, batch: ParticleBatch) -> dict[str, Mapping[str, Tensor]]:
    """Return what a step of a copy of the model gives, and the scores after it."""
    model = copy.deepcopy(model).train()
    terms = model.loss(batch, "train")
    terms["loss"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    statistics = {n: b for n, b in model.named_buffers() if "running" in n or "updates" in n}
    with torch.no_grad():
        outputs = model.eval().outputs(batch)
    vectors = {**outputs.scores, **outputs.embeddings}
    return {
        "terms": {n: v.detach() for n, v in terms.items()},
        "gradients": gradients,
        "statistics": statistics,
        "scores": {n: v[: batch.events] for n, v in vectors.items()},
    }


@settings(max_examples=12)
@given(LENGTHS, st.integers(0, 3), st.integers(0, 1000))
def test_both_layouts_compute_the_same(
    model: Any, lengths: list[int], filling: int, seed: int
) -> None:
    batch = batch_for(model, lengths, seed)
    slotted = batch.slotted(len(lengths) + filling)
    assert slotted.events == len(lengths)
    one, other = step(model, batch), step(model, slotted)
    for what, values in one.items():
        assert set(values) == set(other[what])
        if what == "gradients" and not close(values, other[what]):
            assume(gradients_are_continuous(model, batch))
        for name, value in values.items():
            torch.testing.assert_close(value, other[what][name], rtol=RTOL, atol=tolerance(values))


def tolerance(values: Mapping[str, Tensor]) -> float:
    """Rounding errors are of the size of the numbers that were added, not of their sum."""
    return 3e-5 * max((float(v.abs().max()) for v in values.values() if v.numel()), default=0.0)


def close(values: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    atol = tolerance(values)
    return all(torch.allclose(others[n], v, rtol=RTOL, atol=atol) for n, v in values.items())


def gradients_are_continuous(model: Any, batch: ParticleBatch) -> bool:
    """Whether a change of the events by a little more than rounding changes no gradient by more.

    Where an activation stands at the kink of its leaky ReLU, or two partners of a particle are
    equally near, rounding decides which of two gradients is computed, and both are right.
    """
    here, *near = (
        step(model, replace(batch, features=batch.features * (1 + small)))["gradients"]
        for small in (0.0, 2e-6, -2e-6)
    )
    return all(close(here, there) for there in near)


def test_gradients_at_a_kink_are_known_as_such() -> None:
    model = small_model("setvae", "model/encoder=transformer", "model.use_pid=false")
    # in this batch an activation of the encoder is 0 to rounding
    assert not gradients_are_continuous(model, random_batch([13, 40, 25], seed=747))
    assert gradients_are_continuous(model, random_batch([13, 40, 25], seed=1))


def test_a_slotted_batch_holds_every_event_in_its_rows() -> None:
    batch = random_batch([3, 0, 33])
    slotted = batch.slotted(5)
    assert (slotted.slots, len(slotted), slotted.events, slotted.filling) == (64, 5, 3, 2)
    rows = slotted.features.view(5, 64, -1)
    assert torch.equal(rows[0, :3], batch.features[:3])
    assert torch.equal(rows[2, :33], batch.features[3:])
    assert torch.equal(slotted.known_types.view(5, 64)[2, :33], batch.known_types[3:])
    assert rows.count_nonzero() == batch.features.count_nonzero()
    assert slotted.weight.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert slotted.index.tolist() == [0, 1, 2, -1, -1]
    assert slotted.lengths.tolist() == [3, 0, 33, 0, 0]


@pytest.mark.parametrize(
    ("longest", "slots"), [(0, 32), (1, 32), (32, 32), (33, 64), (64, 64), (65, 128), (128, 128),
                           (129, 256)]
)  # fmt: skip
def test_slots_are_the_smallest_that_hold_the_longest(longest: int, slots: int) -> None:
    assert random_batch([0, longest]).slotted().slots == slots


def test_slotted_images_are_the_same_images() -> None:
    batch = random_images(3, density=0.01)
    slotted = batch.slotted(5)
    assert slotted.slots == len(slotted.pixel) >= len(batch.pixel)
    assert torch.equal(slotted.energies()[:3], batch.energies())
    assert not slotted.energies()[3:].any()
    assert torch.equal(random_images(2, density=0.0).slotted(2).energies(), torch.zeros(2, *SHAPE))
    one, other = random_images(3, density=0.011, seed=1).slotted(5), slotted
    assert one.pixel.shape == other.pixel.shape


class Waits(TorchDispatchMode):
    """Counts what would wait for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if any(wait in name for wait in WAITS):
            self.found.append(name)
        indices = [i for a in args if isinstance(a, list | tuple) for i in a]
        if "index" in name and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in indices
        ):
            self.found.append(f"{name} by a mask")
        return func(*args, **(kwargs or {}))


def whole_step(model: Any, batch: ParticleBatch) -> list[str]:
    """Return what waits in a step: forward, backward, clipping, optimiser."""
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True, fused=True)
    with Waits() as waits:
        loss = model.loss(batch, "train")["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    return waits.found


def test_a_step_on_slots_waits_for_nothing(model: Any) -> None:
    batch = batch_for(model, [5, 0, 40, 3])
    for mode in (True, False):
        assert whole_step(copy.deepcopy(model).train(mode), batch.slotted(6)) == []


def test_the_counter_sees_what_jagged_events_wait_for() -> None:
    found = whole_step(
        small_model("clipvae", "model/encoder=deepset", "model.use_pid=true"),
        random_batch([5, 0, 40, 3]),
    )
    assert "_local_scalar_dense" in found
    assert "index by a mask" in found


def test_every_model_compiles_as_one_graph_on_slots() -> None:
    """In a process of its own: the checks of shapes that tests add to signatures do not compile."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.one_graph"],
        cwd=root, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    images = ["codae", "codvae", "imageae", "dirichletvae"]
    assert done.stdout.splitlines() == [*map(" ".join, VARIANTS), *images]
