"""What a phase takes and refuses, and how epochs are shared among phases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.phase import Phase, phases_of, scaled

SMALL: Mapping[str, Any] = {"epochs": 3, "optimizer": {}, "scheduler": None}
DEFAULTS = Path(__file__).resolve().parents[2] / "conf" / "phase" / "default.yaml"


def _of(*epochs: int) -> tuple[Phase, ...]:
    return phases_of({str(i): {**SMALL, "epochs": n} for i, n in enumerate(epochs)})


def test_phases_keep_their_order_and_lists_become_tuples() -> None:
    found = phases_of({"b": {**SMALL, "labels": ["*"]}, "a": {**SMALL, "trains": ["encoder."]}})
    assert [phase.name for phase in found] == ["b", "a"]
    assert (found[0].labels, found[1].trains) == (("*",), ("encoder.",))


def test_the_defaults_of_the_configuration_are_those_of_the_class() -> None:
    content = yaml.safe_load(DEFAULTS.read_text())
    needed = {key: content.pop(key) for key in ("epochs", "optimizer", "scheduler")}
    assert phases_of({"train": {**needed, **content}}) == phases_of({"train": needed})


def test_a_wrong_or_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"phases\.train: .*'epoch'"):
        phases_of({"train": {**SMALL, "epoch": 3}})
    with pytest.raises(ConfigError, match=r"phases\.train: .*'epochs'"):
        phases_of({"train": {"optimizer": {}, "scheduler": None}})
    with pytest.raises(ConfigError, match=r"model\.phases is empty"):
        phases_of({})


@pytest.mark.parametrize(
    ("epochs", "total", "expected"),
    [
        ((130,), None, [130]), ((130,), 4, [4]), ((10, 30), 4, [1, 3]), ((10, 30), 80, [20, 60]),
        ((1, 1000), 4, [1, 3]), ((1000, 1, 1), 3, [1, 1, 1]), ((1, 1, 1), 7, [2, 3, 2]),
    ],
)  # fmt: skip
def test_epochs_keep_their_proportion(
    epochs: tuple[int, ...], total: int | None, expected: list[int]
) -> None:
    assert [phase.epochs for phase in scaled(_of(*epochs), total)] == expected


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5), st.integers(0, 3000))
def test_scaled_epochs_sum_to_what_was_asked_for(epochs: list[int], more: int) -> None:
    total = len(epochs) + more
    found = [phase.epochs for phase in scaled(_of(*epochs), total)]
    assert sum(found) == total
    assert min(found) >= 1
    if all(n * total >= sum(epochs) for n in epochs):  # each share is an epoch at least
        assert all(
            abs(f - n * total / sum(epochs)) <= 1 for f, n in zip(found, epochs, strict=True)
        )


@pytest.mark.parametrize("total", [0, 1, -1])
def test_too_few_epochs_for_the_phases_are_refused(total: int) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs=.*at least 2"):
        scaled(_of(3, 4), total)


def test_prefixes_say_which_parameters_learn_and_which_modules_are_active() -> None:
    phase = Phase("train", 1, {}, None, trains=("encoder.layers", "head"))
    assert phase.learns("encoder.layers.0.weight")
    assert phase.learns("head2.bias")
    assert not phase.learns("encoder.norm.weight")
    active = ("", "encoder", "encoder.layers", "encoder.layers.3.dropout", "head")
    assert all(map(phase.is_active, active))
    assert not any(map(phase.is_active, ("encoder.norm", "decoder", "enc")))
