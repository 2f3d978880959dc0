"""FINN's graph of an encoder, its environment, and what is made of its worker's result."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from anomaly_hep.errors import ConfigError, ExportError, MissingToolError
from anomaly_hep.fpga import finn_environment, finn_estimate, finn_graph
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import Layer
from tests.fpga.encoders import events, random_encoder, with_one_weight_changed

PART = "xcvu13p-flga2577-2-e"
REQUEST = finn_estimate.Request(rate=1e6, clock_ns=2.5, part=PART)


@pytest.mark.parametrize("constituents", [1, 4, 5, 10])
@pytest.mark.parametrize("finer", [-4, 0, 6])
def test_the_graph_gives_the_integers_of_the_encoder(constituents: int, finer: int) -> None:
    # more bits behind the point than any sum of products has, and fewer: shifts to both sides
    encoder = random_encoder(0, constituents=constituents, finer=finer)
    inputs = events(encoder, 1000)
    latents = encoder(inputs)
    if finer == 6:
        output = encoder.head.output
        assert {latents.min(), latents.max()} == {output.lowest, output.highest}
    np.testing.assert_array_equal(finn_graph.execute(encoder, inputs), latents)


def test_a_graph_without_rho_and_with_one_bit_is_exact() -> None:
    encoder = random_encoder(3, phi=(4,), rho=(), activation_bits=1)
    inputs = events(encoder, 100)
    latents = encoder(inputs)
    assert all(len(np.unique(column)) > 2 for column in latents.T)
    np.testing.assert_array_equal(finn_graph.execute(encoder, inputs), latents)


def test_one_changed_weight_is_noticed() -> None:
    encoder = random_encoder(1)
    inputs = events(encoder, 100)
    changed = finn_graph.execute(with_one_weight_changed(encoder), inputs)
    assert (changed != encoder(inputs)).any()


def test_a_layer_reaches_an_output_at_its_threshold_and_not_one_before() -> None:
    # out = floor((3 x - 5) / 4) between 0 and 3: at least 1, 2, 3 from x = 3, 5, 6 on (slow check
    # below); the common divisor 3 of the weights is in the thresholds
    layer = Layer(
        "rho.0",
        np.array([[3]]),
        2,
        np.array([-5]),
        FixedPoint(False, 4, 0),
        FixedPoint(False, 2, 0),
    )
    assert finn_graph.reduced(layer)[0].tolist() == [[1]]
    expected = [min(x for x in range(16) if (3 * x - 5) // 4 >= k) for k in (1, 2, 3)]
    assert finn_graph.thresholds(layer).tolist() == [expected] == [[3, 5, 6]]


def test_thresholds_beyond_every_sum_stay_exact_in_float32() -> None:
    encoder = random_encoder(2)
    wide = replace(encoder.head, output=FixedPoint(True, 16, -8))
    steps = finn_graph.thresholds(wide)
    assert (steps.astype(np.float32) == steps).all()
    assert (np.diff(steps) >= 0).all()


def test_places_beyond_the_constituents_are_zero_on_a_square() -> None:
    encoder = random_encoder(0, constituents=5)
    inputs = events(encoder, 7)
    frames = finn_graph.framed(encoder, inputs)
    assert frames.shape == (7, 3, 3, 3)
    assert (frames.reshape(7, 9, 3)[:, :5] == inputs).all()
    assert not frames.reshape(7, 9, 3)[:, 5:].any()


def test_weights_are_integers_in_the_file() -> None:
    encoder = random_encoder(2)
    constants = {
        c.name: numpy_helper.to_array(c) for c in finn_graph.finn_graph(encoder).graph.initializer
    }
    layer = encoder.phi[0]
    divisor = np.gcd.reduce(layer.weight, axis=None)
    assert (constants["phi.0.weight"] * divisor == layer.weight.T).all()


def test_a_rate_that_no_clock_gives_is_refused() -> None:
    assert finn_estimate.Request(400e6, 2.5, PART).cycles == 1
    with pytest.raises(ConfigError, match=r"more than one in each clock cycle of 2\.5 ns.*Cure"):
        finn_estimate.Request(401e6, 2.5, PART)


@pytest.mark.parametrize("part", ["", "vu13p", "xcvu13p", "xcvu13p flga2577-2-e"])
def test_a_part_that_finn_would_guess_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match="xcvu13p-flga2577-2-e"):
        finn_estimate.Request(1e6, 2.5, part)


def _result(**changes: object) -> dict[str, object]:
    layers = [
        {"name": "MVAU_0", "cycles": 10, "PE": 1, "SIMD": 1, "LUT": 0, "DSP": 2, "BRAM_18K": 1},
        {"name": "Thresholding_0", "cycles": 17, "PE": 1, "LUT": 7, "DSP": 0, "BRAM_18K": 0},
    ]
    return {
        "interval_cycles": 17,
        "rate": 400e6 / 17,
        "critical_path_cycles": 27,
        "latency_ns": 67.5,
        "slowest_layer": "Thresholding_0",
        "resources": {"LUT": 7, "DSP": 2, "BRAM_18K": 1},
        "layers": layers,
        "version": "1.6.1",
        "checkpoints": {"graph": 300, "hardware_layers": 300, "folded": 300},
        "seconds": {"hardware_layers": 1.0, "folded": 1.0},
        "stitched_ip": None,
        **changes,
    }


def test_a_result_says_what_was_not_reached(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(_result()))
    found = finn_estimate.parse(path, finn_estimate.Request(40e6, 2.5, PART))
    # 400 MHz / 17 cycles = 23.5 MHz: two copies would take turns
    assert (found.reached, found.copies) == (False, 2)
    assert found.without_luts == ("MVAU_0",)
    summary = json.loads(json.dumps(found.summary()))
    assert summary["asked_rate"] == 40e6
    assert summary["asked_cycles"] == 10
    assert summary["stitched_ip"].startswith("not built: no vivado")
    assert finn_estimate.parse(path, finn_estimate.Request(20e6, 2.5, PART)).reached


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps(_result(unknown=1))])
def test_a_result_of_another_worker_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ExportError, match=r"no result in .*result.json.* Cure"):
        finn_estimate.parse(path, REQUEST)


def _python(environment: Path, script: str) -> None:
    """Write a shell script in the place of an environment's Python."""
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def _fake_environment(path: Path, script: str) -> Path:
    """Return an environment whose Python is a shell script."""
    _python(path, script)
    (path / "anomaly_hep.stamp").write_text(finn_environment._state())
    return path


