"""Threads of matrix products beside other work: they wait for each other as the machine allows.

OpenMP's threads spin while they wait for one another, which is quickest on a machine of one's own:
sleeping and waking costs a third of a training step. Where others compute too, the thread that is
waited for may not be running, and those that spin keep it from it: two threads on two cores beside
one busy process make a twentieth of their rate. So the process watches how long its threads wait
for a core, and lets them sleep as long as that is often. How many threads there are, and which of
them computes what, stays as it is, and so does every bit of the results.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from functools import cache
from pathlib import Path

import torch

_PERIOD = 0.25  # s between two looks
# shares of the time that threads are ready to run and have no core: above the first they are to
# sleep, below the second for so many looks they may spin again
_CROWDED, _ALONE, _LOOKS = 0.10, 0.02, 8
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # of the user, who is asked first


@cache
def share_cores() -> None:
    """Watch from now on whether others use the machine, where that can be seen and answered."""
    library = _gnu_openmp()
    if library and not any(name in os.environ for name in _CHOICES) and _waited() is not None:
        threading.Thread(target=_watch, args=(library,), daemon=True).start()


def _gnu_openmp() -> ctypes.CDLL | None:
    """Return the GNU OpenMP library that torch brings along; None where it brings another."""
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return ctypes.CDLL(str(found[0])) if found else None


def _waited() -> float | None:
    """Return for how many seconds this process's threads were ready and had no core so far."""
    nanoseconds = 0
    for task in os.scandir("/proc/self/task") if Path("/proc/self/task").is_dir() else ():
        try:
            nanoseconds += int((Path(task.path) / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # a thread that has ended; a kernel without statistics
            continue
    return nanoseconds / 1e9 if nanoseconds else None


def _watch(library: ctypes.CDLL) -> None:
    patience, sleepers = Patience(), None
    waited, looked = _waited() or 0.0, time.monotonic()
    while True:
        time.sleep(_PERIOD)
        now_waited, now = _waited() or 0.0, time.monotonic()
        crowded = patience.is_crowded((now_waited - waited) / (now - looked))
        waited, looked = now_waited, now
        if crowded and torch.get_num_threads() > 1:
            sleepers = sleepers or Sleepers(library)
        elif sleepers:
            sleepers.end()
            sleepers = None


class Patience:
    """Whether the machine is crowded, from the share of time that threads had no core."""

    def __init__(self) -> None:
        self.crowded, self.looks_alone = False, 0

    def is_crowded(self, share: float) -> bool:
        """Return whether it is, after another look."""
        self.looks_alone = self.looks_alone + 1 if share < _ALONE else 0
        if share > _CROWDED:
            self.crowded = True
        elif self.looks_alone >= _LOOKS:
            self.crowded = False
        return self.crowded


class Sleepers:
    """A thread for each core that does nothing, so that OpenMP has more threads than cores.

    Its manual says of GOMP_SPINCOUNT: with more threads than cores, a thread that waits spins a
    hundred times and then sleeps. It is the only way to say so to a running process.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._over = threading.Event()
        started = threading.Event()
        self._owner = threading.Thread(target=self._hold, args=(library, started), daemon=True)
        self._owner.start()
        started.wait()

    def end(self) -> None:
        """Let them go."""
        self._over.set()
        self._owner.join()

    def _hold(self, library: ctypes.CDLL, started: threading.Event) -> None:
        # a parallel region makes the threads, which then belong to the one that asked for it
        nothing = library.omp_get_thread_num
        cores = ctypes.c_uint(len(os.sched_getaffinity(0)) + 1)
        library.GOMP_parallel(nothing, None, cores, ctypes.c_uint(0))
        started.set()
        self._over.wait()
