"""Compile the emulator package, run its own test, and send events through it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float, Int64

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs
from anomaly_hep.fpga.export import Arrays, Physical
from anomaly_hep.fpga.inputs import TYPE
from anomaly_hep.fpga.stimuli import Stimuli
from anomaly_hep.types import Events

_TOOLS = ("g++", "make")
_CURE = "report this: the C++ that was written does not do what it should"
_EVENTS = 8192  # in physical units at a time


def compile_and_test(directory: Path) -> None:
    """Compile a package with g++ and run its test.

    Raises MissingToolError without g++ or make, ExportError where an answer of the test differs.
    """
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            raise MissingToolError(
                f"the C++ emulator is compiled with {tool}, which is not on PATH. Cure: install "
                "it, for example with apt-get install g++ make"
            )
    programs.run(["make", "-j2", "CXX=g++", "all"], directory, cure=_CURE)
    programs.run(["make", "CXX=g++", "test"], directory, cure=_CURE, log=directory / "test.log")


class Emulator:
    """A compiled package whose stream program takes events and gives integers."""

    def __init__(self, directory: Path, name: str, latents: int) -> None:
        self._program = (directory / "bin" / f"{name}_stream").absolute()
        self._latents = latents

    def outputs(self, stimuli: Stimuli) -> Arrays:
        """Return latent vector, score, quantile and decision of all stimuli."""
        width, parts = self._latents + 3, []
        with self._stream("pins") as (send, receive):
            for block in stimuli.blocks():
                pins = stimuli.pins(block)
                if stimuli.mass is None:
                    pins = np.column_stack([pins, np.zeros(len(pins), np.int64)])
                send([np.array(len(pins)), pins.astype(np.int32)])
                words = receive(np.dtype(np.int64), len(pins) * width)
                parts.append(words.reshape(-1, width))
        columns = np.concatenate(parts)
        latents = columns[:, : self._latents]
        score, quantile, decision = columns[:, self._latents :].T
        found = {"latent": latents, "score": score, "decision": decision}
        return found if stimuli.mass is None else found | {"quantile": quantile}

    def pins(
        self, physical: Physical, stimuli: Stimuli
    ) -> tuple[Int64[np.ndarray, "event port"], Int64[np.ndarray, " column"]]:
        """Return the integers at the ports of events, and how many values saturated.

        The integers are those of `ChipEvents`, that of the mass last; the counts are of each
        feature, and of the mass, if it has a port.
        """
        width, parts, counts = len(stimuli.bits) + (stimuli.mass is None), [], []
        with self._stream("particles") as (send, receive):
            for start in range(0, len(physical), _EVENTS):
                block = physical[start : start + _EVENTS]
                send(_columns(block.particles, block.masses))
                words = receive(np.dtype(np.int32), len(block) * width)
                parts.append(words.reshape(-1, width).astype(np.int64))
                counts.append(receive(np.dtype(np.int64), len(physical.conversion.columns) + 1))
        events = stimuli.events(np.concatenate(parts)[:, : len(stimuli.bits)])
        flat = events.inputs.reshape(len(events), -1)
        saturated = np.sum(counts, axis=0)
        if stimuli.mass is None:
            return flat, saturated[:-1]
        return np.column_stack([flat, events.masses]), saturated

    @contextmanager
    def _stream(self, mode: str) -> Iterator[tuple[_Send, _Receive]]:
        """Start the program, yield how to send and receive, and see that it ends well."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [str(self._program), mode],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            broken = False
            try:
                yield _Send(process.stdin), _Receive(process.stdout)
            except (BrokenPipeError, EOFError):
                broken = True  # the program has said why
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                process.stdout.close()
                status = process.wait()
            errors.seek(0)
            text = errors.read().decode(errors="replace")
        if status or broken:
            raise ExportError(
                f"{self._program} ended with status {status}: {programs.last_lines(text)}. "
                f"Cure: {_CURE}"
            )


class _Send:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __call__(self, arrays: Sequence[np.ndarray]) -> None:
        for array in arrays:
            self._stream.write(np.ascontiguousarray(array).tobytes())
        self._stream.flush()


class _Receive:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __call__(self, kind: np.dtype, count: int) -> np.ndarray:
        size = count * kind.itemsize
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, kind)


def _columns(particles: Events, masses: Float[np.ndarray, " event"]) -> list[np.ndarray]:
    """Return events as the stream program reads them, one column after the other."""
    return [
        np.array(len(particles), np.int64),
        particles.lengths.astype(np.int64),
        *particles.events.values(),
        masses.astype(np.float64),
        *(
            column.astype(np.int32) if name == TYPE else column
            for name, column in particles.particles.items()
        ),
    ]
