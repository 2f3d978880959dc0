"""The style of the figures of simulated data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import mplhep


@contextmanager
def style() -> Iterator[None]:
    """Set the style of figures inside the with-block."""
    with mpl.rc_context():
        style = {**mplhep.style.ROOT, "font.size": 12, "legend.fontsize": 11, "savefig.dpi": 130}
        # the style has some keys that rcParams does not accept
        mpl.rcParams.update({key: value for key, value in style.items() if key in mpl.rcParams})
        yield
