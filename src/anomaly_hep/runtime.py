"""Memory and signals of a process: keep freed memory, collect seldom, end in order on SIGTERM."""

from __future__ import annotations

import ctypes
import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# a scheduler's end of a job, and a terminal that is closed
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and values of malloc.h
_KEEP, _LARGEST = 2**30, 2**25  # bytes; 32 MiB is the largest mmap threshold glibc takes


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory: activations of MBs are allocated anew at every step.

    By default glibc returns each to the kernel, and faulting it in again page by page takes a fifth
    of a training step. Other C libraries have no mallopt and are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, _KEEP)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)


@contextmanager
def few_collections() -> Iterator[None]:
    """Let the garbage collector look seldom, and at new objects alone.

    Opening a ROOT file makes thousands of objects; searching all of torch for garbage after each
    few of them takes a fifth of the time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def endings_restored() -> Iterator[None]:
    """Give the signals back to their handlers; threads other than the main one have no say."""
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


class Termination:
    """End the process on SIGTERM or SIGHUP: at once, or later if `deferred` to save work.

    `status` is the exit status: 143 after SIGTERM, 129 after SIGHUP. Under `nohup`, SIGHUP is
    ignored.
    """

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False
        self.status = 128 + signal.SIGTERM  # also where another rank got the signal

    def install(self) -> None:
        """Handle the signals from now on, unless this is not the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in ENDINGS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        del frame
        self.requested, self.status = True, 128 + number
        if not self.deferred:
            raise SystemExit(self.status)
