"""The C++ emulator: every output of every kind of design, alone and beside another one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import emulator
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.emulator_run import Emulator, compile_and_test
from anomaly_hep.fpga.export import ProofEvents
from anomaly_hep.fpga.integers import ChannelBits, IntegerEncoder, Layer, Port
from tests.fpga.designs import design_of, proof_of
from tests.fpga.encoders import (
    hard_inputs,
    random_encoder,
    random_table,
    with_masses,
    with_one_weight_changed,
    without_mass,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers take seconds to make such programs fast."""
    monkeypatch.setenv("CXXFLAGS", "-O0 -Wall -Wextra -Werror")


def _kept(random: np.random.Generator, layer: Layer, slots: int | None = None) -> ChannelBits:
    """Fewer bits of each channel than its type has, down to none."""
    shape = (len(layer.weight),) if slots is None else (slots, len(layer.weight))
    dropped = random.integers(0, 3, shape)
    bits = np.maximum(random.integers(0, layer.output.bits + 1, shape) - dropped, 0)
    return ChannelBits(layer.output.signed, bits, dropped)


def _narrow(seed: int = 4) -> IntegerEncoder:
    """An encoder whose channels have bits of their own everywhere."""
    random, encoder = np.random.default_rng(seed), random_encoder(seed, outputs=4)
    phi, rho = (
        tuple(replace(layer, kept=_kept(random, layer)) for layer in layers)
        for layers in (encoder.phi, encoder.rho)
    )
    ports = len(encoder.ports)
    read = ChannelBits(True, random.integers(1, 6, ports), random.integers(0, 2, ports))
    width = len(encoder.phi[-1].weight)
    pooled = ChannelBits(False, random.integers(2, 7, width), random.integers(0, 2, width))
    head = replace(encoder.head, kept=ChannelBits(True, np.array([6, 5, 0, 4]), np.arange(4) % 2))
    return replace(encoder, phi=phi, rho=rho, head=head, read=read, pooled=pooled)


def _slotted(seed: int = 6) -> IntegerEncoder:
    """An encoder with weights, biases and bits of each slot."""
    random, encoder = np.random.default_rng(seed), random_encoder(seed, phi_bias=True)
    phi = []
    for layer in encoder.phi:
        weight = np.stack([random.permutation(layer.weight) for _ in range(encoder.constituents)])
        bias = random.integers(-9, 9, weight.shape[:2])
        kept = _kept(random, layer, encoder.constituents)
        phi.append(replace(layer, weight=weight, bias=bias, kept=kept))
    return replace(encoder, phi=tuple(phi))


def _flagged() -> IntegerEncoder:
    encoder = random_encoder(8, ports=4)
    flags = (Port("a", 2.0, True), Port("b", 2.0, True))
    return replace(encoder, ports=(*encoder.ports[:2], *flags))


def _inputs(encoder: IntegerEncoder) -> Any:
    inputs = hard_inputs(encoder, 100)
    flags = [port.flag for port in encoder.ports]
    inputs[..., flags] = (inputs[..., flags] & 1) << (encoder.input.fraction - 1)
    return inputs


def _by_mass() -> tuple[Design, ProofEvents]:
    encoder = random_encoder(3)
    plain = design_of(encoder)
    inputs = _inputs(encoder)
    table = random_table(plain.score(encoder(inputs)))
    design = replace(plain, table=table)
    return design, proof_of(design, with_masses(inputs, table), 3000)


def _proved(design: Design) -> tuple[Design, ProofEvents]:
    return design, proof_of(design, without_mass(_inputs(design.integers)), 3000)


