"""The C++ that hls4ml writes computes what the integer encoder does, event by event."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import hls4ml_project
from anomaly_hep.fpga.chipscore import ChipScore
from tests.fpga.encoders import hard_inputs, random_encoder, with_one_weight_changed

# between them: one constituent and many, no rho, biases in phi, 2 and 8 bits
DESIGNS: list[tuple[str, dict[str, Any]]] = [
    ("Vitis", {}),
    ("Catapult", {"constituents": 32, "weight_bits": 8, "activation_bits": 8, "phi_bias": True}),
    ("Catapult", {"constituents": 1, "rho": (), "weight_bits": 2, "activation_bits": 2}),
]
needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or os.environ.get("CI")), reason="no g++ on PATH"
)


@needs_compiler
@pytest.mark.parametrize(("backend", "design"), DESIGNS)
def test_every_event_is_exact(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], backend: str, design: dict[str, Any]
) -> None:
    encoder = random_encoder(3, **design)
    project = hls4ml_project.write(encoder, tmp_path / "project", backend=backend)
    integers = hard_inputs(encoder)
    np.testing.assert_array_equal(hls4ml_project.simulate(project, integers), encoder(integers))
    assert capfd.readouterr() == ("", "")


@needs_compiler
def test_the_project_may_end_in_the_score(tmp_path: Path) -> None:
    encoder = random_encoder(3, outputs=3)
    score = ChipScore("squared", encoder.head.output, 3)
    project = hls4ml_project.write(
        encoder, tmp_path / "project", score=score.type, backend="Vivado"
    )
    integers = hard_inputs(encoder)
    found = hls4ml_project.simulate(project, integers)
    np.testing.assert_array_equal(found[:, 0], score(encoder(integers)))


@needs_compiler
def test_one_changed_weight_is_noticed(tmp_path: Path) -> None:
    encoder = random_encoder(3)
    changed = with_one_weight_changed(encoder)
    project = hls4ml_project.write(changed, tmp_path / "project", backend="Catapult")
    integers = hard_inputs(encoder)
    found = hls4ml_project.simulate(project, integers)
    assert (found != encoder(integers)).any()
    np.testing.assert_array_equal(found, changed(integers))


@pytest.mark.parametrize("backend", ["Vitis", "Vivado", "Catapult", "Quartus", "oneAPI"])
def test_a_project_is_whole_and_knows_no_other_place(tmp_path: Path, backend: str) -> None:
    project = hls4ml_project.write(random_encoder(), tmp_path / "project", backend=backend)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
    files = [path for path in project.directory.rglob("*") if path.is_file()]
    assert {"encoder.onnx", "hls4ml_config.yml"} <= {path.name for path in files}
    assert any(path.name == "encoder.cpp" for path in files)


def test_no_type_is_guessed(tmp_path: Path) -> None:
    encoder = random_encoder()
    score = ChipScore("squared", encoder.head.output, 2).type
    project = hls4ml_project.write(encoder, tmp_path / "project", score=score)
    defines = (project.directory / "firmware" / "defines.h").read_text()
    # hls4ml's default
    assert "<16,6>" not in defines
    for layer in encoder.layers:
        name = layer.name.replace(".", "_")
        assert f"ap_{layer.accumulator}" in next(
            line for line in defines.splitlines() if f"{name}_product_accum_t" in line
        )
    assert f"ap_{encoder.sum} dense_total_accum_t" in defines
    assert f"ap_{score} dense_score_sum_accum_t" in defines


def test_the_examples_are_those_of_the_test_bench(tmp_path: Path) -> None:
    encoder = random_encoder()
    integers = hard_inputs(encoder, 20)
    project = hls4ml_project.write(
        encoder, tmp_path / "project", examples=(integers, answers := encoder(integers))
    )
    inputs = np.loadtxt(project.directory / "tb_data" / "tb_input_features.dat")
    outputs = np.loadtxt(project.directory / "tb_data" / "tb_output_predictions.dat")
    np.testing.assert_array_equal(inputs.reshape(integers.shape) / encoder.input.lsb, integers)
    np.testing.assert_array_equal(outputs / encoder.head.output.lsb, answers)


def test_a_backend_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no backend Vitus.*vitis"):
        hls4ml_project.write(random_encoder(), tmp_path / "project", backend="Vitus")
    assert not list(tmp_path.iterdir())


def test_a_backend_without_its_tool_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="shls"):
        hls4ml_project.write(random_encoder(), tmp_path / "project", backend="Libero")


def test_a_project_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        hls4ml_project.write(random_encoder(), tmp_path / "project")


def test_what_hls4ml_raises_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str, **__: object) -> None:
        raise RuntimeError("Unsupported operation type")

    monkeypatch.setattr("hls4ml.converters.convert_from_onnx_model", fail)
    with pytest.raises(ExportError, match=r"for Vitis: Unsupported operation type.*Cure"):
        hls4ml_project.write(random_encoder(), tmp_path / "project")


def test_without_a_compiler_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = random_encoder()
    project = hls4ml_project.write(encoder, tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="Cure: install it"):
        hls4ml_project.simulate(project, hard_inputs(encoder))


@needs_compiler
def test_the_compiler_is_quoted(tmp_path: Path) -> None:
    encoder = random_encoder()
    project = hls4ml_project.write(encoder, tmp_path / "project")
    (project.directory / "firmware" / "encoder.cpp").write_text("#error thus\n")
    with pytest.raises(ExportError, match="error thus"):
        hls4ml_project.simulate(project, hard_inputs(encoder))


def test_a_backend_that_g_plus_plus_cannot_simulate_says_so(tmp_path: Path) -> None:
    encoder = random_encoder()
    project = hls4ml_project.write(encoder, tmp_path / "project", backend="oneAPI")
    with pytest.raises(ExportError, match=r"no build_lib\.sh"):
        hls4ml_project.simulate(project, hard_inputs(encoder))
