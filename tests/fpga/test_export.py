"""An export is whole under its name or not there, and a wrong one is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.fpga import rtl, testbench
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.export import ExportJob, ExportResults, Flow, export
from anomaly_hep.fpga.flows import rtl_flow
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.stages import stage_of
from anomaly_hep.fpga.verify import compare
from anomaly_hep.models.layers.trigger import TriggerEncoder
from tests.fpga.encoders import hard_inputs, random_encoder, with_one_weight_changed, without_mass
from tests.fpga.models import read_fpga_settings

SETTINGS = read_fpga_settings(
    "fpga=rtl", "fpga.outputs=[score,decision]", "fpga.rtl.simulated_events=30"
)


def _design(**changes: Any) -> Design:
    integers = random_encoder(1, **{"constituents": 2, **changes})
    score = ChipScore("squared", integers.head.output, 2)
    cut = int(np.median(score(integers(hard_inputs(integers)))))
    # what an export never looks at
    network = TriggerEncoder(
        ranges=[1.0] * 3, outputs=2, constituents=2, phi=[5, 4], rho=[5], precision=None
    )
    return Design(network, network, integers, score, cut)


DESIGN = _design()
INPUTS = hard_inputs(DESIGN.integers, 20)
EVENTS = without_mass(INPUTS)
COST = Resources(
    tool="by <hand>", lut=7, ff=None, dsp=0, bram=0, pipeline_stages=3, initiation_interval=1
)


@contextmanager
def _timed(name: str) -> Iterator[None]:
    yield


def _export(flow: Flow, directory: Path, design: Design = DESIGN) -> ExportResults:
    events = without_mass(hard_inputs(design.integers, 20))
    return export("any", flow, design, events, SETTINGS, directory, _timed)


def _honest(job: ExportJob) -> ExportResults:
    """An exporter whose implementation is right for whatever encoder it is given."""
    latents = job.design.integers(job.events.inputs)
    (job.directory / "scripts").mkdir()
    (job.directory / "scripts" / "run.tcl").write_text(
        f"cd {job.directory.resolve()}\nsource {job.directory.resolve()}/scripts/run.tcl\n"
    )
    (job.directory / "wave.bin").write_bytes(b"\0\1" + str(job.directory.resolve()).encode())
    return ExportResults(
        {
            "one": {"latent": latents, "score": job.design.score(latents)},
            "two: of µ²": {"latent": latents[:5]},
        },
        [COST],
        ["Nothing was placed."],
    )


def _files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    found = _export(_honest, tmp_path)
    latents = DESIGN.integers(INPUTS)
    assert list(found.integers) == ["one", "two: of µ²"]
    assert set(found.integers["one"]) == {"latent", "score"}
    np.testing.assert_array_equal(found.integers["one"]["latent"], latents)
    np.testing.assert_array_equal(found.integers["one"]["score"], DESIGN.score(latents))
    np.testing.assert_array_equal(found.integers["two: of µ²"]["latent"], latents[:5])
    assert found.integers["one"]["latent"].dtype == np.int64
    assert (found.resources, found.remarks) == (
        [COST], ["Nothing was placed."],
    )  # fmt: skip


def test_an_export_without_implementations_comes_back(tmp_path: Path) -> None:
    found = _export(lambda _: ExportResults(remarks=["No tool."]), tmp_path)
    assert found == ExportResults({}, [], ["No tool."])


def test_a_whole_export_is_not_made_again(tmp_path: Path) -> None:
    calls = []

    def counted(job: ExportJob) -> ExportResults:
        calls.append(job.directory)
        return _honest(job)

    first, second = _export(counted, tmp_path), _export(counted, tmp_path)
    assert len(calls) == 1
    assert first.remarks == second.remarks
    for name, outputs in first.integers.items():
        for output, values in outputs.items():
            np.testing.assert_array_equal(second.integers[name][output], values)


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_half_an_export_is_not_under_its_name(tmp_path: Path, error: BaseException) -> None:
    def failing(job: ExportJob) -> ExportResults:
        (job.directory / "half.v").write_text("module")
        raise error

    with pytest.raises(type(error)):
        _export(failing, tmp_path)
    assert "any" not in _files(tmp_path)
    _export(_honest, tmp_path)
    assert _files(tmp_path) == ["any"]
    # made anew, not on top of the half
    assert "half.v" not in _files(tmp_path / "any")


def test_texts_name_the_final_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the run directory is given as users give it
    monkeypatch.chdir(tmp_path)
    _export(_honest, Path("run"))
    script = (tmp_path / "run" / "any" / "scripts" / "run.tcl").read_text()
    final = (tmp_path / "run" / "any").resolve()
    assert script == f"cd {final}\nsource {final}/scripts/run.tcl\n"


def test_a_binary_file_is_left_alone(tmp_path: Path) -> None:
    # another length would damage it
    _export(_honest, tmp_path)
    content = (tmp_path / "any" / "wave.bin").read_bytes()
    assert content == b"\0\1" + str((tmp_path / ".any.part").resolve()).encode()


def test_paths_are_mended_before_the_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("anomaly_hep.fpga.export.replace_path", killed)
        with pytest.raises(KeyboardInterrupt):
            _export(_honest, tmp_path)
    assert "any" not in _files(tmp_path)
    _export(_honest, tmp_path)
    assert ".any.part" not in (tmp_path / "any" / "scripts" / "run.tcl").read_text()


def test_an_exporter_that_changes_a_weight_is_found_out(tmp_path: Path) -> None:
    def changing(job: ExportJob) -> ExportResults:
        changed = replace(job.design, integers=with_one_weight_changed(job.design.integers))
        return _honest(replace(job, design=changed))

    right = stage_of("right", DESIGN, {"latent": DESIGN.integers(INPUTS)}, EVENTS)
    outputs = _export(changing, tmp_path).integers.items()
    found = [right, *(stage_of(name, DESIGN, arrays, EVENTS) for name, arrays in outputs)]
    wrong = compare(found, np.full(len(INPUTS), "QCD"), "QCD", 10)
    assert wrong[1].equal is not None
    assert wrong[1].equal < len(INPUTS)
    assert not wrong[1].exact


def test_an_exporter_is_told_what_is_expected(tmp_path: Path) -> None:
    def checking(job: ExportJob) -> ExportResults:
        latents = DESIGN.integers(job.events.inputs)
        scores = DESIGN.score(latents)
        np.testing.assert_array_equal(job.expected["latent"], latents)
        np.testing.assert_array_equal(job.expected["score"], scores)
        np.testing.assert_array_equal(job.expected["decision"], scores > DESIGN.threshold)
        assert job.design is DESIGN
        return ExportResults()

    _export(checking, tmp_path)


def test_rows_of_the_table_have_what_the_implementation_gave() -> None:
    latents = DESIGN.integers(INPUTS)
    scores = DESIGN.score(latents)
    fires = scores > DESIGN.threshold
    own = 1 - fires.astype(np.int64)
    given = {
        "latents": {"latent": latents},
        "scores": {"score": scores},
        "chip": {"score": scores, "decision": own},
        "wire": {"decision": own},
    }
    by_name = {name: stage_of(name, DESIGN, outputs, EVENTS) for name, outputs in given.items()}
    unit = 2.0**-DESIGN.score.fraction / 2
    for name in ("latents", "scores", "chip"):
        np.testing.assert_array_equal(by_name[name].scores, scores * unit)
    np.testing.assert_array_equal(by_name["latents"].fires, fires)
    np.testing.assert_array_equal(by_name["scores"].fires, fires)
    # a decision that is made on the chip is not one taken from its score
    for name in ("chip", "wire"):
        np.testing.assert_array_equal(by_name[name].fires, ~fires)
        np.testing.assert_array_equal(by_name[name].integers["decision"], own)
    assert set(by_name["latents"].integers) == {"score", "decision", "latent"}


@pytest.mark.parametrize("finer", [None, 3])
def test_the_bench_of_an_export_expects_the_bits_that_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finer: int | None
) -> None:
    # with three bits more than any sum has, the squares' last six are not wires
    design = _design(finer=finer, output_bits=16 if finer else 6)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    results = _export(rtl_flow, tmp_path, design)
    inputs = hard_inputs(design.integers, 20)
    scores = design.score(design.integers(inputs))
    circuit = rtl.trace(design.integers, design.score, design.threshold, SETTINGS.outputs, 5)
    dropped = design.score.fraction - circuit.outputs[0].type.fraction
    assert dropped == (6 if finer else 0)
    path = tmp_path / "any" / "bench" / "expected.hex"
    expected = testbench.unpacked(circuit.outputs, path.read_text(), path)
    np.testing.assert_array_equal(expected["score"] << dropped, scores[:30])
    np.testing.assert_array_equal(expected["decision"], scores[:30] > design.threshold)
    (interpreted,) = results.integers.values()
    np.testing.assert_array_equal(interpreted["score"], scores)
    assert [row.tool for row in results.resources] == ["alkaid estimate"]
    # what was left out is said, with its cure
    *open_tools, vendor = results.remarks
    missing = [remark.split()[0] for remark in open_tools]
    assert missing == ["Verilator", "GHDL", "yosys"]
    assert all("Cure: apt-get install" in remark for remark in open_tools)
    assert "vivado is not on PATH" in vendor
    assert "Cure: rtl/verilog/build_vivado_prj.tcl does it elsewhere" in vendor


def test_an_export_of_an_earlier_version_is_taken_as_it_is(tmp_path: Path) -> None:
    # what da4ml computed and estimated: complete, so nothing is made again
    old = ExportResults(
        {"generated RTL: da4ml's interpreter": {"decision": np.array([0, 1])}},
        [replace(COST, tool="da4ml estimate")],
    )
    (tmp_path / "any").mkdir()
    old.save(tmp_path / "any")

    def never(job: ExportJob) -> ExportResults:
        raise AssertionError("made again")

    found = _export(never, tmp_path)
    assert found.resources == old.resources
    assert list(found.integers) == list(old.integers)


def test_an_export_of_events_in_parts_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    shared = replace(SETTINGS, cycles=2)
    events = without_mass(hard_inputs(DESIGN.integers, 20))
    results = export("any", rtl_flow, DESIGN, events, shared, tmp_path, _timed)
    (interpreted,) = results.integers.values()
    np.testing.assert_array_equal(
        interpreted["score"], DESIGN.score(DESIGN.integers(events.inputs))
    )
    assert results.resources[0].initiation_interval == 2
    words = (tmp_path / "any" / "bench" / "inputs.hex").read_text().split()
    assert len(words) == 2 * 30
