"""The circuit that is written computes what the integers do, one event a clock, without DSPs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alkaid.trace import trace
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import rtl, tracing
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from anomaly_hep.fpga.integers import ChannelBits, IntegerEncoder
from tests.fpga.encoders import (
    SCORES,
    by_slot,
    hard_context,
    hard_inputs,
    random_encoder,
    random_table,
    with_latents,
    with_masses,
    with_one_threshold_changed,
    with_one_weight_changed,
    with_random_channels,
    without_mass,
)

Project = tuple[Path, Circuit, str]
PART, CLOCK = "xcvu13p-flga2577-2-e", 2.5
OUTPUTS = [["score"], ["decision"], ["score", "decision"], ["decision", "score"]]


def _traced(
    encoder: IntegerEncoder, kind: str, outputs: list[str], cutoff: float = 5
) -> tuple[Circuit, ChipScore, int, Integers]:
    """The circuit, and the events of which half exceed its cut."""
    score, cut, inputs = _cut(encoder, kind)
    return rtl.trace(encoder, score, cut, outputs, cutoff), score, cut, inputs


def _cut(encoder: IntegerEncoder, kind: str) -> tuple[ChipScore, int, Integers]:
    score = ChipScore(kind, encoder.head.output, len(encoder.head.weight))
    inputs = hard_inputs(encoder, 50)
    return score, int(np.sort(score(encoder(inputs)))[len(inputs) // 2]), inputs


def _assert_equal(encoder: IntegerEncoder, found: tuple[Circuit, ChipScore, int, Integers]) -> None:
    circuit, score, cut, inputs = found
    scores = score(encoder(inputs))
    integers = rtl.interpret(circuit, encoder, without_mass(inputs))
    fractions = {s.name: s.type.fraction for s in circuit.outputs}
    assert list(integers) == list(fractions)
    if "score" in integers:
        unit = 2.0 ** -fractions["score"]
        np.testing.assert_array_equal(integers["score"] * unit, scores * 2.0**-score.fraction)
    if "decision" in integers:
        np.testing.assert_array_equal(integers["decision"], scores > cut)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(SCORES),
    outputs=st.sampled_from(OUTPUTS),
    constituents=st.integers(1, 4),
    ports=st.integers(1, 3),
    phi=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    rho=st.lists(st.integers(1, 4), max_size=2),
    weight_bits=st.integers(2, 8),
    activation_bits=st.integers(2, 8),
    input_bits=st.integers(2, 8),
    phi_bias=st.booleans(),
    finer=st.sampled_from([None, None, -2, 1]),
    fraction=st.integers(-2, 7),
)
def test_every_event_is_exact(
    seed: int, kind: str, outputs: list[str], fraction: int, **design: Any
) -> None:
    # an exponential that no float overflows
    encoder = with_latents(random_encoder(seed, **design), fraction)
    try:
        found = _traced(encoder, kind, outputs)
    except ExportError:
        # random weights may leave an output that never changes
        score, cut, inputs = _cut(encoder, kind)
        scores = score(encoder(inputs))
        made = {"score": scores, "decision": scores > cut}
        assert all(len(np.unique(made[name])) == 1 for name in outputs)
        return
    _assert_equal(encoder, found)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(SCORES),
    slots=st.booleans(),
    constituents=st.integers(1, 4),
    ports=st.integers(1, 4),
    phi=st.lists(st.integers(2, 5), min_size=1, max_size=2),
    rho=st.lists(st.integers(2, 5), max_size=2),
    phi_bias=st.booleans(),
)
def test_channels_and_slots_with_bits_of_their_own_are_exact(
    seed: int, kind: str, slots: bool, **design: Any
) -> None:
    encoder = with_latents(random_encoder(seed, **design), 3)
    encoder = with_random_channels(by_slot(encoder, seed) if slots else encoder, seed)
    try:
        found = _traced(encoder, kind, ["score", "decision"])
    except ExportError:
        score, _, inputs = _cut(encoder, kind)
        assert len(np.unique(score(encoder(inputs)))) == 1
        return
    _assert_equal(encoder, found)


@pytest.mark.parametrize("kept_signed", [False, True])
@pytest.mark.parametrize("type_signed", [False, True])
@pytest.mark.parametrize(
    ("bits", "dropped"), [(0, 0), (0, 3), (1, 0), (2, 2), (4, 0), (5, 0), (6, 4)]
)
def test_bits_of_any_kind_equal_the_reference(
    kept_signed: bool, type_signed: bool, bits: int, dropped: int
) -> None:
    # also more bits than the type has, and another sign
    encoder = random_encoder(1, phi=(5,), rho=())
    kept = ChannelBits(kept_signed, np.full(4, bits), np.full(4, dropped))
    head = replace(encoder.head.output, signed=type_signed, bits=5)
    encoder = replace(encoder, head=replace(encoder.head, output=head, weight=_rows(encoder, 4),
                                            bias=np.zeros(4, np.int64), kept=kept))  # fmt: skip
    values = hard_inputs(encoder, 50)
    latent = encoder(values)
    score = ChipScore("squared", head, 4)
    if not latent.any():
        with pytest.raises(ExportError):
            rtl.trace(encoder, score, 1, ["score"], 5)
        return
    _assert_equal(encoder, (rtl.trace(encoder, score, 1, ["score"], 5), score, 1, values))


def _rows(encoder: IntegerEncoder, count: int) -> Integers:
    return np.resize(encoder.head.weight, (count, encoder.head.weight.shape[1]))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(SCORES),
    context=st.integers(1, 3),
    rho=st.lists(st.integers(1, 4), max_size=1),
    channels=st.booleans(),
)
def test_quantities_of_the_event_are_exact(
    seed: int, kind: str, channels: bool, **design: Any
) -> None:
    encoder = with_latents(random_encoder(seed, constituents=2, phi=(3,), **design), 3)
    encoder = with_random_channels(encoder, seed) if channels else encoder
    score = ChipScore(kind, encoder.head.output, 2)
    inputs = hard_inputs(encoder, 40)
    context = hard_context(encoder, len(inputs))
    scores = score(encoder(inputs, context))
    table = random_table(scores, seed)
    events = replace(with_masses(inputs, table), context=context)
    try:
        circuit = rtl.trace(encoder, score, table, ["score", "quantile"], 5)
    except ExportError:
        assert len(np.unique(scores)) == 1
        return
    found = rtl.interpret(circuit, encoder, events)
    unit = circuit.outputs[0].type.lsb
    np.testing.assert_array_equal(found["score"] * unit, scores * 2.0**-score.fraction)
    np.testing.assert_array_equal(found["quantile"], table.quantile(scores, events.masses))


def test_bits_that_are_not_read_have_no_wire() -> None:
    encoder = random_encoder(1, constituents=2)
    read = ChannelBits(True, np.array([5, 3, 0]), np.array([0, 2, 0]))
    encoder = replace(encoder, read=read)
    found = _traced(encoder, "squared", ["score"])
    _assert_equal(encoder, found)
    types = {s.name: s.type for s in found[0].inputs}
    for constituent in range(2):
        assert types[f"{constituent}.p0"] == FixedPoint(True, 5, 4)
        assert types[f"{constituent}.p1"] == FixedPoint(True, 3, 2)  # the lowest two are missing
        assert types[f"{constituent}.p2"].bits == 0


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("channels", [False, True])
def test_the_quick_estimate_is_that_of_the_circuit(slots: bool, channels: bool) -> None:
    encoder = random_encoder(3, constituents=4, ports=5, phi=(8, 6), rho=(8,), outputs=3)
    encoder = by_slot(encoder) if slots else encoder
    encoder = with_random_channels(encoder) if channels else encoder
    score = ChipScore("squared", encoder.head.output, 3)
    quick = rtl.estimate(encoder, score, 5)
    whole = rtl.trace(encoder, score, 1, ["score"], 5).estimate
    assert quick.lut == pytest.approx(whole.lut, rel=0.01)
    assert quick.lut > 100
    assert (quick.tool, quick.dsp, quick.ff) == (whole.tool, 0, None)
    assert abs(quick.pipeline_stages - whole.pipeline_stages) <= 1


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_living_encoder_is_exact(kind: str, outputs: list[str]) -> None:
    encoder = with_latents(random_encoder(1, outputs=4), 3)
    found = _traced(encoder, kind, outputs)
    _assert_equal(encoder, found)
    _, score, cut, inputs = found
    scores = score(encoder(inputs))
    assert len(np.unique(scores)) > 50
    assert 0.1 < (scores > cut).mean() < 0.9


def test_scores_whose_last_bits_stay_zero_have_no_wires_for_them() -> None:
    # three bits finer than any sum: latents are multiples of 8, squares of 64
    encoder = random_encoder(1, constituents=2, output_bits=16, finer=3)
    found = _traced(encoder, "squared", ["score"])
    _assert_equal(encoder, found)
    (signal,) = found[0].outputs
    assert signal.type.fraction == found[1].fraction - 6


def test_an_input_without_weight_has_no_wire() -> None:
    encoder = random_encoder(1, constituents=2)
    weight = encoder.phi[0].weight.copy()
    weight[:, 1] = 0
    encoder = replace(encoder, phi=(replace(encoder.phi[0], weight=weight), *encoder.phi[1:]))
    found = _traced(encoder, "squared", ["score"])
    _assert_equal(encoder, found)
    bits = {signal.name: signal.type.bits for signal in found[0].inputs}
    assert bits == {"0.p0": 5, "0.p1": 0, "0.p2": 5, "1.p0": 5, "1.p1": 0, "1.p2": 5}


def test_a_flag_takes_one_wire() -> None:
    encoder = random_encoder(1, constituents=2)
    ports = (replace(encoder.ports[0], flag=True, range=2.0), *encoder.ports[1:])
    encoder = replace(encoder, ports=ports)
    score = ChipScore("squared", encoder.head.output, 2)
    circuit = rtl.trace(encoder, score, 9, ["score"], 5)
    assert [s.type for s in circuit.inputs if s.name.endswith("p0")] == [
        FixedPoint(False, 1, 1)
    ] * 2
    inputs = hard_inputs(encoder, 50)
    # 0, or one half: what 1 is of a flag's range of 2
    inputs[..., 0] = (inputs[..., 0] > 0) << (encoder.input.fraction - 1)
    _assert_equal(encoder, (circuit, score, 9, inputs))


def test_one_changed_weight_is_noticed() -> None:
    encoder = random_encoder(1)
    _, score, _, inputs = right = _traced(encoder, "squared", ["score"])
    circuit, *_ = _traced(with_one_weight_changed(encoder), "squared", ["score"])
    found = rtl.interpret(circuit, encoder, without_mass(inputs))["score"]
    _assert_equal(encoder, right)
    assert (found != score(encoder(inputs))).any()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(SCORES),
    bits=st.integers(2, 5),
    levels=st.integers(1, 4),
    constant=st.booleans(),
)
def test_thresholds_by_mass_are_exact(
    seed: int, kind: str, bits: int, levels: int, constant: bool
) -> None:
    encoder = with_latents(random_encoder(seed, constituents=2, phi=(3,), rho=(3,)), 3)
    score, _, inputs = _cut(encoder, kind)
    scores = score(encoder(inputs))
    table = random_table(scores, seed, bits=bits, levels=levels, deciding=seed % levels)
    if constant:  # a level that does not depend on the mass needs no table
        thresholds = table.thresholds.copy()
        thresholds[:, -1] = scores.max() - 1
        table = replace(table, thresholds=np.sort(thresholds, axis=1))
    chip = with_masses(inputs, table)
    try:
        circuit = rtl.trace(encoder, score, table, ["score", "quantile", "decision"], 5)
    except ExportError:
        assert len(np.unique(scores)) == 1  # random weights may leave nothing that changes
        return
    found = rtl.interpret(circuit, encoder, chip)
    passed = [
        sum(value > limit for limit in table.thresholds[mass].tolist())
        for value, mass in zip(scores.tolist(), chip.masses.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(found["quantile"], passed)
    np.testing.assert_array_equal(found["decision"], np.array(passed) > table.deciding)


def test_the_mass_is_the_last_field_of_the_input() -> None:
    encoder = with_latents(random_encoder(1, constituents=2), 3)
    score, _, inputs = _cut(encoder, "squared")
    table = random_table(score(encoder(inputs)), bits=4)
    circuit = rtl.trace(encoder, score, table, ["decision"], 5)
    assert circuit.has_mass
    assert (circuit.inputs[-1].name, circuit.inputs[-1].type) == ("mass", FixedPoint(False, 4, -3))
    assert not rtl.trace(encoder, score, 9, ["score"], 5).has_mass


def test_one_changed_threshold_is_noticed() -> None:
    encoder = random_encoder(1)
    score, _, inputs = _cut(encoder, "squared")
    scores = score(encoder(inputs))
    table = random_table(scores)
    chip = with_masses(inputs, table)
    changed, event = with_one_threshold_changed(table, scores, chip.masses)
    circuit = rtl.trace(encoder, score, changed, ["quantile"], 5)
    found = rtl.interpret(circuit, encoder, chip)["quantile"]
    differences = found - table.quantile(scores, chip.masses)
    assert differences[event] == 1
    # where the score is the threshold, and nowhere else
    np.testing.assert_array_equal(
        differences != 0, (scores == scores[event]) & (chip.masses == chip.masses[event])
    )


def test_the_second_trace_of_alkaid_is_still_wrong() -> None:
    # when this turns red, `combinational` may leave alkaid its default
    encoder = random_encoder(
        2, constituents=1, ports=1, phi=[4], rho=[], weight_bits=2, activation_bits=2, input_bits=2
    )
    encoder = with_latents(encoder, 0)
    values = np.arange(-2, 2)[:, None, None]
    inputs = tracing.variables(tracing.port_types(encoder))
    sums = tracing.phi(inputs.reshape(1, 1), encoder)[0]
    latents = tracing.latents(sums, encoder, inputs[:0])
    real = encoder.input.real(values).reshape(4, 1)
    right, wrong = (
        compiled(inputs, latents).predict(real) for compiled in (tracing.combinational, trace)
    )
    np.testing.assert_array_equal(right, encoder(values))
    assert (wrong != encoder(values)).any()


@pytest.mark.parametrize("offset", [-1, 0, 1, 2])
def test_a_threshold_may_be_at_either_end_of_the_scores(offset: int) -> None:
    encoder = random_encoder(1)
    score, _, inputs = _cut(encoder, "squared")
    scores = score(encoder(inputs))
    for cut in (int(scores.min()) + offset, int(scores.max()) - offset):
        circuit = rtl.trace(encoder, score, cut, ["score", "decision"], 5)
        _assert_equal(encoder, (circuit, score, cut, inputs))


def test_thresholds_by_mass_keep_their_last_bit_beyond_float32() -> None:
    # squares of 16-bit latents: odd thresholds above 2^24, which float32 does not hold
    encoder = random_encoder(1, constituents=2, output_bits=16)
    score, _, inputs = _cut(encoder, "squared")
    scores = score(encoder(inputs))
    high = np.sort(scores[scores > 2**25])
    assert len(high) > 20
    table = random_table(high - high % 2 + 1, bits=4, levels=2)
    assert (table.thresholds % 2 == 1).all()
    chip = with_masses(inputs, table)
    circuit = rtl.trace(encoder, score, table, ["quantile"], 5)
    found = rtl.interpret(circuit, encoder, chip)["quantile"]
    np.testing.assert_array_equal(found, table.quantile(scores, chip.masses))


def test_an_event_enters_at_every_clock() -> None:
    encoder = random_encoder(1)
    short, *_ = _traced(encoder, "squared", ["score"], cutoff=3)
    long, *_ = _traced(encoder, "squared", ["score"], cutoff=1000)
    assert short.estimate.initiation_interval == long.estimate.initiation_interval == 1
    # the delay between registers decides how many there are
    assert long.latency == 1 < short.latency
    assert short.estimate.ff > long.estimate.ff
    assert short.estimate.lut > 0 == short.estimate.dsp


@pytest.fixture(params=SCORES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    encoder = with_latents(random_encoder(1, constituents=2), 3)
    circuit, *_ = _traced(encoder, request.param, OUTPUTS[2])
    rtl.write(circuit, tmp_path, PART, CLOCK)
    return tmp_path, circuit, request.param


def test_the_multipliers_of_both_languages_forbid_dsps(project: Project) -> None:
    static = [project[0] / flavour / "src" / "static" for flavour in ("verilog", "vhdl")]
    verilog = (static[0] / "multiplier.v").read_text()
    assert verilog.count('(* use_dsp = "no" *) module multiplier') == verilog.count("module mul")
    vhdl = " ".join((static[1] / "multiplier.vhd").read_text().split())
    assert (
        "architecture rtl of multiplier is attribute use_dsp : string; "
        'attribute use_dsp of rtl : architecture is "no";' in vhdl
    )


def test_part_and_clock_are_in_the_vendors_scripts(project: Project) -> None:
    for flavour in ("verilog", "vhdl"):
        assert PART in (project[0] / flavour / "build_vivado_prj.tcl").read_text()
        constraints = (project[0] / flavour / "src" / "trigger.xdc").read_text()
        assert "-period" in constraints or "create_clock" in constraints
        assert str(CLOCK) in constraints


def test_the_fields_cover_the_ports_without_overlap(project: Project) -> None:
    directory, circuit, _ = project
    ports = json.loads((directory / "ports.json").read_text())
    assert ports["latency_in_clocks"] == circuit.latency
    top = (directory / "verilog" / "src" / "trigger.v").read_text()
    for side, direction in (("model_inp", "input wire"), ("model_out", "output reg")):
        fields = ports[side]
        bits = [bit for f in fields for bit in range(f["low_bit"], f["high_bit"] + 1)]
        assert bits == list(range(len(bits)))
        # what alkaid itself made the port
        assert f"{direction} [{len(bits) - 1}:0] {side}" in " ".join(top.split())
        for field in fields:
            width = field["high_bit"] - field["low_bit"] + 1
            assert f"fixed<{width}," in field["type"]
    assert [f["name"] for f in ports["model_out"]] == ["score", "decision"]
    assert [f["name"] for f in ports["model_inp"]] == [
        f"{n}.p{port}" for n in range(2) for port in range(3)
    ]


def test_tables_are_in_the_sources(project: Project) -> None:
    # no file that a simulator would have to find: one entry for each log-variance
    assert not list(project[0].rglob("*.mem"))
    tables = project[0] / "verilog" / "src" / "trigger_tables.v"
    assert tables.exists() == (project[2] == "kl")
    if tables.exists():
        entries = re.findall(r"(\d+)'h(\w+): out = (\d+)'h(\w+);", tables.read_text())
        for bits in {int(bits) for bits, *_ in entries}:
            addresses = [int(address, 16) for width, address, *_ in entries if int(width) == bits]
            assert sorted(set(addresses)) == list(range(2**bits))
        # what the log-variance cannot be is left open
        values = [(int(bits), int(value, 16)) for *_, bits, value in entries if "X" not in value]
        assert len(values) > 10
        assert all(value < 2**bits <= 2**10 for bits, value in values)
        assert (project[0] / "vhdl" / "src" / "trigger_tables.vhd").exists()


def test_a_decision_that_is_always_the_same_is_refused_alone() -> None:
    encoder = random_encoder(1)
    score = ChipScore("squared", encoder.head.output, 2)
    beyond = score.type.highest
    with pytest.raises(ExportError, match=r"decision would be the same for every event.*Cure"):
        rtl.trace(encoder, score, beyond, ["decision"], 5)
    inputs = hard_inputs(encoder, 10)
    both = rtl.trace(encoder, score, beyond, ["score", "decision"], 5)
    _assert_equal(encoder, (both, score, beyond, inputs))