def _made(case: str) -> tuple[Design, ProofEvents]:
    if case == "mass":
        return _by_mass()
    score: Any = "kl" if case.startswith("kl") else "squared"
    encoders = {
        "narrow": _narrow, "kl narrow": _narrow, "slots": _slotted, "flags": _flagged,
        "fine": lambda: random_encoder(7, finer=3, output_bits=12),
        "coarse": lambda: random_encoder(7, finer=-3),
        "no rho": lambda: random_encoder(5, rho=(), phi_bias=True, constituents=1),
        "kl": lambda: random_encoder(9, outputs=4),
    }  # fmt: skip
    return _proved(design_of(encoders[case](), score))


CASES = ("narrow", "kl narrow", "slots", "flags", "fine", "coarse", "no rho", "kl", "mass")


def _emulator(directory: Path, design: Design, proof: ProofEvents) -> Emulator:
    emulator.write(design, proof, directory, 40)
    name = emulator.name_of(design, None)
    return Emulator(directory, name, len(design.integers.head.weight))


@pytest.mark.parametrize("case", CASES)
def test_the_emulator_is_the_integer_reference(case: str, tmp_path: Path) -> None:
    design, proof = _made(case)
    program = _emulator(tmp_path, design, proof)
    compile_and_test(tmp_path)
    assert "0 of 40 events differ" in (tmp_path / "test.log").read_text()
    found = program.outputs(proof.stimuli)
    assert set(found) == set(proof.expected)
    for name, values in proof.expected.items():
        np.testing.assert_array_equal(found[name], values)
    # not one and the same for all events
    assert len(np.unique(found["score"])) >= 20
    assert set(np.unique(found["decision"])) == {0, 1}


def test_a_weight_that_differs_by_one_is_found_out(tmp_path: Path) -> None:
    design, proof = _made("kl")
    changed = replace(design, integers=with_one_weight_changed(design.integers))
    program = _emulator(tmp_path, changed, proof)
    with pytest.raises(ExportError, match=r"[1-9]\d* of 40 events differ"):
        compile_and_test(tmp_path)
    found = program.outputs(proof.stimuli)
    assert (found["latent"] != proof.expected["latent"]).any()


def test_an_answer_that_is_changed_or_missing_is_found_out(tmp_path: Path) -> None:
    design, proof = _made("flags")
    _emulator(tmp_path, design, proof)
    compile_and_test(tmp_path)
    path = tmp_path / "test" / "events.txt"
    lines = path.read_text().splitlines()
    words = lines[7].split()
    words[-3] = str(int(words[-3]) ^ 1)
    path.write_text("\n".join([*lines[:7], " ".join(words), *lines[8:]]))
    with pytest.raises(ExportError, match="1 of 40 events differ"):
        compile_and_test(tmp_path)
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(ExportError, match="0 of 39 events differ"):
        compile_and_test(tmp_path)


def test_two_designs_in_one_program_are_what_each_is_alone(tmp_path: Path) -> None:
    made = [_made("flags"), _made("slots")]
    names, sources = [], []
    for number, (design, proof) in enumerate(made):
        _emulator(tmp_path / str(number), design, proof)
        names.append(emulator.name_of(design, None))
        sources.append(str(tmp_path / str(number) / "src" / f"{names[-1]}.cc"))
    assert names[0] != names[1]
    main = tmp_path / "main.cc"
    main.write_text(
        "#include <iostream>\n"
        + "".join(f'#include "{name}.h"\n' for name in names)
        + """
template <class Pins, class Result>
void answer(Result (*emulate)(const Pins&), std::istream& in) {
  Pins pins;
  for (auto& constituent : pins.values)
    for (auto& value : constituent) in >> value;
  const Result found = emulate(pins);
  for (auto value : found.latent) std::cout << value << ' ';
  std::cout << found.score << ' ' << found.decision << '\\n';
}
int main() {
  for (int event = 0; event < 40; ++event) {
"""
        + "".join(f"    answer(&{name}::emulate, std::cin);\n" for name in names)
        + "  }\n}\n"
    )
    headers = [f"-I{tmp_path / str(number) / 'interface'}" for number in range(2)]
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
    program = str(tmp_path / "main")
    subprocess.run(["g++", *flags, *headers, "-o", program, str(main), *sources], check=True)
    blocks = [proof.stimuli.first(40) for _, proof in made]
    pins = [proof.stimuli.pins(block) for (_, proof), block in zip(made, blocks, strict=True)]
    lines = [" ".join(map(str, rows[event].tolist())) for event in range(40) for rows in pins]
    done = subprocess.run(
        [program], input="\n".join(lines), text=True, capture_output=True, check=True
    )
    found = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    for number, (_, proof) in enumerate(made):
        expected = np.column_stack(
            [proof.expected[name][:40] for name in ("latent", "score", "decision")]
        )
        np.testing.assert_array_equal(found[number::2], expected)


