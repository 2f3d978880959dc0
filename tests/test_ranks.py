"""The processes of one training: who is first, and what the others do when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anomaly_hep import ranks
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.ranks import Companions, Rank, rank_of
from anomaly_hep.runtime import Termination

SLURM = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "expected"),
    [
        (1, 1, {}, Rank()),
        (1, 1, SLURM, Rank()),  # each task does a training of its own
        ([2], 1, {"LOCAL_RANK": "3"}, Rank()),
        ("1", 1, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Rank()),
        (2, 1, SLURM, Rank(1, 2)),
        (1, 2, SLURM, Rank(1, 2)),
        (2, 1, {**SLURM, "SLURM_PROCID": "0"}, Rank(0, 2)),
        (2, 1, {}, Rank(0, 2, launched=True)),
        (2, 1, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Rank(0, 2, launched=True)),
        ("2", 1, {"LOCAL_RANK": "1"}, Rank(1, 2, launched=True)),
        ([0, 1], 2, {"LOCAL_RANK": "1", "NODE_RANK": "1"}, Rank(3, 4, launched=True)),
        (2, 1, {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, Rank(1, 2)),
    ],
)
def test_the_rank_is_what_the_launcher_says(devices, nodes, environment, expected):
    assert rank_of(devices, nodes, environment) == expected


OTHER = """
import sys, time
from pathlib import Path
from anomaly_hep.ranks import Companions, Rank
from anomaly_hep.runtime import Termination
one = Companions(Path(sys.argv[1]), Rank(int(sys.argv[2]), 2), Termination())
with one.joined():
    if sys.argv[2] == "0":
        one.ready()
    print("joined", flush=True)
    {then}
print("over", flush=True)
"""


def start(run: Path, number: int, then: str = "time.sleep(60)") -> subprocess.Popen[str]:
    """Start another rank, which does something once it has joined."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER.format(then=then), str(run), str(number)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "joined\n"
    return process


def test_a_rank_that_is_killed_ends_the_other_with_one_line(tmp_path):
    killed = start(tmp_path, 1)
    waits = start(tmp_path, 0, "one.wait_for_all()\n    with one.watched(): time.sleep(60)")
    time.sleep(0.5)
    killed.kill()
    killed.communicate()
    _, said = waits.communicate(timeout=20)
    assert waits.returncode == 1
    assert said.startswith("RunDirectoryError: process 1 of 2 has ended, so this one ends too.")
    assert said.count("\n") == 1


def test_what_fails_as_another_rank_has_ended_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_PERIOD", 0.05)
    killed = start(tmp_path, 1)
    one = Companions(tmp_path, Rank(0, 2), Termination())

    def breaks() -> None:
        with one.joined():
            one.wait_for_all()
            with one.watched():
                killed.kill()
                killed.communicate()
                raise RuntimeError("Connection reset by peer")

    with pytest.raises(RunDirectoryError, match="process 1 of 2 has ended"):
        breaks()


def test_a_rank_that_is_done_leaves_the_other_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_PERIOD", 0.01)
    done = start(tmp_path, 1, "time.sleep(0.3)")
    one = Companions(tmp_path, Rank(0, 2), Termination())
    with one.joined():
        one.wait_for_all()
        with one.watched():
            done.communicate(timeout=20)
            time.sleep(0.1)


def test_rank_1_waits_until_rank_0_is_ready_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "_PERIOD", 0.01)
    monkeypatch.setattr(ranks, "PATIENCE", 0.1)
    one = Companions(tmp_path, Rank(1, 2), Termination())
    with pytest.raises(RunDirectoryError, match=r"process 0 of 2 did not join within"):
        one.wait_for_first()
    first = start(tmp_path, 0)
    one.wait_for_first()
    first.kill()
    first.communicate()
    with pytest.raises(RunDirectoryError, match=r"process 0 of 2 has ended"):
        one.wait_for_first()


def test_a_rank_that_is_there_already_is_refused(tmp_path):
    first, second = (Companions(tmp_path, Rank(1, 2), Termination()) for _ in range(2))
    with (
        first.joined(),
        pytest.raises(RunDirectoryError, match="in use by another process of rank 1"),
        second.joined(),
    ):
        pass


def test_one_process_alone_writes_no_lock(tmp_path):
    alone = Companions(tmp_path, Rank(), Termination())
    with alone.joined(), alone.watched():
        alone.ready()
        alone.wait_for_all()
    assert not list(tmp_path.iterdir())


def test_sigterm_ends_a_process_whose_main_thread_hears_no_signal(tmp_path):
    code = "import ctypes\nfrom anomaly_hep import runtime\nruntime._PATIENCE = 0.3\n"
    code += "runtime.Termination().install()\nprint('here', flush=True)\n"
    # a call that goes on waiting when a signal comes, as those of networks in C do
    code += "lock = ctypes.create_string_buffer(64)\nlibc = ctypes.CDLL(None)\n"
    code += "libc.pthread_mutex_lock(lock)\nlibc.pthread_mutex_lock(lock)\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began < 30


def test_a_worker_ends_with_the_process_that_started_it(tmp_path):
    """As workers of a simulation and of reading do; a killed parent can tell them nothing."""
    worker = "import os, time; from anomaly_hep.lifeline import end_with_parent; "
    worker += "end_with_parent(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    number = int(process.stdout.readline())
    process.kill()
    process.communicate()
    for _ in range(50):
        if not _runs(number):
            return
        time.sleep(0.05)
    os.kill(number, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"
