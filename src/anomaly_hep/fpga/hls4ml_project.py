"""The integer encoder as an hls4ml project: C++ for a vendor's compiler, and its simulation by g++.

hls4ml does not promise that the C++ computes what the graph says: what `simulate` returns is
compared with the integer encoder, event by event.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from qonnx.core.modelwrapper import ModelWrapper

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import call_firmware, programs, qonnx_graph
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers, exact_integers
from anomaly_hep.fpga.integers import IntegerEncoder

NAME = "encoder"
GRAPH, LOG = "encoder.onnx", "hls4ml.log"
# the vendor's tool that a backend starts to write a project; all others only write files
WRITES_WITH = {"libero": "shls"}
# backends that write no project of a network, or one for a board
NOT_FOR_ENCODERS = {"symbolicexpression", "vivadoaccelerator"}


@dataclass(frozen=True)
class Project:
    """A project on disk, and the input and output types of its top function."""

    directory: Path
    backend: str
    input: FixedPoint
    output: FixedPoint
    width: int


def write(
    encoder: IntegerEncoder,
    directory: Path,
    *,
    score: FixedPoint | None = None,
    backend: str = "Vitis",
    part: str | None = None,
    clock_ns: float = 5.0,
    examples: tuple[Integers, Integers] | None = None,
) -> Project:
    """Write an encoder's project: fully parallel, initiation interval of one clock cycle.

    `score` is what `qonnx_graph` takes, `part` the vendor's name of the device (None: hls4ml's
    default), `examples` integers at the ports and the right answers, for the vendor's simulations.
    Raises ExportError, also where the directory exists, and MissingToolError for a backend that
    cannot write without its vendor's tool.
    """
    _check(backend)
    encoder = encoder.with_types_alone("hls4ml")
    directory = directory.resolve()
    if directory.exists():
        raise ExportError(f"{directory} exists already. Cure: remove it, or choose another")
    directory.mkdir(parents=True)
    output = encoder.head.output if score is None else score
    width = len(encoder.head.weight) if score is None else 1
    qonnx_graph.write(qonnx_graph.qonnx_graph(encoder, score), directory / GRAPH)
    _convert(_precisions(encoder, score), directory, backend, part, clock_ns)
    # Catapult's writer packs the project once more, beside it
    directory.with_name(f"{directory.name}.tar.gz").unlink(missing_ok=True)
    if examples is not None:
        types = {"input_features": encoder.input, "output_predictions": output}
        for (name, number), integers in zip(types.items(), examples, strict=True):
            values = number.real(integers).reshape(len(integers), -1)
            np.savetxt(directory / "tb_data" / f"tb_{name}.dat", values, fmt="%.17g")
    return Project(directory, backend, encoder.input, output, width)


def _check(backend: str) -> None:
    """Raise ExportError for a backend that does not exist, MissingToolError without its tool."""
    from hls4ml.backends import get_available_backends

    known = sorted(set(get_available_backends()) - NOT_FOR_ENCODERS)
    if backend.lower() not in known:
        raise ExportError(
            f"hls4ml has no backend {backend} for encoders. Cure: choose one of {', '.join(known)}"
        )
    tool = WRITES_WITH.get(backend.lower())
    if tool is not None and shutil.which(tool) is None:
        raise MissingToolError(
            f"hls4ml's backend {backend} starts {tool}, which is not on PATH. Cure: install the "
            "vendor's tool, or choose another backend"
        )


def _convert(
    precisions: Mapping[str, Mapping[str, str]],
    directory: Path,
    backend: str,
    part: str | None,
    clock_ns: float,
) -> None:
    """Let hls4ml write its files; raises ExportError for any error of hls4ml."""
    with _quiet(directory / LOG):
        from hls4ml.converters import convert_from_onnx_model
        from hls4ml.utils import config_from_onnx_model

        graph = directory / GRAPH
        try:
            config = config_from_onnx_model(ModelWrapper(str(graph)), backend=backend)
            for node, precision in precisions.items():
                config["LayerName"][node]["Precision"].update(precision)
            model = convert_from_onnx_model(
                str(graph),
                output_dir=str(directory),
                project_name=NAME,
                backend=backend,
                io_type="io_parallel",
                part=part,
                clock_period=clock_ns,
                hls_config=config,
            )
            model.write()
        except Exception as error:
            raise ExportError(
                f"hls4ml cannot write the encoder for {backend}: {error}. Cure: choose another "
                "backend, or report this"
            ) from error


def _precisions(encoder: IntegerEncoder, score: FixedPoint | None) -> dict[str, dict[str, str]]:
    """Return by node the types that hls4ml would otherwise guess.

    These are the types of the inputs, of accumulators, which hls4ml makes wider than any weights
    need, and of absent biases, for which it takes its default.
    """
    no_bias = {"bias": "ufixed<1,1>"}
    result = {
        qonnx_graph.INPUT: {"result": f"{encoder.input}"[:-1] + ",TRN,SAT>"},
        qonnx_graph.TOTAL: {"accum": str(encoder.sum), **no_bias},
    }
    for layer in encoder.layers:
        bias = {} if layer.bias.any() else no_bias
        result[qonnx_graph.product_of(layer)] = {"accum": str(layer.accumulator), **bias}
    if score is not None:
        result[qonnx_graph.SCORE_SUM] = {"accum": str(score), **no_bias}
    return result


def simulate(
    project: Project, integers: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event output"]:
    """Compile a project with g++ and return the integers that it computes.

    Raises MissingToolError without g++, ExportError where the compiler or the program fails or an
    output is not a whole multiple of its last bit.
    """
    library = _compiled(project)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "inputs.npy", Path(scratch) / "outputs.npy"
        np.save(inputs, project.input.real(integers).reshape(len(integers), -1))
        program = [sys.executable, "-P", call_firmware.__file__]
        programs.run(
            [*program, library, f"{NAME}_double", inputs, outputs, project.width],
            project.directory,
            cure="report this: the C++ that hls4ml wrote does not run",
        )
        return exact_integers(np.load(outputs), project.output.fraction, str(project.directory))


def _compiled(project: Project) -> Path:
    """Compile a project with g++ and return the library; raises as `simulate` does."""
    if shutil.which("g++") is None:
        raise MissingToolError(
            f"the C++ of {project.directory} is simulated with g++, which is not on PATH. Cure: "
            "install it, for example with apt-get install g++"
        )
    script = project.directory / "build_lib.sh"
    if not script.is_file():
        raise ExportError(
            f"{project.directory} has no build_lib.sh: hls4ml simulates the backend "
            f"{project.backend} with the vendor's compiler alone. Cure: write it for Vitis, or "
            "simulate it with that compiler"
        )
    programs.run(["bash", script.name], project.directory, cure="mend what g++ names")
    # its name has a stamp that hls4ml chose
    (library,) = (project.directory / "firmware").glob(f"{NAME}-*.so")
    return library


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Redirect what Python code prints to a file."""
    with (
        log.open("a", encoding="utf-8") as out,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        yield
