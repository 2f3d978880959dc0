"""Worker processes end with the process that started them, even where that is killed."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, the process `parent`, ends.

    The kernel does so on Linux; elsewhere a worker ends when it next writes to its parent.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except AttributeError:
        return
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)
