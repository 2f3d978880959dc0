"""One open ROOT file with its tree, and the checks that its bytes are as they were written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, check_file, missing_branch, refusing
from anomaly_hep.formats.rootio.basket import Basket, Branch
from anomaly_hep.formats.rootio.isolation import isolated_classes
from anomaly_hep.formats.rootio.patience import limited

MAGIC = b"root"
CHECKSUMS = "anomaly_hep_checksums"


class MissingTreeError(BadFileError):
    """An intact file has no tree of the given name."""


class Tree:
    """The tree `name` of the file `path`; refuses damaged and truncated files."""

    def __init__(self, path: Path, name: str) -> None:
        check_file(path, MAGIC, "ROOT")
        self.path = path
        self.identity = object()  # differs if the same path is opened again
        with (
            refusing(path, "the file is damaged", cure=FETCH_AGAIN),
            isolated_classes(),
            limited(path),
        ):
            # Plain reads, no memory map: a file that shrinks while mapped would kill the process,
            # and mapped pages count as the process's memory. uproot's array cache would hold up to
            # 100 MB per file, in addition to our cache of baskets.
            self._file = uproot.open(
                path,
                array_cache=None,
                handler=uproot.source.file.MultithreadedFileSource,
                use_threads=False,
            )
            self._check_whole()
            tree = self._find(name)
            self.entries = int(tree.num_entries)
            self._uproot_branches = {str(branch.name): branch for branch in tree.branches}
        self._branches: dict[str, Branch] = {}
        self._checksums: dict[str, Sequence[int]] = {}
        self._text_checksums: dict[str, int] = {}
        self._read_checksums()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """All branch names of the tree."""
        return list(self._uproot_branches)

    def json_object(self, key: str) -> dict[str, Any] | None:
        """Return the JSON object stored as a TObjString under `key`, None if there is none."""
        with refusing(self.path, f"'{key}' is damaged", cure=FETCH_AGAIN), isolated_classes():
            text = str(self._file[key]) if key in self._file else None
            content = None if text is None else dict(json.loads(text))
        written = self._text_checksums.get(key)
        if written is not None and (text is None or zlib.crc32(text.encode()) != written):
            problem = f"the checksum of '{key}' does not fit its content"
            raise BadFileError(self.path, problem, cure=FETCH_AGAIN)
        return content

    def branches(self, names: Sequence[str]) -> list[Branch]:
        """Return the branches; refuses missing ones and those without numbers."""
        new = [name for name in names if name not in self._branches]
        if new:
            with isolated_classes():
                self._branches |= {name: self._branch(name) for name in new}
        return [self._branches[name] for name in names]

    def one_each(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return those of the branches with one number per entry, and those with one text."""
        numbers, texts = [], []
        with isolated_classes():
            for name in names:
                problem = "the branch cannot be read"
                with refusing(self.path, problem, branch=name, cure=FETCH_AGAIN):
                    kind = self._uproot_branches[name].interpretation
                if isinstance(kind, uproot.AsStrings):
                    texts.append(name)
                elif isinstance(kind, uproot.AsDtype) and not kind.inner_shape:
                    numbers += [name] if kind.from_dtype.kind in "biuf" else []
        return numbers, texts

    def texts(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return entries of a branch of texts."""
        problem = f"the entries {start} to {stop} are damaged"
        with refusing(self.path, problem, branch=name, cure=FETCH_AGAIN), isolated_classes():
            branch = self._uproot_branches[name]
            values: np.ndarray = branch.array(entry_start=start, entry_stop=stop, library="np")
            return values

    def _branch(self, name: str) -> Branch:
        if name not in self._uproot_branches:
            raise missing_branch(self.path, name, self.names)
        branch = Branch(self.path, self._uproot_branches[name])
        if branch.edges[-1] != self.entries:
            problem = f"{branch.edges[-1]} entries here, {self.entries} in the tree"
            raise BadFileError(self.path, problem, branch=name, cure=FETCH_AGAIN)
        return branch

    def basket(self, branch: Branch, index: int) -> Basket:
        """Return a decoded basket, verified against the checksum that simulated files contain."""
        basket = branch.basket(index)
        written = self._checksums.get(branch.name)
        if written is not None and (index >= len(written) or written[index] != basket.checksum):
            problem = f"the checksum of basket {index} does not fit its content"
            raise BadFileError(self.path, problem, branch=branch.name, cure=FETCH_AGAIN)
        return basket

    def _find(self, name: str) -> Any:
        classes = self._file.classnames(recursive=False, cycle=False)
        if classes.get(name) == "TTree":
            return self._file[name]
        content = ", ".join(f"{cls} '{key}'" for key, cls in sorted(classes.items())) or "nothing"
        raise MissingTreeError(
            self.path,
            f"there is no TTree '{name}'; the file holds {content}",
            cure=f"give a file with its jets in a TTree '{name}'",
        )

    def _check_whole(self) -> None:
        size, end = self.path.stat().st_size, int(self._file.file.fEND)
        if size < end:
            problem = f"the file is truncated: {size} bytes of {end}"
            raise BadFileError(self.path, problem, cure=FETCH_AGAIN)

    def _read_checksums(self) -> None:
        stored = self.json_object(CHECKSUMS)
        if stored is None:
            return
        with refusing(self.path, f"'{CHECKSUMS}' is damaged", cure=FETCH_AGAIN):
            entries = int(stored["entries"])
            self._checksums = dict(stored["baskets"])
            self._text_checksums = dict(stored.get("texts", {}))
        if lost := sorted({*self._checksums} - {*self.names}):
            problem = f"the branch '{lost[0]}' was written, and is there no more"
            raise BadFileError(self.path, problem, cure=FETCH_AGAIN)
        if entries != self.entries:
            problem = f"the tree has {self.entries} entries, the file was written with {entries}"
            raise BadFileError(self.path, problem, cure=FETCH_AGAIN)
