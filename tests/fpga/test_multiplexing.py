"""A shared phi: exact in every clock, with gaps and resets, and refused where it cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError, ExportError
from anomaly_hep.fpga import rtl
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.integers import ChannelBits, ChipEvents, IntegerEncoder
from tests.fpga.encoders import (
    SCORES,
    by_slot,
    hard_context,
    hard_inputs,
    random_encoder,
    random_table,
    with_latents,
    with_masses,
    with_random_channels,
    without_mass,
)

OUTPUTS = ["score", "decision"]


def _traced(
    encoder: IntegerEncoder, kind: str, cycles: int, delay: float = 5
) -> tuple[Circuit, ChipEvents, dict[str, Any]]:
    """The circuit, events, and what must leave the chip for them, as real numbers."""
    score = ChipScore(kind, encoder.head.output, len(encoder.head.weight))
    events = _events(encoder)
    scores = score(encoder(events.inputs, events.context))
    cut = int(np.sort(scores)[len(scores) // 2])
    circuit = rtl.trace(encoder, score, cut, OUTPUTS, delay, cycles)
    expected = {"score": scores * 2.0**-score.fraction, "decision": scores > cut}
    return circuit, events, expected


def _events(encoder: IntegerEncoder) -> ChipEvents:
    inputs = hard_inputs(encoder, 40)
    return without_mass(inputs, hard_context(encoder, len(inputs)) if encoder.context else None)


def _assert_interpreted(
    encoder: IntegerEncoder, circuit: Circuit, events: ChipEvents, expected: dict[str, Any]
) -> None:
    found = rtl.interpret(circuit, encoder, events)
    for signal in circuit.outputs:
        np.testing.assert_array_equal(found[signal.name] * signal.type.lsb, expected[signal.name])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(SCORES),
    cycles=st.sampled_from([2, 4, 8]),
    copies=st.integers(1, 2),
    channels=st.booleans(),
    ports=st.integers(1, 3),
    phi=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    rho=st.lists(st.integers(1, 4), max_size=1),
    phi_bias=st.booleans(),
    context=st.sampled_from([0, 0, 2]),
)
def test_every_event_is_exact(
    seed: int, kind: str, cycles: int, copies: int, channels: bool, **design: Any
) -> None:
    encoder = with_latents(random_encoder(seed, constituents=cycles * copies, **design), 3)
    encoder = with_random_channels(encoder, seed) if channels else encoder
    try:
        circuit, events, expected = _traced(encoder, kind, cycles)
    except ExportError:  # random weights may leave nothing that changes
        score = ChipScore(kind, encoder.head.output, len(encoder.head.weight))
        events = _events(encoder)
        scores = score(encoder(events.inputs, events.context))
        assert len(np.unique(scores)) == 1 or encoder.context
        return
    _assert_interpreted(encoder, circuit, events, expected)


def _clocked(
    circuit: Circuit, fields: Any, idle: list[int], reset: list[int] | None = None
) -> dict[str, Any]:
    """Each clock of alkaid's machine: events after so many idle clocks, filled with anything.

    reset: clocks in which rst is high.
    """
    random = np.random.default_rng(5)
    lsb = np.array([signal.type.lsb for signal in circuit.inputs])
    rows, starts = [], []
    for parts, pause in zip(fields.reshape(-1, circuit.cycles, fields.shape[1]), idle, strict=True):
        rows += [*random.permutation(fields)[:pause], *parts]
        starts += [0] * pause + [1] + [0] * (circuit.cycles - 1)
    # until the last result is out
    rows += [np.zeros_like(rows[0])] * (circuit.latency + 1)
    starts += [0] * (circuit.latency + 1)
    rst = np.isin(np.arange(len(rows)), reset or []).astype(float)
    made = circuit.machine.run(
        {"model_inp": np.array(rows) * lsb, "start": np.array(starts, float), "rst": rst},
        scheduled=False,
    )
    return {"start": np.array(starts), **{name: np.array(values) for name, values in made.items()}}


@pytest.mark.parametrize("cycles", [2, 4])
@pytest.mark.parametrize("delay", [2.0, 1000.0])
@pytest.mark.parametrize("gaps", [False, True])
def test_every_clock_is_exact(cycles: int, delay: float, gaps: bool) -> None:
    encoder = with_latents(random_encoder(1, constituents=4), 3)
    circuit, events, expected = _traced(encoder, "squared", cycles, delay)
    some = events[:25]
    idle = np.random.default_rng(2).integers(0, 4, 25) * gaps
    found = _clocked(circuit, rtl.port_fields(circuit, encoder, some), idle.tolist())
    valid = found["valid"][:, 0].astype(bool)
    # the first register takes over start at edge n, and the result stands after edge n + latency
    np.testing.assert_array_equal(
        np.flatnonzero(valid), np.flatnonzero(found["start"]) + circuit.latency
    )
    results = found["model_out"][valid]
    for column, name in enumerate(OUTPUTS):
        np.testing.assert_array_equal(results[:, column], expected[name][:25])
    assert len(np.unique(results[:, 0])) > 5


def test_a_reset_drops_the_events_inside_alone() -> None:
    encoder = with_latents(random_encoder(1, constituents=4), 3)
    circuit, events, expected = _traced(encoder, "squared", 2)
    fields = rtl.port_fields(circuit, encoder, events[:20])
    # in the middle of event 9, at its second part
    found = _clocked(circuit, fields, [0] * 20, [19])
    valid = found["valid"][:, 0].astype(bool)
    starts = np.flatnonzero(found["start"])
    left = (starts + circuit.latency < 19) | (starts > 19)
    np.testing.assert_array_equal(np.flatnonzero(valid), starts[left] + circuit.latency)
    assert 0 < left[:10].sum() < 10
    assert left[10:].all()
    np.testing.assert_array_equal(found["model_out"][valid, 0], expected["score"][:20][left])


def test_a_start_at_another_clock_gives_other_scores() -> None:
    encoder = with_latents(random_encoder(1, constituents=4), 3)
    circuit, events, expected = _traced(encoder, "squared", 2)
    fields = rtl.port_fields(circuit, encoder, events[7:30])
    shifted = np.roll(fields, 1, axis=0)
    found = _clocked(circuit, shifted, [0] * 23)
    valid = found["valid"][:, 0].astype(bool)
    assert (found["model_out"][valid, 0] != expected["score"][7:30]).any()


def test_the_context_is_read_with_the_last_part() -> None:
    encoder = with_latents(random_encoder(1, constituents=4, context=2), 3)
    circuit, events, expected = _traced(encoder, "squared", 2)
    fields = rtl.port_fields(circuit, encoder, events[:25])
    assert not fields[::2, -2:].any()
    fields[::2, -2:] = fields[1::2, -2:][::-1]
    clocked = _clocked(circuit, fields, [0, 1] * 12 + [2])
    valid = clocked["valid"][:, 0].astype(bool)
    np.testing.assert_array_equal(clocked["model_out"][valid, 0], expected["score"][:25])
    assert "with the last part alone is read: of_event_0, of_event_1" in circuit.contract["parts"]


@pytest.mark.parametrize("kind", SCORES)
def test_the_mass_is_read_with_the_last_part(kind: str) -> None:
    encoder = with_latents(random_encoder(1, constituents=4, outputs=4), 3)
    score = ChipScore(kind, encoder.head.output, 4)
    inputs = hard_inputs(encoder, 40)
    scores = score(encoder(inputs))
    table = random_table(scores, bits=4)
    events = with_masses(inputs, table)
    circuit = rtl.trace(encoder, score, table, ["score", "quantile", "decision"], 5, 2)
    quantile = table.quantile(scores, events.masses)
    found = rtl.interpret(circuit, encoder, events)
    np.testing.assert_array_equal(found["quantile"], quantile)
    np.testing.assert_array_equal(found["decision"], quantile > table.deciding)
    fields = rtl.port_fields(circuit, encoder, events[:25])
    assert not fields[::2, -1].any()
    np.testing.assert_array_equal(fields[1::2, -1], events.masses[:25])
    # anything may stand there before
    fields[::2, -1] = table.mass.highest - events.masses[:25]
    clocked = _clocked(circuit, fields, [0, 1] * 12 + [2])
    valid = clocked["valid"][:, 0].astype(bool)
    np.testing.assert_array_equal(clocked["model_out"][valid, 1], quantile[:25])
    assert len(np.unique(quantile[:25])) > 1


def test_a_shared_phi_costs_less_and_an_event_waits_longer() -> None:
    encoder = random_encoder(3, constituents=8, ports=5, phi=(8, 6), rho=(8,))
    score = ChipScore("squared", encoder.head.output, 2)
    costs = []
    for cycles in (1, 2, 4, 8):
        estimate = rtl.trace(encoder, score, 9, OUTPUTS, 5, cycles).estimate
        quick = rtl.estimate(encoder, score, 5, cycles)
        assert quick.lut == pytest.approx(estimate.lut, rel=0.05)
        assert quick.initiation_interval == estimate.initiation_interval == cycles
        assert abs(quick.pipeline_stages - estimate.pipeline_stages) <= 1
        costs.append(estimate.lut)
    assert costs == sorted(costs, reverse=True)
    # phi is most of it, and is there once instead of eight times
    assert costs[3] < costs[0] / 2


@pytest.mark.parametrize(("constituents", "cycles", "cure"), [(6, 4, 8), (16, 3, 18), (1, 2, 2)])
def test_parts_of_different_size_are_refused(constituents: int, cycles: int, cure: int) -> None:
    encoder = random_encoder(1, constituents=constituents)
    with pytest.raises(
        ConfigError,
        match=rf"cycles={cycles} does not divide {constituents} c.*Cure: fpga.constituents={cure}",
    ):
        _traced(encoder, "squared", cycles)


def test_an_encoder_that_looks_at_no_constituent_is_refused() -> None:
    encoder = random_encoder(3, constituents=4, context=2)
    blind = replace(encoder.phi[-1], weight=np.zeros_like(encoder.phi[-1].weight))
    # its weights are 0, or nobody reads what they give
    deaf = encoder.rho[0].weight.copy()
    deaf[:, :4] = 0
    for changed in (
        replace(encoder, phi=(*encoder.phi[:-1], blind)),
        replace(encoder, rho=(replace(encoder.rho[0], weight=deaf),)),
    ):
        with pytest.raises(ExportError, match=r"no output depends on a constituent.*cycles=1"):
            _traced(changed, "squared", 2)
        _assert_interpreted(changed, *_traced(changed, "squared", 1))


def test_slots_of_their_own_are_refused() -> None:
    plain = random_encoder(1, constituents=4)
    kept = ChannelBits(False, np.full((4, 4), 3), np.zeros((4, 4), np.int64))
    last = replace(plain.phi[-1], kept=kept)
    read = ChannelBits(True, np.full((4, 3), 5), np.zeros((4, 3), np.int64))
    for encoder in (
        by_slot(plain),
        replace(plain, phi=(*plain.phi[:-1], last)),
        replace(plain, read=read),
    ):
        with pytest.raises(
            ExportError, match=r"cycles=2 shares phi .*Cure: fpga.cycles=1, or fpga.order_aware=f"
        ):
            _traced(encoder, "squared", 2)
        _assert_interpreted(encoder, *_traced(encoder, "squared", 1))


def test_ports_json_says_how_events_arrive(tmp_path: Path) -> None:
    encoder = with_latents(random_encoder(1, constituents=4), 3)
    circuit, *_ = _traced(encoder, "squared", 2)
    rtl.write(circuit, tmp_path, "xcvu13p-flga2577-2-e", 2.5)
    ports = json.loads((tmp_path / "ports.json").read_text())
    assert ports["initiation_interval"] == ports["cycles"] == 2
    assert ports["latency_in_clocks"] == circuit.latency
    assert ports["constituents_per_clock"] == 2
    names = [field["name"] for field in ports["model_inp"]]
    assert names == [f"{n}.p{port}" for n in range(2) for port in range(3)]
    assert {"start", "valid", "rst", "parts"} <= set(ports)
    top = " ".join((tmp_path / "verilog" / "src" / "trigger.v").read_text().split())
    for port in ("input wire [0:0] rst", "input wire [0:0] start", "output reg [0:0] valid"):
        assert port in top
    entity = (tmp_path / "vhdl" / "src" / "trigger.vhd").read_text()
    assert "valid: out std_logic_vector(0 downto 0)" in entity
