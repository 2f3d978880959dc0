"""The integer encoder as an hls4ml project: C++ for a vendor's compiler, and its simulation by g++.

hls4ml does not promise that the C++ computes what the graph says: `simulate` is there to be
compared with the integer encoder, event by event.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.atomic import replace_path
from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import call, qonnx
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers, whole
from anomaly_hep.fpga.integers import IntegerEncoder

NAME = "encoder"
GRAPH, LOG = "encoder.onnx", "hls4ml.log"
# the tool that a backend's writer starts; all others only write files
WRITES_WITH = {"libero": "shls"}
# hls4ml's backends that write no project for a network, or one for a board
NOT_FOR_ENCODERS = {"symbolicexpression", "vivadoaccelerator"}
_LINES = 15


@dataclass(frozen=True)
class Project:
    """A project on disk, and the types of what enters and leaves its top function."""

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
    """Write a project of an encoder: all in parallel, to take a new event in every clock cycle.

    score: as `qonnx.build` takes it. part: the vendor's name of the device, None for hls4ml's.
    examples: integers at the ports and the right answers, for the vendor's simulations. The
    directory must not exist, and does so only when it is whole. Raises ExportError, and
    MissingToolError for a backend that cannot write without its vendor's tool.
    """
    _check(backend)
    directory = directory.resolve()
    if directory.exists():
        raise ExportError(f"{directory} exists already. Cure: remove it, or choose another")
    directory.parent.mkdir(parents=True, exist_ok=True)
    output = encoder.head.output if score is None else score
    width = len(encoder.head.weight) if score is None else 1
    # what Catapult's writer puts beside the project goes away with the scratch directory
    hidden = f".{directory.name}."
    with tempfile.TemporaryDirectory(prefix=hidden, dir=directory.parent) as scratch:
        temporary = Path(scratch) / directory.name
        temporary.mkdir()
        qonnx.write(qonnx.build(encoder, score), temporary / GRAPH)
        _convert(_precisions(encoder, score), temporary, backend, part, clock_ns)
        if examples is not None:
            kinds = {"input_features": encoder.input, "output_predictions": output}
            for (name, kind), integers in zip(kinds.items(), examples, strict=True):
                _save(temporary / "tb_data" / f"tb_{name}.dat", kind.real(integers))
        replace_path(temporary, str(temporary), str(directory))
        temporary.rename(directory)
    return Project(directory, backend, encoder.input, output, width)


def _check(backend: str) -> None:
    """Raise ExportError for a backend that does not exist, MissingToolError for one's tool."""
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


def _save(path: Path, values: Float64[np.ndarray, "event ..."]) -> None:
    """Write values as hls4ml's test benches read them: an event a line, exactly."""
    np.savetxt(path, values.reshape(len(values), -1), fmt="%.17g")


def _convert(
    precisions: Mapping[str, Mapping[str, str]],
    directory: Path,
    backend: str,
    part: str | None,
    clock_ns: float,
) -> None:
    """Let hls4ml write its files; raises ExportError for whatever it raises."""
    with _quiet(directory / LOG):
        from hls4ml.converters import convert_from_onnx_model
        from hls4ml.utils import config_from_onnx_model

        graph = directory / GRAPH
        try:
            config = config_from_onnx_model(qonnx.read(graph), backend=backend)
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
    """Return, by node, the types that hls4ml would guess otherwise.

    These are the inputs' type, accumulators, for which it leaves room that no weights can fill, and
    biases that are not there, for which it takes its default.
    """
    no_bias = {"bias": "ufixed<1,1>"}
    result = {
        qonnx.INPUT: {"result": f"{encoder.input}"[:-1] + ",TRN,SAT>"},
        qonnx.TOTAL: {"accum": str(encoder.sum), **no_bias},
    }
    for layer in encoder.layers:
        bias = {} if layer.bias.any() else no_bias
        result[qonnx.product_of(layer)] = {"accum": str(layer.accumulator), **bias}
    if score is not None:
        result[qonnx.SCORE_SUM] = {"accum": str(score), **no_bias}
    return result


def simulate(
    project: Project, integers: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event output"]:
    """Compile a project with g++ and return the integers that it computes.

    Raises MissingToolError without g++, ExportError where the compiler or the program fails or an
    output is not a whole multiple of its last bit.
    """
    library = compiled(project)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "inputs.npy", Path(scratch) / "outputs.npy"
        np.save(inputs, project.input.real(integers).reshape(len(integers), -1))
        program = [sys.executable, "-P", call.__file__]
        arguments = [str(library), f"{NAME}_double", str(inputs), str(outputs), str(project.width)]
        done = _run(program + arguments, project.directory)
        if not outputs.is_file():
            raise ExportError(
                f"the compiled {project.directory} failed (exit code {done.returncode}). Cure: see "
                f"what it says last:\n{_last(done)}"
            )
        return whole(np.load(outputs), project.output.fraction, str(project.directory))


def compiled(project: Project) -> Path:
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
    done = _run(["bash", script.name], project.directory)
    if done.returncode != 0:
        raise ExportError(
            f"g++ cannot compile {project.directory}. Cure: see what it says last:\n{_last(done)}"
        )
    # its name carries a stamp of the writing
    (library,) = (project.directory / "firmware").glob(f"{NAME}-*.so")
    return library


def _run(command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).splitlines()[-_LINES:])


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send what Python code prints to a file."""
    with (
        log.open("a", encoding="utf-8") as out,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        yield
