"""What thresholds by mass are said to change, where it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.decorrelation import measured
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import ChipEvents
from anomaly_hep.fpga.masstable import MassTable, mass_port, mass_table
from anomaly_hep.fpga.stages import stage_of
from anomaly_hep.fpga.summary import DecorrelationSummary
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.models.layers.trigger import TriggerEncoder
from tests.fpga.encoders import random_encoder

REJECTION = 20.0
LATENT = FixedPoint(True, 12, 4)


def events(number: int, label: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, integer scores that grow with the mass, and masses in GeV; signals score higher."""
    random = np.random.default_rng(seed)
    masses = random.uniform(20, 220, number)
    mean = 10 * masses * (1 if label == "QCD" else 2)
    return np.full(number, label), np.floor(random.exponential(mean)).astype(np.int64), masses


def design_of(table: MassTable | None, threshold: int) -> Design:
    integers = random_encoder(1, constituents=2)
    network = TriggerEncoder(
        ranges=[1.0] * 3, outputs=2, constituents=2, phi=[5, 4], rho=[5], precision=None
    )
    return Design(network, network, integers, ChipScore("squared", LATENT, 2), threshold, table)


def found(test: int = 40_000, signal: int = 2000) -> DecorrelationSummary:
    _, scores, masses = events(40_000, "QCD", 0)
    port = mass_port("jet_mass", 7, masses, REJECTION)
    table = mass_table("jet_mass", port, scores, masses, FixedPoint(False, 24, 8), REJECTION)
    design = design_of(table, int(np.quantile(scores, 1 - 1 / REJECTION)))
    parts = [events(test, "QCD", 1), *([events(signal, "Hbb", 2)] if signal else [])]
    labels, scores, masses = (np.concatenate(part) for part in zip(*parts, strict=True))
    nothing = np.zeros(len(labels))
    none = np.zeros((len(labels), 0))
    jets = Jets(labels, np.zeros((len(labels), 2, 3)), nothing, nothing, masses, none)
    chip = ChipEvents(np.zeros((len(labels), 2, 3), np.int64), table.quantize(masses)[0])
    stage = stage_of("chip", design, {"score": scores}, chip.masses)
    return measured(design, table, stage, jets, "QCD", REJECTION)


def test_thresholds_by_mass_let_the_same_share_pass_and_keep_the_mass() -> None:
    summary = found()
    assert len(summary.edges) == 11
    np.testing.assert_allclose(summary.edges, np.linspace(20, 220, 11), atol=2)
    for share in summary.by_mass.in_bins:
        assert share.value == pytest.approx(1 / REJECTION, rel=0.25)
    # of an exponential with a mean m the share exp(-t / m) lies above one threshold t
    middle = np.linspace(30, 210, 10)
    shares = np.array([share.value for share in summary.single.in_bins])
    cut = -np.log(shares[-1]) * middle[-1]
    np.testing.assert_allclose(shares, np.exp(-cut / middle), atol=0.02)
    single, by_mass = summary.single.relative_entropy, summary.by_mass.relative_entropy
    chance = summary.by_mass.chance
    assert single is not None
    assert by_mass is not None
    assert chance is not None
    assert single.low > 0.1 > by_mass.high
    assert by_mass.value < 2 * chance.high
    assert summary.single.share.value == pytest.approx(1 / REJECTION, rel=0.1)
    assert summary.by_mass.share.value == pytest.approx(1 / REJECTION, rel=0.1)


def test_efficiencies_are_those_at_the_rejection() -> None:
    summary = found()
    # twice the mean: the share s of background is the share sqrt(s) of signal at each mass
    assert summary.by_mass.efficiency is not None
    assert summary.by_mass.efficiency.value == pytest.approx(REJECTION**-0.5, rel=0.1)
    assert summary.single.efficiency is not None
    alone = found(signal=0)
    assert alone.by_mass.efficiency is alone.single.efficiency is None


def test_the_chips_own_numbers_are_kept() -> None:
    summary = found()
    assert (summary.column, summary.type, summary.step) == ("jet_mass", "ufixed<7,8>", 2.0)
    assert summary.shares[summary.deciding] == 1 / REJECTION
    assert (summary.training_events, summary.beyond_range) == (40_000, 0.0)


def test_too_few_events_for_an_entropy_leave_it_out() -> None:
    summary = found(test=90)
    assert summary.by_mass.relative_entropy is summary.by_mass.chance is None
    assert sum(share.value for share in summary.by_mass.in_bins) >= 0


def test_what_a_table_decides_follows_from_the_output_before_it() -> None:
    _, scores, masses = events(2000, "QCD", 0)
    port = mass_port("m", 5, masses, REJECTION)
    table = mass_table("m", port, scores, masses, FixedPoint(False, 24, 8), REJECTION)
    design, at = design_of(table, 0), table.quantize(masses)[0]
    chip = ChipEvents(np.zeros((2000, 2, 3), np.int64), at)
    quantile = (scores[:, None] > table.thresholds[at]).sum(1)
    given = {
        "score": {"score": scores},
        "quantile": {"quantile": quantile},
        "first": {"quantile": quantile[:7]},
    }
    stages = {name: stage_of(name, design, outputs, chip.masses) for name, outputs in given.items()}
    for name, stage in stages.items():
        np.testing.assert_array_equal(stage.fires, quantile[: len(stage)] > table.deciding)
        assert set(stage.integers) == {*given[name], "quantile", "decision"}
    np.testing.assert_array_equal(stages["score"].scores, table.decorrelated(scores, at))
    assert len(stages["first"]) == 7
    # what the chip itself says is not replaced
    own = stage_of("own", design, {"score": scores, "quantile": quantile + 1}, chip.masses)
    np.testing.assert_array_equal(own.integers["quantile"], quantile + 1)
    # without a table the masses do not matter
    plain = stage_of("plain", replace(design, table=None), {"score": scores}, chip.masses)
    assert set(plain.integers) == {"score", "decision"}
