from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from anomaly_hep.simulate.generator import Veto
from anomaly_hep.simulate.htveto import HTVeto


@dataclass
class Line:
    """A line of Pythia's record."""

    code: int
    p_t: float
    eta: float = 0.0
    state: int = 51
    mass: float = 0.0

    def id(self) -> int:
        return self.code

    def status(self) -> int:
        return self.state

    def pT(self) -> float:  # noqa: N802 (Pythia's name)
        return self.p_t

    def pz(self) -> float:
        return self.p_t * math.sinh(self.eta)

    def mT(self) -> float:  # noqa: N802
        return math.hypot(self.p_t, self.mass)


class Record(list[Line]):
    def size(self) -> int:
        return len(self)


VETO = HTVeto(scale=10.0, min_ht=500.0, max_abs_eta=3.0)


@pytest.mark.parametrize(
    ("lines", "hopeless"),
    [
        ([Line(21, 260), Line(2, 250)], False),
        ([Line(21, 240), Line(-2, 250)], True),
        ([Line(21, 240), Line(22, 261, -2.9)], False),
        ([Line(21, 240), Line(21, 261, 3.1)], True),  # too far forward
        ([Line(21, 240), Line(21, 261, state=-23)], True),  # decayed or branched
        ([Line(21, 240), Line(13, 261)], True),  # no parton
        ([Line(25, 300, 5.0, mass=400.0)], False),  # a scalar counts as what it may become
        ([Line(25, 200, mass=400.0)], True),
        ([], True),
    ],
)
def test_events_far_below_the_cut_are_dropped(lines: list[Line], hopeless: bool) -> None:
    assert VETO.hopeless(None, Record(lines)) is hopeless


def test_every_process_is_kept() -> None:
    assert isinstance(VETO, Veto)
    assert not VETO.wrong_process(Record())
