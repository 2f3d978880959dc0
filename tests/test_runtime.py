"""What a signal does to a run."""

from __future__ import annotations

import os
import signal

import pytest

from anomaly_hep.runtime import Termination, endings_restored


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_status_says_which_signal_ended_the_run(number: int, status: int) -> None:
    with endings_restored():
        signal.signal(number, signal.SIG_DFL)  # tests under nohup ignore SIGHUP
        end = Termination()
        end.install()
        with pytest.raises(SystemExit) as left:
            os.kill(os.getpid(), number)
        assert left.value.code == status
        end.deferred = True
        os.kill(os.getpid(), number)
        assert (end.requested, end.status) == (True, status)


def test_a_closed_terminal_does_not_end_what_nohup_started() -> None:
    with endings_restored():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        Termination().install()
        os.kill(os.getpid(), signal.SIGHUP)
