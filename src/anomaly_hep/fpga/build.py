"""One run: from a checkpoint to the exports, the comparison and the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_hep.fpga.design import float_stages, integer_stage, learn, quantized_stage
from anomaly_hep.fpga.exporters import EXPORTERS
from anomaly_hep.fpga.exports import export
from anomaly_hep.fpga.exports import stages as stages_of
from anomaly_hep.fpga.report import Proof, write_report
from anomaly_hep.fpga.source import SPLITS, Source, Timed
from anomaly_hep.fpga.verify import compare, refuse_differences


def build(config: Mapping[str, Any], path: Path, timed: Timed) -> None:
    """Make the firmware of `config` and its proof in a run directory, or what is missing of it.

    Raises ExportError where an export does not equal the quantised model, after the report that
    shows it is written.
    """
    source = Source.open(Path(config["checkpoint"]), config["data_dir"])
    settings = source.settings(config["fpga"])
    jets = {name: source.jets(name, settings, path, timed) for name in SPLITS}
    design = learn(source, settings, jets, path, config["seed"], timed)
    test = jets["test"]
    inputs, beyond = design.integers.quantize(test.inputs)
    with timed("float, Brevitas and integer scores"):
        stages = [
            *float_stages(design, jets["validation"], test, settings["rejection"]),
            quantized_stage(design, test.inputs),
            integer_stage(design, inputs),
        ]
    exports = {
        name: export(name, exporter, design, inputs, settings, path, timed)
        for name, exporter in EXPORTERS.items()
        if name in settings
    }
    for results in exports.values():
        stages += stages_of(results, design)
    comparisons = compare(stages)
    proof = Proof(settings, source, design, test, beyond, comparisons, exports)
    write_report(path, proof)
    refuse_differences(comparisons)
