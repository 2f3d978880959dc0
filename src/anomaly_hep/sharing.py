"""Let OpenMP's threads sleep instead of spin while other processes compete for the cores.

Threads that wait for one another spin, which is fastest on an otherwise idle machine: sleeping and
waking costs a third of a training step. On a busy machine, spinning threads keep the awaited one
from its core: two threads on two cores beside one busy process drop to a twentieth of their rate.
So the process watches how long its threads wait for a core, and lets them sleep while that is
often. The number of threads and their shares of the work stay the same, and so does every bit of
the results.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from functools import cache
from pathlib import Path

import torch

_PERIOD = 0.25  # s between two checks
# shares of the time that ready threads lack a core: above _CROWDED they are to sleep; below _ALONE
# for _LOOKS checks in a row they may spin again
_CROWDED, _ALONE, _LOOKS = 0.10, 0.02, 8
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # a user's own choice has precedence


@cache
def share_cores() -> None:
    """Watch from now on whether others use the cores, if that can be measured and acted on."""
    library = _gnu_openmp()
    if library and not any(name in os.environ for name in _CHOICES) and _waited() is not None:
        threading.Thread(target=_watch, args=(library,), daemon=True).start()


def _gnu_openmp() -> ctypes.CDLL | None:
    """Return the GNU OpenMP library bundled with torch; None if it bundles another."""
    libraries = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return ctypes.CDLL(str(libraries[0])) if libraries else None


def _waited() -> float | None:
    """Return the seconds that this process's threads have been ready without a core so far."""
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
    """Decide whether the machine is crowded, from the share of time that threads lack a core."""

    def __init__(self) -> None:
        self.crowded, self.looks_alone = False, 0

    def is_crowded(self, share: float) -> bool:
        """Return whether the machine is crowded, after another check."""
        self.looks_alone = self.looks_alone + 1 if share < _ALONE else 0
        if share > _CROWDED:
            self.crowded = True
        elif self.looks_alone >= _LOOKS:
            self.crowded = False
        return self.crowded


class Sleepers:
    """An idle thread for each core, so that OpenMP has more threads than cores.

    With more threads than cores, a waiting thread spins a hundred times and then sleeps (OpenMP's
    manual, GOMP_SPINCOUNT). A running process can be told so in no other way.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._over = threading.Event()
        started = threading.Event()
        self._owner = threading.Thread(target=self._hold, args=(library, started), daemon=True)
        self._owner.start()
        started.wait()

    def end(self) -> None:
        """End the idle threads."""
        self._over.set()
        self._owner.join()

    def _hold(self, library: ctypes.CDLL, started: threading.Event) -> None:
        # a parallel region creates the threads, which then belong to the thread that opened it
        nothing = library.omp_get_thread_num
        cores = ctypes.c_uint(len(os.sched_getaffinity(0)) + 1)
        library.GOMP_parallel(nothing, None, cores, ctypes.c_uint(0))
        started.set()
        self._over.wait()
