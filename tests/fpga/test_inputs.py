"""Particles in physical units to the integers at the ports: as the network's features give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.features import DEFINITIONS, Feature
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.quantities import Quantities, log
from anomaly_hep.errors import ExportError
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.fpga import emulator
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.emulator_run import Emulator, compile_and_test
from anomaly_hep.fpga.export import Physical
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.inputs import Column, PinConversion, read_particles
from anomaly_hep.fpga.integers import ChipEvents
from anomaly_hep.fpga.stimuli import Stimuli
from anomaly_hep.fpga.trigger_inputs import input_ports, read_jets
from anomaly_hep.types import Events
from tests.data.files import whole, write_toys
from tests.fpga.designs import design_of, proof_of
from tests.fpga.encoders import random_encoder, random_table, without_mass
from tests.fpga.models import write_checkpoint

RANGES = {"pt_rel": 8.0, "delta_eta": 1.0, "delta_phi": 1.0, "log_pt": 4.0}
KIND = FixedPoint(True, 8, 7)


def _logarithm(**scaling: float) -> Column:
    feature = Feature(name="log_pt", **scaling)
    return Column(feature, feature.formula, 4.0)


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("clip", [None, 3.0, 5.0])
def test_thresholds_of_a_logarithm_are_where_its_integer_goes_up(
    number: type[np.floating], clip: float | None
) -> None:
    column = _logarithm(center=1.7, scale=0.7, clip=clip)
    found = column.thresholds(KIND, np.dtype(number))
    steps = np.arange(len(found)) + KIND.lowest
    above = found > 0  # the integers that nothing is below need no threshold
    below = np.nextafter(found[above], number(0))
    np.testing.assert_array_less(column.steps(log(below), KIND), steps[above])
    assert (column.steps(log(found), KIND) >= steps).all()
    assert (np.diff(found[above]) > 0).all()
    # a clip of 3 is 96 steps from the centre, within the port's 128
    assert above.sum() == (2 * 96 if clip == 3 else len(steps))
    # where nothing is clipped: exp(level / 32 / 0.7 + 1.7)
    inner = slice(40, 200)
    expected = np.exp(steps[inner] / 32 / 0.7 + 1.7)
    np.testing.assert_allclose(found[inner], expected, rtol=1e-5)


@given(st.floats(-20, 20, width=32), st.sampled_from([(0.0, 10.0, 5.0), (0.3, 0.7, None)]))
def test_an_integer_is_the_value_in_single_precision_rounded_down(
    value: float, scaling: tuple[float, float, float | None]
) -> None:
    center, scale, clip = scaling
    feature = Feature(name="delta_eta", center=center, scale=scale, clip=clip)
    column = Column(feature, feature.formula, 8.0)
    network = np.float32(np.float32(value) - np.float32(center)) * np.float32(scale)
    if clip is not None:
        network = np.clip(network, np.float32(-clip), np.float32(clip))
    exact = Fraction(float(network)) * 128 / 8
    expected = min(max(exact.__floor__(), -129), 128)
    assert column.steps(np.array([value], np.float32), KIND).tolist() == [expected]


@pytest.mark.parametrize("name", [n for n, d in DEFINITIONS.items() if d.formula])
def test_a_formula_is_the_feature(name: str) -> None:
    random = np.random.default_rng(2)
    needs = DEFINITIONS[name].needs
    jets = [n for n in needs if n.startswith("jet")]
    lengths = np.array([3, 0, 5])
    particles = {n: random.uniform(0.1, 9, 8).astype(np.float32) for n in {*needs} - {*jets}}
    events = Events(lengths, particles, {n: np.float32([20, 30, 40]) for n in jets})
    quantities, formula = Quantities(events), DEFINITIONS[name].formula
    assert formula is not None
    value = formula.particle(quantities)
    if formula.per is not None:
        value = value / np.repeat(events.events[formula.per], lengths)
    if formula.logarithm:
        value = log(value)
    np.testing.assert_array_equal(value, DEFINITIONS[name].value(quantities))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers take seconds to make such programs fast."""
    monkeypatch.setenv("CXXFLAGS", "-O0 -Wall -Wextra -Werror")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and jets that it never learned from."""
    directory = write_toys(tmp_path_factory.mktemp("toys"), train=300, test=10, files=1)
    write_checkpoint(directory / "best.ckpt", directory, "model.encoder.layers=1")
    return directory


Case = tuple[Physical, Stimuli, Design]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "mass"])
def physical(request: pytest.FixtureRequest, toys: Path) -> Case:
    """Jets in physical units, the same as integers by way of the features, and the design."""
    return _case(toys, by_mass=request.param)


def _case(toys: Path, *, by_mass: bool) -> Case:
    model, reading, _ = load_model(toys / "best.ckpt")
    assert isinstance(reading, ParticleReading)
    file = whole(next((toys / "train").iterdir()))
    parts = [("QCD", Slice(file, 0, 300, 0))]
    ports = input_ports(reading, RANGES, types=True)
    encoder = replace(
        random_encoder(3, constituents=4, ports=len(ports), input_bits=8), ports=ports
    )
    mass = "jet_sdmass" if by_mass else None
    jets = read_jets(model, reading, parts, ports, 4, mass)
    integers, _ = encoder.quantize(jets.inputs)
    data = without_mass(integers)
    design = design_of(encoder)
    if by_mass:
        table = random_table(design.score(encoder(integers)), bits=4)
        data = ChipEvents(integers, table.mass.quantize(jets.mass))
        design = replace(design, table=table)
    particles = read_particles(reading, parts, list(RANGES), types=True)
    assert particles is not None
    conversion = PinConversion.of(reading, encoder, particles)
    found = Physical(particles, jets.mass, conversion, design.table and design.table.mass)
    return found, proof_of(design, data, 0, found).stimuli, design


def test_integers_are_those_of_the_network_s_features(
    physical: Case,
) -> None:
    found, stimuli, _ = physical
    assert set(found.particles.particles) == {"pt", "part_deta", "part_dphi", "type"}
    assert set(found.particles.events) == {"jet_pt"}
    pins, saturated = found.conversion(found.particles)
    np.testing.assert_array_equal(pins, stimuli.data.inputs)
    # what is beyond a range sits at its end
    ends = [(pins[..., i] == end).sum() for i in range(4) for end in (-128, 127)]
    assert saturated.sum() <= sum(ends)
    assert len(np.unique(pins[..., :4])) > 50
    assert pins[..., 4:].sum(-1).max() == 64


def _package(directory: Path, physical: Case) -> tuple[Emulator, Physical, Stimuli]:
    found, stimuli, design = physical
    proof = proof_of(design, stimuli.data, 0, found)
    emulator.write(design, proof, directory, 50)
    name = emulator.name_of(design, found)
    return Emulator(directory, name, len(design.integers.head.weight)), found, stimuli


def _right(stimuli: Stimuli) -> np.ndarray:
    flat = stimuli.data.inputs.reshape(len(stimuli.data), -1)
    return flat if stimuli.mass is None else np.column_stack([flat, stimuli.data.masses])


def test_the_header_gives_the_same_integers(physical: Case, tmp_path: Path) -> None:
    program, found, stimuli = _package(tmp_path, physical)
    compile_and_test(tmp_path)
    log_text = (tmp_path / "test.log").read_text()
    assert "0 of 50 events differ" in log_text
    assert "0 of 50 events in physical units differ" in log_text
    pins, saturated = program.pins(found, stimuli)
    np.testing.assert_array_equal(pins, _right(stimuli))
    _, counted = found.conversion(found.particles)
    np.testing.assert_array_equal(saturated[:4], counted)
    # jets so narrow or so hard that values are beyond the ports
    extreme = dict(found.particles.particles)
    for name in ("pt", "part_deta"):
        extreme[name] = extreme[name] * np.float32(40)
    other = replace(found, particles=replace(found.particles, particles=extreme))
    expected, counted = other.conversion(other.particles)
    pins, saturated = program.pins(other, stimuli)
    np.testing.assert_array_equal(pins[:, : expected[0].size], expected.reshape(len(other), -1))
    np.testing.assert_array_equal(saturated[:4], counted)
    assert (counted[[1, 3]] > 0).all()
    # no number at all is refused, not converted
    extreme["part_deta"] = np.full_like(extreme["part_deta"], np.nan)
    with pytest.raises(ExportError, match=r"a quantity is not finite.*Cure"):
        program.pins(other, stimuli)


def _changes() -> Iterator[tuple[str, str, str]]:
    down = "const double down = std::floor(static_cast<double>(value) * factor);"
    # CMS once truncated inputs that the firmware rounded
    yield "truncated", down, down.replace("floor", "trunc")
    yield "nearest", down, down.replace("floor", "nearbyint")
    yield "order", "keys[a] > keys[b]", "keys[a] < keys[b]"
    yield "logarithm", "std::upper_bound", "1 + std::upper_bound"


@pytest.mark.parametrize(
    ("text", "other"), [(a, b) for _, a, b in _changes()], ids=[name for name, _, _ in _changes()]
)
def test_a_header_that_converts_otherwise_is_found_out(
    toys: Path, text: str, other: str, tmp_path: Path
) -> None:
    program, found, stimuli = _package(tmp_path, _case(toys, by_mass=False))
    (header,) = (tmp_path / "interface").glob("*_inputs.h")
    content = header.read_text()
    assert content.count(text) == 1
    header.write_text(content.replace(text, other))
    # the package's own test is the first to say so
    with pytest.raises(ExportError, match=r"[1-9]\d* of 50 events in physical units differ"):
        compile_and_test(tmp_path)
    pins, _ = program.pins(found, stimuli)
    assert (pins != _right(stimuli)).any()