def test_the_name_is_that_of_the_integers() -> None:
    design, _ = _made("flags")
    name = emulator.name_of(design, None)
    assert re.fullmatch(r"trigger_[0-9a-f]{8}", name)
    assert emulator.name_of(_made("flags")[0], None) == name
    others = [
        replace(design, threshold=design.threshold + 1),
        replace(design, integers=with_one_weight_changed(design.integers)),
    ]
    assert len({name, *(emulator.name_of(other, None) for other in others)}) == 3


def test_the_interface_of_cmssw_gives_the_same(tmp_path: Path) -> None:
    """Against an interface like that of CMS's emulators: three virtual functions, two names."""
    design, proof = _made("flags")
    _emulator(tmp_path, design, proof)
    extras = tmp_path / "extras" / "hls4ml"
    extras.mkdir(parents=True)
    (extras / "emulator.h").write_text(
        """#pragma once
#include <any>
namespace hls4mlEmulator {
struct Model {
  virtual void prepare_input(std::any) = 0;
  virtual void predict() = 0;
  virtual void read_result(std::any) = 0;
  virtual ~Model() = default;
};
}
"""
    )
    make = ["make", "-s", "cmssw", "CXX=g++", f"EXTRAS={extras.parent}"]
    subprocess.run(make, cwd=tmp_path, check=True)
    name = emulator.name_of(design, None)
    values = proof.stimuli.pins(proof.stimuli.first(12))[11].tolist()
    main = tmp_path / "main.cc"
    main.write_text(
        f'#include "{name}.h"\n#include "hls4ml/emulator.h"\n#include <iostream>\n'
        'extern "C" hls4mlEmulator::Model* create_model();\n'
        'extern "C" void destroy_model(hls4mlEmulator::Model*);\n'
        f"int main() {{ {name}::Pins pins; {name}::Result result;\n"
        f"  const int values[] = {{{', '.join(map(str, values))}}}; int i = 0;\n"
        "  for (auto& c : pins.values) for (auto& v : c) v = values[i++];\n"
        "  auto* model = create_model();\n"
        f"  model->prepare_input(static_cast<const {name}::Pins*>(&pins)); model->predict();\n"
        "  model->read_result(&result); destroy_model(model); std::cout << result.score; }\n"
    )
    subprocess.run(
        ["g++", "-std=c++17", "-Iinterface", f"-I{extras.parent}", "-o", "main", "main.cc",
         f"lib/{name}_cmssw.so", f"-Wl,-rpath,{tmp_path / 'lib'}"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [tmp_path / "main"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == proof.expected["score"][11]


def test_an_integer_beyond_its_wires_is_refused(tmp_path: Path) -> None:
    design, proof = _made("flags")
    program = _emulator(tmp_path, design, proof)
    compile_and_test(tmp_path)
    wrong = proof.stimuli.data.inputs.copy()
    wrong[3, 1, 0] = 16
    stimuli = replace(proof.stimuli, data=without_mass(wrong))
    with pytest.raises(ExportError, match=r"an integer is beyond the type of its port\. Cure"):
        program.outputs(stimuli)


def test_without_a_compiler_the_tool_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"g\+\+, which is not on PATH\. Cure: install"):
        compile_and_test(tmp_path)
