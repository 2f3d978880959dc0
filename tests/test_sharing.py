"""Threads sleep while the machine is crowded, and spin when it is theirs again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from anomaly_hep.sharing import Patience, Sleepers, _gnu_openmp

TASKS = Path("/proc/self/task")
needs_linux = pytest.mark.skipif(not TASKS.is_dir(), reason="there is no /proc")
needs_gnu_openmp = pytest.mark.skipif(_gnu_openmp() is None, reason="torch has another OpenMP")


def _crowded(shares: Sequence[float]) -> list[bool]:
    patience = Patience()
    return [patience.is_crowded(share) for share in shares]


def test_a_share_of_waiting_makes_it_crowded_at_once() -> None:
    assert _crowded([0.0, 0.01, 0.09, 0.11]) == [False, False, False, True]


def test_it_is_alone_only_after_some_quiet() -> None:
    assert _crowded([0.5, *[0.0] * 7, 0.05, *[0.0] * 8]) == [True] * 16 + [False]


@needs_linux
def test_waiting_for_a_core_is_seen() -> None:
    """Two busy threads on one core wait for half the time."""
    code = """
import os, subprocess, sys, time
from anomaly_hep.sharing import _waited
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
begin, before = time.monotonic(), _waited() or 0.0
while time.monotonic() - begin < 2:
    pass
print((_waited() - before) / (time.monotonic() - begin))
other.kill()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) > 0.1


@needs_linux
@needs_gnu_openmp
def test_sleepers_are_a_thread_for_each_core_and_leave() -> None:
    library = _gnu_openmp()
    assert library is not None
    before = len(list(TASKS.iterdir()))
    sleepers = Sleepers(library)
    cores = len(os.sched_getaffinity(0))
    assert len(list(TASKS.iterdir())) == before + 1 + cores
    sleepers.end()
    for _ in range(500):  # they leave behind the thread that is joined
        if len(list(TASKS.iterdir())) == before:
            return
        time.sleep(0.02)
    raise AssertionError("they are still there")


@needs_linux
@needs_gnu_openmp
def test_products_are_the_same_bits_with_sleepers() -> None:
    code = """
import torch
from anomaly_hep.sharing import Sleepers, _gnu_openmp
torch.set_num_threads(2)
left, right = torch.randn(4096, 64), torch.randn(64, 64)
def results(): return [left @ right, (left @ right).sum(0), left.exp().sum()]
before = results()
sleepers = Sleepers(_gnu_openmp())
during = results()
sleepers.end()
after = results()
assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(before, during, after))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_set_stays(name: str) -> None:
    code = (
        "import threading; from anomaly_hep.sharing import share_cores; share_cores(); "
        "print(threading.active_count())"
    )
    clean = {n: v for n, v in os.environ.items() if n not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    for environment in (clean, clean | {name: "10000" if "GOMP" in name else "ACTIVE"}):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        watched = environment is clean and TASKS.is_dir() and _gnu_openmp() is not None
        assert int(run.stdout) == (2 if watched else 1)
