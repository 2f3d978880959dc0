"""The command fpga from a checkpoint to firmware, on toy jets and tiny networks."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.commands import fpga
from anomaly_hep.fpga.export import ExportJob
from anomaly_hep.fpga.flows import FLOWS
from tests import runs
from tests.data.files import write_toys
from tests.fpga.encoders import with_one_weight_changed

DESIGN = (
    "threads=1",
    "fpga.constituents=3",
    "fpga.phi=[4,3]",
    "fpga.rho=[4]",
    "fpga.latent_dim=2",
    "fpga.weight_bits=4",
    "fpga.activation_bits=5",
    "fpga.output_bits=6",
    "fpga.float_starts=1",
    "fpga.float_steps=60",
    "fpga.quantized_steps=60",
    "fpga.rejection=10",
    "fpga.proof_events=1",  # those of data alone
)
# enough bits and steps for scores of which few are equal
LIVING = (
    "fpga.weight_bits=5",
    "fpga.activation_bits=6",
    "fpga.output_bits=10",
    "fpga.float_steps=300",
    "fpga.quantized_steps=300",
    "fpga.rtl.synthesis=false",
)
FOUR = ("fpga.constituents=4",)
LEARNED = (
    "fpga.learned.phi=[8,6]",
    "fpga.learned.rho=[6]",
    "fpga.learned.latent_dim=2",
    "fpga.learned.starts=1",
    "fpga.learned.steps=200",
)
ALL = ("fpga.hls4ml.backends=[Vitis,oneAPI]", "fpga.rtl.simulated_events=300")
INTEGER_ROWS = [
    "integer reference: numpy",
    "inputs: numpy",
    "inputs: C++ header, g++",
    "C++ emulator: g++",
    "QONNX graph: qonnx execution",
    "hls4ml C simulation: Vitis, g++",
    "generated RTL: alkaid's interpreter",
    "FINN's graph: thresholds, onnx execution",
]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a trained run of Deep Sets and one of a quantised trigger encoder."""
    toys = write_toys(tmp_path_factory.mktemp("toys"))
    small = (*runs.TWO_CLASSES, "data.dir=.")
    runs.train_here(runs.train_command(*small, "run_dir=outputs/deepset"), toys)
    trigger = [c for c in runs.train_command(*small) if c != "model.encoder.layers=1"]
    bits = "{weight_bits: 4, activation_bits: 5, input_bits: 6, output_bits: 8}"
    shape = ("constituents=3", "phi=[4,3]", "rho=[4]")
    runs.train_here(
        [
            *trigger,
            "model/encoder=trigger",
            *(f"model.encoder.{text}" for text in shape),
            f"model.quantization={bits}",
            "model.latent_dim=2",
            "run_dir=trigger",
        ],
        toys,
    )
    return toys


def firmware(toys: Path, *arguments: str, expect: int = 0) -> str:
    """Run the command with the tiny design and return what it printed."""
    return runs.command(toys, "fpga", *DESIGN, *arguments, expect=expect)


