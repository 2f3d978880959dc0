"""Keep what one ROOT file teaches uproot from the reading of the next.

uproot makes classes from a file's own description of its types and keeps them for the whole
process, where they replace its built-in ones. A single flipped bit in a version number is enough:
from then on good files could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uproot


@contextmanager
def isolated_classes() -> Iterator[None]:
    """Put uproot's classes back as they were, whatever was read inside."""
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
