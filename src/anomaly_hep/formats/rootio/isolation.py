"""Keep the classes that uproot makes for one ROOT file from affecting the next.

uproot makes classes from the type descriptions in a file and keeps them for the whole process, in
place of its built-in ones. After a single flipped bit in a version number, good files could no
longer be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uproot


@contextmanager
def isolated_classes() -> Iterator[None]:
    """Restore uproot's classes after the with-block."""
    classes = dict(uproot.classes)
    versions = {
        name: dict(model.known_versions)
        for name, model in classes.items()
        if hasattr(model, "known_versions")
    }
    try:
        yield
    finally:
        uproot.classes.clear()
        uproot.classes.update(classes)
        for name, known in versions.items():
            classes[name].known_versions = known
