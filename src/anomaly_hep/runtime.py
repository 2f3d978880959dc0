"""Memory and signals of a process: keep freed memory, collect seldom, end in order on SIGTERM."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

# a scheduler's end of a job, and a terminal that is closed
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
# s from such a signal to the end of a process whose main thread does not hear it
_PATIENCE, _PATIENCE_TO_SAVE = 5.0, 25.0
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
    ignored. Python's own handler waits for the main thread, which may wait for a network, for other
    processes or for a long computation: after some seconds the process then ends without it.
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
            _watch_signals()
            _Watched.termination = self

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        del frame
        self.requested, self.status = True, 128 + number
        if not self.deferred:
            raise SystemExit(self.status)


class _Watched:
    """The termination that the watching thread asks whether it is deferred."""

    termination: Termination | None = None


@cache
def _watch_signals() -> None:
    """Have Python write each signal's number to a pipe, which a thread of its own reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # signals of a forked process are its own
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_end_in_time, args=(reading,), daemon=True).start()


def _end_in_time(reading: int) -> None:
    while number := os.read(reading, 1):
        termination = _Watched.termination
        if number[0] not in ENDINGS or termination is None:
            continue
        deadline = time.monotonic() + (_PATIENCE_TO_SAVE if termination.deferred else _PATIENCE)
        # who catches the end, and gives the signal back to its handler, goes on living
        while _is_handled(number[0], termination):
            if time.monotonic() > deadline:
                os._exit(128 + number[0])
            time.sleep(0.1)


def _is_handled(number: int, termination: Termination) -> bool:
    """Return whether a termination still is what a signal means to this process."""
    handler = signal.getsignal(number)
    return termination is _Watched.termination and handler == termination._handle
