"""Proofs for all inputs, and the counterexample when a weight or a wire is another."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import equivalence, rtl
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.stages import completed
from anomaly_hep.fpga.stimuli import Stimuli
from tests.fpga.designs import proof_of, random_design
from tests.fpga.encoders import hard_inputs, with_one_weight_changed, without_mass

needs_yosys = pytest.mark.skipif(
    not ((shutil.which("yosys") and shutil.which("yosys-abc")) or os.environ.get("CI")),
    reason="no yosys on PATH",
)
# 12 bits at the pins
SMALL: dict[str, Any] = {
    "constituents": 2, "ports": 2, "phi": (2,), "rho": (), "input_bits": 3, "weight_bits": 3,
    "activation_bits": 3, "outputs": 1, "output_bits": 4,
}  # fmt: skip


def _circuit(design: Design) -> Circuit:
    return rtl.trace(design.integers, design.score, design.threshold, ("score", "decision"), 5)


def _stimuli(design: Design) -> Stimuli:
    inputs = hard_inputs(design.integers, 5)
    return proof_of(design, without_mass(inputs)).stimuli


def _changed(design: Design) -> Design:
    return replace(design, integers=with_one_weight_changed(design.integers))


def _written(design: Design, directory: Path) -> tuple[Circuit, Path]:
    circuit = _circuit(design)
    rtl.write(circuit, directory, "xcvu13p-flga2577-2-e", 2.5)
    return circuit, directory / "verilog"


def test_words_are_the_bits_of_the_pins() -> None:
    stimuli = _stimuli(random_design(**SMALL))
    events = stimuli.of_words(np.arange(1 << 12))
    assert len(np.unique(events.inputs.reshape(len(events), -1), axis=0)) == 1 << 12
    assert events.inputs[0b101_011].tolist() == [[3, -3], [0, 0]]


def test_few_inputs_are_all_simulated(tmp_path: Path) -> None:
    design = random_design(3, **SMALL)
    text = equivalence.for_all_inputs(design, _circuit(design), _stimuli(design), tmp_path, 1)
    assert "proved for all inputs" in text
    assert "all 2^12 of them" in text


def test_a_weight_that_was_changed_has_a_counterexample(tmp_path: Path) -> None:
    design = random_design(3, **SMALL)
    stimuli, changed = _stimuli(design), _changed(design)
    with pytest.raises(ExportError, match="differs for the input 0x") as error:
        equivalence.for_all_inputs(design, _circuit(changed), stimuli, tmp_path, 1)
    _is_counterexample(str(error.value), design, changed, stimuli)


def _is_counterexample(text: str, one: Design, other: Design, stimuli: Stimuli) -> None:
    found = re.search("input 0x([0-9a-f]+)", text)
    assert found
    events = stimuli.of_words(np.array([int(found[1], 16)]))
    scores = [
        completed(d, {"latent": d.integers(events.inputs)}, events.masses)["score"].item()
        for d in (one, other)
    ]
    assert scores[0] != scores[1]


@needs_yosys
@pytest.mark.parametrize("score", ["squared", "kl"])
def test_the_verilog_is_proved(tmp_path: Path, score: Any) -> None:
    design = random_design(3, score, **SMALL | {"outputs": 2 if score == "kl" else 1})
    circuit, project = _written(design, tmp_path)
    assert equivalence.by_solver(design, circuit, project, 300)


@needs_yosys
def test_another_weight_in_the_verilog_has_a_counterexample(tmp_path: Path) -> None:
    design = random_design(3, **SMALL)
    circuit, project = _written(design, tmp_path)
    with pytest.raises(ExportError, match=r"the Verilog differs.*for the input 0x") as error:
        equivalence.by_solver(_changed(design), circuit, project, 300)
    _is_counterexample(str(error.value), design, _changed(design), _stimuli(design))


@needs_yosys
def test_a_solver_that_is_not_done_proves_nothing(tmp_path: Path) -> None:
    design = random_design(3, **SMALL)
    circuit, project = _written(design, tmp_path)
    assert not equivalence.by_solver(design, circuit, project, 1e-3)


def test_a_design_that_is_too_large_is_not_tried(tmp_path: Path) -> None:
    design = random_design(3, constituents=4, weight_bits=6, phi=(8, 8))
    circuit = _circuit(design)
    text = equivalence.for_all_inputs(design, circuit, _stimuli(design), tmp_path, 1)
    assert "not proved for all inputs: 60 input bits and" in text
    assert not list(tmp_path.iterdir())
