"""Feed a door with damaged bytes, guided by coverage: `python -m tests.faults.fuzz DOOR [RUNS]`.

Needs the extra `fuzz` (atheris). Allowed outcomes: content that was understood, or an
AnomalyHepError in one line. Anything else is kept below findings/ with its traceback, once for each
place that raised it, and the run goes on; its counts are printed at the end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import atheris

_INSTRUMENTED = ["anomaly_hep.formats", "anomaly_hep.evaluate.loading", "anomaly_hep.arguments",
                 "anomaly_hep.configuration", "uproot"]  # fmt: skip

with atheris.instrument_imports(include=_INSTRUMENTED):
    from anomaly_hep.errors import AnomalyHepError
    from anomaly_hep.formats.rootio import patience
    from tests.faults.doors import DOORS, Door

MEMORY_BYTES = 6 * 2**30


class Fuzzer:
    """One door under test, and what came of the inputs so far."""

    def __init__(self, name: str, findings: Path) -> None:
        self.name, self.findings = name, findings
        self.door: Door = DOORS[name]
        self.counts: Counter[str] = Counter()
        # in memory: a disk would be slower than what is tested
        self.directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.number = 0
        self.slowest = 0.0

    def seed(self, corpus: Path) -> None:
        """Write the good file from which the mutations begin."""
        corpus.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"good{self.door.suffix}"
        self.door.good(path)
        self.door.enter(path)
        (corpus / "good").write_bytes(path.read_bytes())

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        self.number += 1
        # another name each time: the caches know files by their names
        path = self.directory / f"{self.number}{self.door.suffix}"
        path.write_bytes(data)
        begin = time.monotonic()
        try:
            self.door.enter(path)
            self.counts["understood"] += 1
        except AnomalyHepError as error:
            one_line = "\n" not in str(error)
            self.counts["named error" if one_line else "error of several lines"] += 1
            if not one_line:
                self._keep(data, error)
        except Exception as error:  # what is looked for
            self.counts["finding"] += 1
            self._keep(data, error)
        finally:
            self.slowest = max(self.slowest, time.monotonic() - begin)
            path.unlink()
            if self.number % 1000 == 0:
                self.report()

    def _keep(self, data: bytes, error: BaseException) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{self.name}-{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
        self.findings.mkdir(parents=True, exist_ok=True)
        if not (kept := self.findings / place).exists():
            kept.write_bytes(data)
            kept.with_name(f"{place}.txt").write_text(traceback.format_exc())

    def report(self) -> None:
        """Write the counts so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        content = {"inputs": self.number, **self.counts, "peak_MB": round(peak),
                   "slowest_s": round(self.slowest, 2)}  # fmt: skip
        self.findings.mkdir(parents=True, exist_ok=True)
        (self.findings / f"{self.name}.json").write_text(json.dumps(content) + "\n")


def main() -> None:
    name, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    root = Path(os.environ.get("FUZZ", "outputs/fuzz"))
    fuzzer = Fuzzer(name, root / "findings")
    fuzzer.seed(root / f"corpus-{name}")
    patience.SECONDS = 1.0  # many mutations lead in a circle, and would take all the time
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    options = [f"-runs={runs}", "-max_len=60000", "-timeout=60", "-rss_limit_mb=0", "-verbosity=0",
               f"-artifact_prefix={root}/{name}-crash-"]  # fmt: skip
    atheris.Setup([sys.argv[0], str(root / f"corpus-{name}"), *options], fuzzer)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