def content(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "fpga.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(toys: Path) -> Path:
    """Firmware of the newest run, all exports."""
    printed = firmware(toys, *ALL, "run_dir=all")
    assert "from outputs/deepset/checkpoints/best.ckpt" in printed
    return toys / "all"


def test_every_export_equals_the_quantised_model(made: Path) -> None:
    found = content(made)
    assert found["exact"]
    stages = {stage["implementation"]: stage for stage in found["stages"]}
    assert [name for name in stages if name in INTEGER_ROWS] == INTEGER_ROWS
    for name in INTEGER_ROWS:
        stage = stages[name]
        assert stage["events"] == stage["equal"] == 120
        assert stage["max_difference_lsb"] == stage["decision_flips"] == 0
    # the chip's scores are not one and the same number
    scores = [stage["efficiency"] for stage in found["stages"]]
    assert all(set(signals) == {"Hbb"} for signals in scores if signals)
    assert found["model"]["origin"] == "user"


def test_fpga_json_has_the_layout_for_machines(made: Path) -> None:
    found = content(made)
    for stage in found["stages"]:
        assert {"implementation", "events", "equal", "max_difference_lsb", "decision_flips",
                "efficiency"} <= set(stage)  # fmt: skip
    for row in found["resources"]:
        assert {"tool", "lut", "ff", "dsp", "bram", "pipeline_stages",
                "initiation_interval"} <= set(row)  # fmt: skip
    (estimate,) = [row for row in found["resources"] if row["tool"] == "alkaid estimate"]
    assert estimate["initiation_interval"] == 1
    assert estimate["dsp"] == 0
    assert estimate["lut"] > 0
    assert all(seconds >= 0 for seconds in found["seconds"].values())
    assert {"train float encoder", "train quantized encoder"} <= set(found["seconds"])


def test_the_firmware_lies_where_the_documentation_says(made: Path) -> None:
    for name in (
        "rtl/verilog/src/trigger.v", "rtl/vhdl/src/trigger.vhd", "rtl/ports.json",
        "rtl/bench/trigger_bench.v", "rtl/bench/simulate.sh",
        "rtl/bench/trigger_bench.vhd", "rtl/bench/simulate_vhdl.sh",
        "rtl/bench/inputs.hex", "rtl/bench/expected.hex", "rtl/bench/idle.hex",
        "rtl/verilog/build_vivado_prj.tcl", "rtl/vhdl/build_vivado_prj.tcl",
        "hls4ml/vitis/build_prj.tcl", "hls4ml/qonnx/latent.onnx", "hls4ml/qonnx/score.onnx",
        "float.ckpt", "quantized.ckpt", "report.html", "figures/agreement.png", "done.json",
    ):  # fmt: skip
        assert (made / name).stat().st_size > 0, name
    # nothing names the directory in which it was built, which is gone
    for path in [p for p in made.rglob("*") if p.is_file()]:
        assert b".part/" not in path.read_bytes(), path


def test_the_report_says_what_was_compared_and_loads_nothing(made: Path) -> None:
    text = (made / "report.html").read_text()
    assert "Every compared event is exactly equal" in text
    assert "not closed" in text
    assert "60 QCD and 60 signal" in text
    assert not re.search(r"(src|href)=['\"]https?:", text)


def test_a_finished_run_is_shown_and_not_made_again(toys: Path, made: Path) -> None:
    before = (made / "rtl" / "ports.json").stat().st_mtime_ns
    assert "is finished" in firmware(toys, *ALL, "run_dir=all")
    assert (made / "rtl" / "ports.json").stat().st_mtime_ns == before


def test_a_killed_run_goes_on_with_what_is_whole(toys: Path, made: Path) -> None:
    again = toys / "again"
    shutil.copytree(made, again)
    for name in ("done.json", "fpga.json"):
        (again / name).unlink()
    shutil.rmtree(again / "rtl")
    (again / ".rtl.part").mkdir()
    printed = firmware(toys, *ALL, "run_dir=again")
    assert "RTL: interpreter" in printed
    assert not re.search("train (float|quantized) encoder", printed)
    assert "hls4ml" not in printed.split("Proof")[0]
    assert content(again)["stages"] == content(made)["stages"]


def with_a_changed_weight(job: ExportJob) -> ExportJob:
    """The job of an exporter, one weight changed that any of the events depends on."""
    right, inputs = job.design.integers, job.events.inputs
    changed = (with_one_weight_changed(right, rank) for rank in range(right.phi[-1].weight.size))
    wrong = next(one for one in changed if (one(inputs) != right(inputs)).any())
    return replace(job, design=replace(job.design, integers=wrong))


@pytest.mark.parametrize(
    ("export", "row"),
    [
        ("hls4ml", "QONNX graph: qonnx execution"),
        ("rtl", "generated RTL: alkaid's interpreter"),
        ("finn", "FINN's graph: thresholds, onnx execution"),
    ],
)
def test_one_changed_weight_stops_the_command(
    toys: Path, made: Path, export: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys / f"changed-{export}"
    real = FLOWS[export]
    monkeypatch.setitem(FLOWS, export, lambda job: real(with_a_changed_weight(job)))
    own = {"hls4ml": [ALL[0]], "rtl": [ALL[1]], "finn": ["fpga.finn.make_environment=false"]}
    printed = firmware(toys, f"fpga={export}", *own[export], f"run_dir={run.name}", expect=1)
    assert f"ExportError: {row}" in printed
    found = content(run)
    assert not found["exact"]
    (stage,) = [s for s in found["stages"] if s["implementation"] == row]
    assert stage["equal"] < stage["events"]
    assert stage["max_difference_lsb"] > 0
    assert "Not equal." in (run / "report.html").read_text()
    assert not (run / "done.json").exists()


@pytest.mark.parametrize(("order_aware", "exports"), [(False, "all"), (True, "emulator")])
def test_learned_widths_reach_their_budget_and_are_exact(
    toys: Path, made: Path, order_aware: bool, exports: str
) -> None:
    name = f"learned-{order_aware}"
    living = LIVING if exports == "all" else LIVING[:-1]  # the last is of the RTL
    asked = (f"fpga={exports}", *living, *LEARNED, "fpga.target_lut=3000", "fpga.learned.starts=2",
             "fpga.learned.steps=600")  # fmt: skip
    if exports == "all":
        asked += ("fpga.finn.make_environment=false", *ALL[1:])
    printed = firmware(toys, *asked, f"fpga.order_aware={order_aware}", f"run_dir={name}")
    assert "Designs for 3,000 LUTs" in printed
    found = content(toys / name)
    assert found["exact"]
    compared = {s["implementation"]: s for s in found["stages"] if s["equal"] is not None}
    wanted = {"C++ emulator: g++"}
    wanted |= {"generated RTL: alkaid's interpreter"} if exports == "all" else set()
    assert wanted <= set(compared)
    assert all(compared[name]["equal"] == compared[name]["events"] >= 120 for name in wanted)
    designs = found["budget"]["designs"]
    (best,) = [design for design in designs if design["chosen"]]
    assert best["lut"] <= 3000
    assert best["in_budget"]
    assert {d["start"] for d in designs if not d["learned"]} <= {1, 2}
    # no design of a start is beaten by another of it: more LUTs agree better
    for start in (1, 2):
        own = [design for design in designs if design["learned"] and design["start"] == start]
        agreements = [d["agreement"] for d in sorted(own, key=lambda d: d["lut"])]
        assert agreements == sorted(set(agreements))
    assert (found["budget"]["order_flips"] is not None) == order_aware
    left_out = any("hls4ml has one type for all channels" in text for text in found["remarks"])
    assert left_out == (exports == "all")
    assert (toys / name / "figures" / "budget.png").stat().st_size > 0


@pytest.fixture(scope="module")
def by_mass(toys: Path, made: Path) -> Path:
    """Firmware of the same run with thresholds by mass, for a wanted rate."""
    runs.command(toys, "rate", "run=outputs/deepset", "rate_hz=8e3", "input_rate_hz=4e4")
    asked = ("fpga.decorrelate=mass", "fpga.threshold=outputs/deepset/threshold.json")
    printed = firmware(
        toys, "fpga=rtl", *LIVING, *asked, "fpga.rejection=7", ALL[1], "run_dir=by_mass"
    )
    assert "Trigger rate of 40000 Hz" in printed
    assert "Background that fires, by jet_sdmass" in printed
    return toys / "by_mass"


def test_thresholds_by_mass_are_exact(by_mass: Path) -> None:
    found = content(by_mass)
    assert found["exact"]
    assert found["design"]["outputs"] == ["score", "quantile", "decision"]
    compared = [stage for stage in found["stages"] if stage["equal"] is not None]
    assert len(compared) >= 2
    for stage in compared:
        # a simulator's runs with gaps and after a restart have fewer events
        few = "with gaps" in stage["implementation"] or "restart" in stage["implementation"]
        assert stage["events"] == stage["equal"] == (30 if few else 120)
    ports = json.loads((by_mass / "rtl" / "ports.json").read_text())
    assert [field["name"] for field in ports["model_out"]] == ["score", "quantile", "decision"]
    assert ports["model_inp"][-1] | {"low_bit": 0, "high_bit": 0} == {
        "name": "mass", "type": "ufixed<8,8>", "low_bit": 0, "high_bit": 0,
    }  # fmt: skip
    # of 300 training events at least 100 lie above a level other than the one that decides
    assert found["decorrelation"]["shares"] == [0.5, 0.2]
    lines = (by_mass / "rtl" / "mass_table.csv").read_text().splitlines()
    assert len(lines) == 257
    assert len({line.split(",")[3] for line in lines}) > 50
    assert (by_mass / "figures" / "passing.png").stat().st_size > 0


def test_the_rates_of_a_file_set_the_rejection(by_mass: Path) -> None:
    found = content(by_mass)
    assert found["design"]["rejection"] == 5
    assert (found["rate"]["wanted_hz"], found["rate"]["input_rate_hz"]) == (8e3, 4e4)
    shares = [share * 4e4 for share in found["background_firing"]]
    assert found["rate"]["background_hz"] == pytest.approx(shares)


def test_thresholds_of_another_run_are_refused(toys: Path, by_mass: Path) -> None:
    asked = ("fpga=rtl", "fpga.threshold=outputs/deepset/threshold.json")
    trigger = "checkpoint=trigger/checkpoints/best.ckpt"
    printed = firmware(toys, *asked, trigger, "run_dir=bad", expect=1)
    assert "ConfigError: threshold=outputs/deepset/threshold.json belongs to another" in printed
    missing = firmware(toys, "fpga=rtl", "fpga.threshold=none.json", "run_dir=bad", expect=1)
    assert "MissingDataError: none.json does not exist. Cure: python -m anomaly_hep rate" in missing
    assert not (toys / "bad").exists()


def with_a_changed_threshold(job: ExportJob) -> ExportJob:
    """The job of an exporter, the threshold that decides lowered to below the score of an event."""
    table, scores = job.design.table, job.expected["score"]
    assert table is not None
    thresholds, mass = table.thresholds.copy(), job.events.masses
    below = np.flatnonzero(scores <= thresholds[mass, table.deciding])
    event = below[np.argmax(scores[below])]
    thresholds[mass[event], table.deciding] = scores[event] - 1
    changed = replace(table, thresholds=thresholds)
    return replace(job, design=replace(job.design, table=changed))


def test_one_changed_threshold_stops_the_command(
    toys: Path, by_mass: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FLOWS["rtl"]
    monkeypatch.setitem(FLOWS, "rtl", lambda job: real(with_a_changed_threshold(job)))
    checkpoint = "checkpoint=outputs/deepset/checkpoints/best.ckpt"
    own = (*LIVING, checkpoint, "fpga.decorrelate=mass", ALL[1])
    printed = firmware(toys, "fpga=rtl", *own, "run_dir=changed-table", expect=1)
    assert "ExportError: generated RTL: alkaid's interpreter" in printed
    found = content(toys / "changed-table")
    (stage,) = [
        s for s in found["stages"] if s["implementation"] == "generated RTL: alkaid's interpreter"
    ]
    assert stage["equal"] < stage["events"]
    assert stage["decision_flips"] > 0


@pytest.mark.parametrize("score", ["squared", "kl"])
def test_a_quantised_trigger_encoder_is_exported_as_it_is(toys: Path, score: str) -> None:
    checkpoint = "checkpoint=trigger/checkpoints/best.ckpt"
    name = f"own-{score}"
    printed = firmware(
        toys, "fpga=rtl", checkpoint, f"fpga.score={score}", ALL[1], f"run_dir={name}"
    )
    assert not re.search("train (float|quantized) encoder", printed)
    found = content(toys / name)
    assert found["exact"]
    assert found["design"]["output_bits"] == 8
    assert found["design"]["layers"][-1]["shape"][0] == (2 if score == "squared" else 4)


def test_many_designs_make_one_figure(toys: Path) -> None:
    sweep = ("-m", "fpga=rtl", "fpga.rtl.synthesis=false", "fpga.rtl.simulated_events=20")
    checkpoint = "checkpoint=outputs/deepset/checkpoints/best.ckpt"
    firmware(toys, *sweep, checkpoint, "fpga.weight_bits=3,5")
    printed = runs.command(toys, "collect", "outputs")
    assert "outputs/fpga_tradeoff.png" in printed
    table = (toys / "outputs" / "fpga_tradeoff.csv").read_text().splitlines()
    assert len(table) == 3
    assert "CLIP-VAE" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fpga.corrupt=one_weight"], "ConfigError: fpga.corrupt does not exist"),
        (["+fpga.corrupt=one_weight"], "ConfigError: fpga.corrupt does not exist. Keys of fpga: a"),
        (["fpga.score=mean"], "ConfigError: fpga.score=mean. Cure: it should be 'squared' or 'kl'"),
        (["fpga.outputs=[latent]"], "ConfigError: fpga.outputs.0=latent. Cure: it should be 'sc"),
        (["fpga.inputs={pt_rel: 6}"], "ConfigError: the range 6.* is not a power of two. Cure"),
        (["fpga.inputs={charge: 1}"], "ConfigError: fpga.inputs.charge is no input of the trained"),
        (["fpga.outputs=[quantile]"], "ConfigError: fpga.outputs: a quantile .* Cure: fpga.dec"),
        (["fpga.decorrelate=mass", "fpga.rejection=31"], "ConfigError: fpga.rejection=31 leaves"),
        (
            ["fpga.cycles=8", "fpga.constituents=12"],
            "ConfigError: fpga.cycles=8 does not divide 12",
        ),
        (
            ["fpga.order_aware=true"],
            "ConfigError: fpga.order_aware=true gives .* Cure: fpga.target",
        ),
        (
            ["fpga.target_lut=900", "fpga.order_aware=true", "fpga.cycles=3"],
            "ConfigError: fpga.cycles=3. Cure: it should be 1, 2, 4 or 8",
        ),
        (
            ["fpga.target_lut=900", "fpga.order_aware=true", "fpga.cycles=4", *FOUR],
            "ConfigError: fpga.cycles=4 shares phi among the places .* Cure: fpga.cycles=1",
        ),
        (
            ["fpga.target_lut=900", "checkpoint=trigger/checkpoints/best.ckpt"],
            "ConfigError: fpga.target_lut=900: the encoder of .* Cure: fpga.target_lut=null",
        ),
        (
            ["fpga.target_lut=30", *LEARNED],
            "ExportError: no design came down to fpga.target_lut=30: ",
        ),
        (["fpga.weight_bits=9"], "ConfigError: fpga.weight_bits=9. Cure: it should be less"),
        (["fpga.rejection=1000"], "ConfigError: fpga.rejection=1000 cannot be set with .* Cure"),
        (["run_dir=a b"], "ConfigError: run_dir=a b: make builds the simulation .* Cure: a run"),
        (["checkpoint=none.ckpt"], "CheckpointError: none.ckpt does not exist. Cure: give"),
        (["checkpoint=cut.ckpt"], "CheckpointError: cut.ckpt is no checkpoint .* Cure: use"),
    ],
)
def test_bad_input_is_one_error_with_its_cure(
    toys: Path, made: Path, arguments: list[str], message: str
) -> None:
    whole = (toys / "outputs" / "deepset" / "checkpoints" / "best.ckpt").read_bytes()
    (toys / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    shutil.rmtree(toys / "bad", ignore_errors=True)
    printed = firmware(toys, "fpga=rtl", "run_dir=bad", *arguments, expect=1)
    assert re.search(message, printed), printed
    assert not (toys / "bad" / "fpga.json").exists()
    assert not (toys / "bad" / "rtl").exists()


def test_a_missing_package_is_named(
    toys: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        fpga.importlib.util, "find_spec", lambda name: None if name == "alkaid" else real(name)
    )
    printed = firmware(toys, "run_dir=lacking", expect=1)
    assert "MissingToolError: the command fpga needs alkaid. Cure: make setup" in printed
