"""The look of the figures of simulated physics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import mplhep


@contextmanager
def style() -> Iterator[None]:
    """Set the look of figures for a while."""
    with mpl.rc_context():
        style = {**mplhep.style.ROOT, "font.size": 12, "legend.fontsize": 11, "savefig.dpi": 130}
        # the style has a few aliases that rcParams does not know
        mpl.rcParams.update({key: value for key, value in style.items() if key in mpl.rcParams})
        yield