def test_the_last_lines_of_a_failing_worker_are_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "echo early >&2; for i in 1 2 3 4; do echo line $i >&2; done; echo no part >&2; exit 1"
    environment = _fake_environment(tmp_path / "venv", script)
    encoder = random_encoder(2)
    with pytest.raises(ExportError, match=r"line 1 .* line 4 \| no part") as error:
        finn_estimate.estimate(
            encoder, events(encoder, 10), REQUEST, environment=environment, folder=tmp_path / "out"
        )
    assert "early" not in str(error.value)
    assert (tmp_path / "out" / "finn.log").read_text().startswith("early")
    assert not (tmp_path / "out" / "estimate.json").exists()


def test_a_worker_is_asked_for_cycles_and_its_result_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "canned.json").write_text(json.dumps(_result()))
    script = f'echo "$@" > {tmp_path}/arguments; cp {tmp_path}/canned.json "$5"'
    environment = _fake_environment(tmp_path / "venv", script)
    encoder = random_encoder(2)
    found = finn_estimate.estimate(
        encoder, events(encoder, 10), REQUEST, environment=environment, folder=tmp_path / "out"
    )
    # 1e9 / 2.5 ns / 1e6 per second = 400 cycles
    assert "--cycles 400 --clock-ns 2.5" in (tmp_path / "arguments").read_text()
    assert found.interval_cycles == 17
    assert json.loads((tmp_path / "out" / "estimate.json").read_text())["reached"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "encoder.onnx",
        "estimate.json",
        "finn.log",
    ]


def test_without_an_environment_the_cure_is_said(tmp_path: Path) -> None:
    encoder = random_encoder(2)
    with pytest.raises(MissingToolError, match=r"Cure: python -m anomaly_hep\.fpga"):
        finn_estimate.estimate(
            encoder, events(encoder, 10), REQUEST, environment=tmp_path / "none", folder=tmp_path
        )


def test_nothing_is_emptied_that_is_no_environment_of_finn(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(ConfigError, match="nothing was changed"):
        finn_environment.make(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_a_failed_install_ends_with_pips_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "venv"

    def create(script: str) -> None:
        monkeypatch.setattr(finn_environment.venv, "create", lambda *_, **__: _python(path, script))

    create("echo much; echo ERROR: no space left; exit 1")
    with pytest.raises(ExportError, match=r"much \| ERROR: no space left\. Cure"):
        finn_environment.make(path)
    assert not finn_environment.ready(path)
    # the unfinished one is known as ours, and is made anew
    create("exit 0")
    assert finn_environment.make(path)
    assert not finn_environment.make(path)


@pytest.fixture
def environment() -> Path:
    path = Path(os.environ.get("ANOMALY_HEP_FINN", finn_environment.DEFAULT))
    if not finn_environment.ready(path):
        pytest.skip(f"{path} holds no FINN; python -m anomaly_hep.fpga.finn_environment makes it")
    return path


def test_finn_keeps_every_integer_and_says_what_it_does_not_reach(
    environment: Path, tmp_path: Path
) -> None:
    encoder = random_encoder(0, constituents=10)
    request = finn_estimate.Request(40e6, 2.5, PART)
    found = finn_estimate.estimate(
        encoder, events(encoder, 20), request, environment=environment, folder=tmp_path
    )
    assert found.checkpoints == {"graph": 20, "hardware_layers": 20, "folded": 20}
    # 10 constituents lie on 16 places, of which a layer takes at most one in a cycle
    assert found.interval_cycles >= 16 > request.cycles
    assert not found.reached
    assert found.resources["DSP"] > 0
    assert sum(layer["LUT"] for layer in found.layers) == found.resources["LUT"] > 0


def test_finn_stops_where_an_integer_is_another(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = random_encoder(2)
    changed = finn_graph.finn_graph(with_one_weight_changed(encoder))
    monkeypatch.setattr(finn_graph, "finn_graph", lambda *_: changed)
    with pytest.raises(ExportError, match=r"checkpoint graph: only \d+ of 20 events"):
        finn_estimate.estimate(
            encoder, events(encoder, 20), REQUEST, environment=environment, folder=tmp_path
        )
    assert not (tmp_path / "estimate.json").exists()
