"""The export fpga=emulator: the C++ package, its own test, and its answers for all events."""

from __future__ import annotations

import numpy as np

from anomaly_hep.fpga import emulator
from anomaly_hep.fpga.design_settings import EmulatorSettings
from anomaly_hep.fpga.emulator_run import Emulator, compile_and_test
from anomaly_hep.fpga.export import ExportJob, ExportResults

_HEADER, _PYTHON = "inputs: C++ header, g++", "inputs: numpy"
_EMULATOR = "C++ emulator: g++"


def emulator_flow(job: ExportJob) -> ExportResults:
    """Write, compile and test the package; convert the data's inputs and emulate all events."""
    own, results, stimuli = job.settings.emulator, ExportResults(), job.proof.stimuli
    assert isinstance(own, EmulatorSettings)
    with job.timed("emulator: write, compile and test"):
        emulator.write(job.design, job.proof, job.directory, own.test_events)
        compile_and_test(job.directory)
    name = emulator.name_of(job.design, job.proof.physical)
    program = Emulator(job.directory, name, len(job.design.integers.head.weight))
    if job.proof.physical is None:
        results.remarks.append(
            "What these data have of a particle or of the whole event is not known in physical "
            "units, so the emulator begins at the pins: no conversion of inputs is part of the "
            "proof."
        )
    else:
        physical = job.proof.physical
        with job.timed("emulator: inputs from physical units"):
            pins, _ = physical.conversion(physical.particles)
            flat = pins.reshape(len(pins), -1)
            if physical.mass is not None:
                flat = np.column_stack([flat, physical.mass.quantize(physical.masses)])
            results.integers[_PYTHON] = {"inputs": flat}
            header, saturated = program.pins(physical, stimuli)
            results.integers[_HEADER] = {"inputs": header}
        names = [column.feature.name for column in physical.conversion.columns]
        names += ["mass"] * (physical.mass is not None)
        found = ", ".join(f"{n} {count:,}" for n, count in zip(names, saturated, strict=True))
        results.remarks.append(f"Saturated inputs of the test events, in the C++ header: {found}.")
    with job.timed("emulator: all events"):
        results.integers[_EMULATOR] = program.outputs(stimuli)
    return results
