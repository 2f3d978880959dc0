"""An end to loops that a damaged ROOT file makes uproot run in: negative lengths lead back."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN

SECONDS = 10.0  # of computing; opening a file takes a hundredth of one


@contextmanager
def limited(path: Path) -> Iterator[None]:
    """Raise BadFileError where the with-block computes for more than `SECONDS`.

    Waiting for a disk does not count. Only the main thread of a process can be stopped so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number
        # inside a callback of the garbage collector an error would be printed and lost
        if frame is None or not frame.f_globals.get("__name__", "").startswith("uproot"):
            return
        problem = f"reading it has computed for {SECONDS:g} s without an end"
        raise BadFileError(path, problem, cure=FETCH_AGAIN)

    handler = signal.signal(signal.SIGVTALRM, stop)
    # again and again: the first may come outside of uproot, or a library may catch it
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 0.05)
    try:
        yield
    finally:
        with contextlib.suppress(BadFileError):  # a last signal on the way out
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
