"""The QONNX graph computes what the integer encoder does, event by event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.modelwrapper import ModelWrapper

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import qonnx_graph
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.fixedpoint import FixedPoint
from tests.fpga.encoders import hard_inputs, random_encoder, with_one_weight_changed

BITS = st.integers(2, 8)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    constituents=st.sampled_from([1, 2, 5, 32]),
    phi=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rho=st.lists(st.integers(1, 5), max_size=2),
    outputs=st.integers(1, 4),
    ports=st.integers(1, 4),
    weight_bits=BITS,
    activation_bits=BITS,
    input_bits=BITS,
    output_bits=BITS,
    phi_bias=st.booleans(),
)
def test_every_event_is_exact(seed: int, **design: object) -> None:
    encoder = random_encoder(seed, **design)
    integers = hard_inputs(encoder, 50, seed)
    found = qonnx_graph.execute(qonnx_graph.qonnx_graph(encoder), integers)
    np.testing.assert_array_equal(found, encoder(integers))


def test_constants_of_minus_one_and_zero() -> None:
    # in QONNX one signed bit is -1 or 1
    encoder = random_encoder(1)
    head = replace(encoder.head, weight=-(encoder.head.weight % 2), bias=-(encoder.head.bias % 2))
    encoder = replace(encoder, head=head)
    assert set(head.weight.flat) == set(head.bias) == {-1, 0}
    integers = hard_inputs(encoder)
    found = qonnx_graph.execute(qonnx_graph.qonnx_graph(encoder), integers)
    np.testing.assert_array_equal(found, encoder(integers))


def test_the_console_stays_empty(capfd: pytest.CaptureFixture[str]) -> None:
    encoder = random_encoder()
    qonnx_graph.execute(qonnx_graph.qonnx_graph(encoder), hard_inputs(encoder, 1))
    assert capfd.readouterr() == ("", "")


def test_the_graph_may_end_in_the_score() -> None:
    encoder = random_encoder(outputs=3)
    score = ChipScore("squared", encoder.head.output, 3)
    integers = hard_inputs(encoder)
    found = qonnx_graph.execute(qonnx_graph.qonnx_graph(encoder, score.type), integers)
    np.testing.assert_array_equal(found[:, 0], score(encoder(integers)))


def test_one_changed_weight_is_noticed() -> None:
    encoder = random_encoder()
    integers = hard_inputs(encoder)
    found = qonnx_graph.execute(qonnx_graph.qonnx_graph(with_one_weight_changed(encoder)), integers)
    assert (found != encoder(integers)).any()


def test_random_encoders_are_alive() -> None:
    # a comparison of constants would prove nothing
    encoder = random_encoder()
    latents = encoder(hard_inputs(encoder))
    assert all(len(np.unique(column)) > 10 for column in latents.T)


def test_a_file_holds_the_graph_for_one_event(tmp_path: Path) -> None:
    encoder = random_encoder()
    path = tmp_path / "new" / "encoder.onnx"
    qonnx_graph.write(qonnx_graph.qonnx_graph(encoder), path)
    model = onnx.load(path)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, encoder.constituents, len(encoder.ports)]
    assert [p.name for p in path.parent.iterdir()] == ["encoder.onnx"]
    integers = hard_inputs(encoder, 10)
    found = qonnx_graph.execute(ModelWrapper(str(path)), integers)
    np.testing.assert_array_equal(found, encoder(integers))


def test_more_events_than_fit_at_once() -> None:
    encoder = random_encoder(constituents=1, phi=(2,), rho=())
    integers = hard_inputs(encoder, qonnx_graph.BATCH)
    assert len(integers) > 2 * qonnx_graph.BATCH
    found = qonnx_graph.execute(qonnx_graph.qonnx_graph(encoder), integers)
    np.testing.assert_array_equal(found, encoder(integers))


def test_an_output_off_its_grid_is_refused() -> None:
    encoder = random_encoder()
    model = qonnx_graph.qonnx_graph(encoder)
    name = f"{model.graph.output[0].name}_scale"
    # read with a coarser last bit than it was rounded with
    model.graph.node[-1].input[1] = "finer"
    model.set_initializer("finer", np.float32(model.get_initializer(name) / 2))
    with pytest.raises(ExportError, match="multiples"):
        qonnx_graph.execute(model, hard_inputs(encoder))


def test_a_score_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(ExportError, match="latents without the score"):
        qonnx_graph.qonnx_graph(random_encoder(), FixedPoint(False, 25, 0))
