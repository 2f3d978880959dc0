"""The firmware flows: each writes projects, runs them on events, and reports their cost."""

from __future__ import annotations

from pathlib import Path

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import (
    finn_environment,
    finn_estimate,
    finn_graph,
    hls4ml_project,
    qonnx_graph,
    vitis,
)
from anomaly_hep.fpga.design_settings import FINNSettings, HLS4MLSettings
from anomaly_hep.fpga.emulator_flow import emulator_flow
from anomaly_hep.fpga.export import ExportJob, ExportResults, Flow
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.rtl_flow import rtl_flow

# events that are given to the vendors' own simulations
_EXAMPLES = slice(100)
_XILINX = ("Vitis", "Vivado")


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
