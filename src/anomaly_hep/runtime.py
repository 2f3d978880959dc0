"""What a process asks of its machine: memory that is kept, signals that end a run in order."""

from __future__ import annotations

import ctypes
import signal
from types import FrameType
from typing import Any

TERMINATED = 128 + signal.SIGTERM  # exit status of a run that SIGTERM stopped
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and values of malloc.h
_KEEP, _LARGEST = 2**30, 2**25  # bytes; 32 MiB is the largest mmap threshold glibc takes


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory: activations of MBs are allocated anew at every step.

    By default each is returned to the kernel and faulted in again page by page, a fifth of a
    training step. Other C libraries have no mallopt and are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, _KEEP)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)


class Termination:
    """SIGTERM ends the process with status 143: at once, or where `deferred` work can be saved."""

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False

    def install(self) -> None:
        """Answer SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._answer)

    def _answer(self, number: int, frame: FrameType | None) -> Any:
        del number, frame
        self.requested = True
        if not self.deferred:
            raise SystemExit(TERMINATED)
