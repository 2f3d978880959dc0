"""Worker processes of a production: they share a list of jobs and never outlive it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from anomaly_hep.errors import SimulationError
from anomaly_hep.simulate.progress import Progress


@dataclass(frozen=True)
class Job:
    """A file to make: its path, its title in messages, the simulator, and the worker's task."""

    path: Path
    title: str
    simulator: str
    task: Mapping[str, Any]


class Pool:
    """Up to `workers` processes that share a list of jobs."""

    def __init__(self, workers: int, progress: Progress) -> None:
        self._workers, self._progress = workers, progress

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Do all jobs; yield the path and the worker's summary of each file once it is finished.

        Raises SimulationError, naming the file, if a worker dies or fails.
        """
        waiting = list(jobs)
        with selectors.DefaultSelector() as selector, _children() as running:
            for _ in range(min(self._workers, len(waiting))):
                worker = Worker(waiting.pop(0))
                running.append(worker)
                selector.register(worker.pipe, selectors.EVENT_READ, worker)
            while running:
                for key, _ in selector.select(timeout=1.0):
                    worker = key.data
                    for message in worker.messages():
                        if "entries" in message:
                            self._progress.advance(message["entries"])
                            continue
                        self._progress.file_done()
                        yield worker.job.path, message
                        if waiting:
                            worker.start(waiting.pop(0))
                        else:
                            selector.unregister(worker.pipe)
                            worker.end()
                            running.remove(worker)
                self._progress.refresh()


class Worker:
    """One worker process; its output goes to a file, which is quoted if it fails."""

    def __init__(self, job: Job) -> None:
        self.pipe, write_end = os.pipe()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "anomaly_hep.simulate.worker", str(write_end), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=[write_end],
            env=_environment(),
        )
        os.close(write_end)
        self._partial_line = b""
        self.start(job)

    def start(self, job: Job) -> None:
        """Hand the worker its next job."""
        self.job = job
        remove_leftovers(job.path)
        assert self._process.stdin is not None
        message = {"path": str(job.path), "simulator": job.simulator, "task": dict(job.task)}
        line = json.dumps(message) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def messages(self) -> list[dict[str, Any]]:
        """Return the worker's new messages; raises SimulationError if it has ended."""
        text = os.read(self.pipe, 65536)
        if not text:
            self._fail()
        *lines, self._partial_line = (self._partial_line + text).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Close the worker's input and wait until it ends."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        os.close(self.pipe)
        self._log.close()

    def kill(self) -> None:
        """Kill the worker and remove its half-written file."""
        self._process.kill()
        self.end()
        remove_leftovers(self.job.path)

    def _fail(self) -> None:
        status = self._process.wait()
        self._log.seek(0)
        output = self._log.read().decode(errors="replace").strip().splitlines()
        how, cure = f"exit status {status}", "read its last words above"
        if status < 0:
            how = f"killed by {signal.Signals(-status).name}"
        if status == -signal.SIGKILL:
            cure = "free memory or use fewer workers, if the system has killed it"
        last = "".join(f"\n  {line}" for line in output[-15:])
        raise SimulationError(
            f"The worker of {self.job.title} died: {how}.{last}\n"
            f"Cure: {cure}; complete files stay, and the same command continues"
        )


def remove_leftovers(path: Path) -> None:
    """Remove half-written files of killed processes: `path`, and what stands beside it."""
    for leftover in path.parent.glob(f".{path.stem}.*.part"):
        owner = leftover.name.split(".")[-2]
        if not _runs(int(owner)):
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent does not."""
    with contextlib.suppress(OSError, IndexError):
        state = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        return state not in "ZX"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _environment() -> dict[str, str]:
    """Return the worker's environment: one thread, and the import path of this process."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": path}


@contextmanager
def _children() -> Iterator[list[Worker]]:
    """Yield a list for workers, all of which are killed at the end of the with-block.

    In the block SIGTERM raises SystemExit, since it would otherwise skip this cleanup.
    """

    def stop(signum: int, _: object) -> None:
        raise SystemExit(128 + signum)

    running: list[Worker] = []
    previous = None
    if _in_main_thread():
        previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield running
    finally:
        for worker in running:
            worker.kill()
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
