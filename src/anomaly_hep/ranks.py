"""The processes of one distributed training: who is first, who has joined, and who has died.

Each process, a rank, holds a lock on a file of its own in the run directory. The kernel drops the
lock with its process, however that ends, so the others see within seconds that it is gone: they
would otherwise wait for it inside torch, which takes half an hour and hears no signal.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from anomaly_hep.errors import ConfigError, RunDirectoryError
from anomaly_hep.runtime import Termination

PATIENCE = 50.0  # s for another process to join
_PERIOD = 0.25  # s between two looks
_READY, _DONE = "ready", "done"
# what a launcher says in the environment; Lightning reads some of them as soon as it is imported
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK",
              "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID",
              "SLURM_NTASKS_PER_NODE", "JSM_NAMESPACE_RANK")  # fmt: skip


def check_variables(environment: MutableMapping[str, str]) -> None:
    """Take empty variables of a launcher away; raises ConfigError for one that is no number."""
    for name in _VARIABLES:
        text = environment.get(name, "").strip()
        if not text:
            environment.pop(name, None)
        elif not (text.isascii() and text.isdecimal()):
            raise ConfigError(
                f"the environment variable {name}={text!r} is no number of processes or of one of "
                f"them. Cure: unset {name}"
            )


@dataclass(frozen=True)
class Rank:
    """One of the `world` processes of a training, by its number; 0 writes the run directory.

    `launched` says that rank 0 starts the others itself, when the training begins.
    """

    number: int = 0
    world: int = 1
    launched: bool = False


def rank_of(devices: object, nodes: int, environment: Mapping[str, str]) -> Rank:
    """Return this process's rank in a training on so many devices of each of the nodes.

    SLURM says it in SLURM_PROCID, torchrun in RANK; Lightning, which starts the processes of one
    machine by itself, gives them LOCAL_RANK. A training on one device is alone, whatever the
    environment says: tasks of a job may each do a training of their own.
    """
    number = _number_of(devices)
    if number * nodes == 1:
        return Rank()
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Rank(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    tasks = int(environment.get("SLURM_NTASKS", "1"))
    if tasks > 1 and "SLURM_PROCID" in environment:
        return Rank(int(environment["SLURM_PROCID"]), tasks)
    local, node = int(environment.get("LOCAL_RANK", "0")), int(environment.get("NODE_RANK", "0"))
    return Rank(local + node * number, number * nodes, launched=True)


def _number_of(devices: object) -> int:
    if isinstance(devices, list | tuple):
        return len(devices)
    if str(devices).isdigit():
        return int(str(devices))
    import torch

    return max(1, torch.cuda.device_count())  # auto and -1: all there are


class Companions:
    """The other ranks of a run, by the locks that they hold in its directory."""

    def __init__(self, path: Path, rank: Rank, termination: Termination) -> None:
        self.rank, self.termination = rank, termination
        self._files = [path / f".rank-{number}" for number in range(rank.world)]
        self._seen: set[int] = set()
        self._since = time.monotonic()
        self._own: TextIO | None = None

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Hold this rank's lock; raises RunDirectoryError where another process holds it."""
        if self.rank.world == 1:
            yield
            return
        file = self._files[self.rank.number]
        self._own = file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._own.close()
            raise RunDirectoryError(
                f"{file.parent} is in use by another process of rank {self.rank.number}. Cure: "
                "wait for it, stop it, or give run_dir=PATH"
            ) from error
        self._say("")
        try:
            yield
            self._say(_DONE)
        finally:
            self._own.close()

    def ready(self) -> None:
        """Let the others begin: rank 0 has the run directory and the data."""
        if self._own:
            self._say(_READY)

    def wait_for_first(self) -> None:
        """Wait until rank 0 is ready; raises RunDirectoryError if it has ended or never comes."""
        self._since = time.monotonic()
        while (missing := self._missing([0])) is None:
            if self._lives(0) and self._files[0].read_text(encoding="utf-8") == _READY:
                return
            time.sleep(_PERIOD)
        raise RunDirectoryError(missing)

    def wait_for_all(self) -> None:
        """Wait until all ranks have joined; raises RunDirectoryError if one does not."""
        self._since = time.monotonic()
        while not self.rank.launched and len(self._seen) < self.rank.world - 1:
            if missing := self._missing(self._others()):
                raise RunDirectoryError(missing)
            time.sleep(_PERIOD)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """End this process when another rank ends inside of the with-block, with one line.

        Raises RunDirectoryError where the block fails since another rank has ended.
        """
        if self.rank.world == 1:
            yield
            return
        over = threading.Event()
        self._since = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watcher.start()
        try:
            yield
        except Exception as error:
            # torch may see the end of another rank first, as a broken connection
            time.sleep(2 * _PERIOD)
            if missing := self._missing(self._others()):
                raise RunDirectoryError(missing) from error
            raise
        finally:
            over.set()
            watcher.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_PERIOD):
            if missing := self._missing(self._others()):
                if over.wait(2.0):  # both were told to end
                    return
                sys.stderr.write(f"RunDirectoryError: {missing}\n")
                sys.stderr.flush()
                os._exit(self.termination.status if self.termination.requested else 1)

    def _others(self) -> list[int]:
        return [number for number in range(self.rank.world) if number != self.rank.number]

    def _missing(self, numbers: list[int]) -> str | None:
        """Return what is wrong with one of these ranks; None if all live or may still come."""
        for number in numbers:
            if self._lives(number):
                self._seen.add(number)
                continue
            if number in self._seen:
                with suppress(OSError):
                    if self._files[number].read_text(encoding="utf-8") == _DONE:
                        continue
                return (
                    f"process {number} of {self.rank.world} has ended, so this one ends too. Cure: "
                    "see its last words; the same command goes on from what is saved"
                )
            if time.monotonic() - self._since > PATIENCE:
                return (
                    f"process {number} of {self.rank.world} did not join within {PATIENCE:.0f} s. "
                    "Cure: start all of them at once, on directories that they share"
                )
        return None

    def _lives(self, number: int) -> bool:
        """Return whether a rank holds its lock."""
        try:
            with self._files[number].open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # it is not there yet
            return False
        return False

    def _say(self, word: str) -> None:
        assert self._own is not None
        self._own.truncate(0)
        self._own.write(word)
        self._own.flush()
