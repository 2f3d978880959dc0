"""The early veto, on records written by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from anomaly_hep.simulate.darkmachines_veto import ChannelVeto, showered
from anomaly_hep.simulate.generator import Veto


@dataclass
class Line:
    """A line of Pythia's record."""

    code: int
    x: float
    y: float = 0.0
    z: float = 0.0
    mass: float = 0.0
    state: int = 23
    daughters: tuple[int, int] = (0, 0)
    mother: int = 0

    def id(self) -> int:
        return self.code

    def status(self) -> int:
        return self.state

    def px(self) -> float:
        return self.x

    def py(self) -> float:
        return self.y

    def pz(self) -> float:
        return self.z

    def e(self) -> float:
        return math.sqrt(self.x**2 + self.y**2 + self.z**2 + self.mass**2)

    def phi(self) -> float:
        return math.atan2(self.y, self.x)

    def daughter1(self) -> int:
        return self.daughters[0]

    def daughter2(self) -> int:
        return self.daughters[1]

    def mother1(self) -> int:
        return self.mother


class Record(list[Line]):
    def size(self) -> int:
        return len(self)


BEAM = Line(90, 0, state=-11)


def process(*products: int) -> Record:
    """A W at rest that decays along y, to products of 40 GeV."""
    w = Line(24, 0, mass=80.0, state=-22, daughters=(2, 1 + len(products)))
    lines = [Line(c, 0, 40.0 * (-1) ** i, mother=1) for i, c in enumerate(products)]
    return Record([BEAM, w, *lines])


def test_decays_move_with_their_resonance() -> None:
    event = Record([BEAM, Line(24, 60, mass=80.0, state=62), Line(21, -60, state=62)])
    muon, neutrino, gluon = showered(process(-13, 14), event)
    assert (neutrino.code, muon.code, gluon.code) in {(14, 13, 21), (13, 14, 21)}
    assert muon.px + neutrino.px == pytest.approx(60)
    assert muon.e + neutrino.e == pytest.approx(100)
    # a boost along x leaves what is across
    assert abs(muon.py) == abs(neutrino.py) == pytest.approx(40)


def test_two_equal_resonances_get_their_own_decays() -> None:
    up = Line(23, 0, 100, mass=91, state=-22, daughters=(3, 4))
    down = Line(23, 0, -100, mass=91, state=-22, daughters=(5, 6))
    record = Record([
        BEAM, up, down, Line(12, 0, 60, mother=1), Line(-12, 0, 40, mother=1),
        Line(11, 0, -60, mother=2), Line(-11, 0, -40, mother=2),
    ])  # fmt: skip
    event = Record([Line(23, 0, -100, mass=91, state=62), Line(23, 0, 100, mass=91, state=62)])
    found = sorted((p.code, round(p.py)) for p in showered(record, event))
    assert found == [(11, -60), (11, -40), (12, 40), (12, 60)]


JETS = [Line(21, 300), Line(2, -200), Line(1, 0, 100), Line(21, 0, -60)]


@pytest.mark.parametrize(
    ("bounds", "lines", "hopeless"),
    [
        ({"min_ht": 650}, JETS, False),
        ({"min_ht": 670}, JETS, True),
        ({"min_ht": 650}, [*JETS[:3], Line(21, 0, -60, 1000)], True),  # too far forward
        ({"min_jets": 4, "jet_pt": 50}, JETS, False),
        ({"min_jets": 4, "jet_pt": 70}, JETS, True),
        ({"min_jets": 4, "jet_pt": 50, "leading_pt": 310}, JETS, True),
        # two partons of one jet
        ({"min_jets": 2, "jet_pt": 50}, [Line(21, 100, 10), Line(21, 100, -10)], True),
        ({"min_met": 90}, [Line(12, 100), *JETS], False),
        ({"min_met": 90}, [Line(12, 50), Line(-14, 0, 50), *JETS], True),
        ({"min_met": 90}, [Line(12, 50), Line(15, 0, 50), *JETS], False),  # a tau may be missing
        ({"min_met": 90}, [Line(1000022, 100), *JETS], False),
        ({"min_leptons": 2, "lepton_pt": 13}, [Line(11, 20), Line(-13, 20)], False),
        ({"min_leptons": 2, "lepton_pt": 13}, [Line(11, 20), Line(-13, 12)], True),
        ({"min_leptons": 2, "lepton_pt": 13}, [Line(11, 20), Line(-13, 20, 0, 300)], True),
    ],
)
def test_events_far_from_the_channel_are_dropped(
    bounds: dict[str, float], lines: list[Line], hopeless: bool
) -> None:
    veto = ChannelVeto(scale=20.0, **bounds)
    assert isinstance(veto, Veto)
    assert veto.hopeless(Record([BEAM]), Record(lines)) is hopeless


def test_decays_are_judged_before_the_shower() -> None:
    veto = ChannelVeto(scale=20.0, min_leptons=1)
    assert not veto.wrong_process(process(-13, 14))
    assert veto.wrong_process(process(2, -1))
    missing = ChannelVeto(scale=20.0, min_met=50.0)
    assert not missing.wrong_process(process(-11, 12))
    assert missing.wrong_process(process(2, -1))
    assert not ChannelVeto(scale=20.0, min_ht=50.0).wrong_process(process(2, -1))
