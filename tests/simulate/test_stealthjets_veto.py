from __future__ import annotations

import pytest

from anomaly_hep.simulate.stealthjets_spectrum import Spectrum
from anomaly_hep.simulate.stealthjets_veto import LeadingJetVeto, Margins
from tests.simulate.records import Entry, Record

MARGINS = Margins(scale=10, cone=1.0, min_pt=430, margin=0.15)
NARROW = Spectrum(0.0, 400.0, 2000.0, (800.0, 1200.0), (1.0, 1.0))
NOTHING = Record()


@pytest.mark.parametrize(("pt", "hopeless"), [(600, False), (440, False), (420, True), (60, True)])
def test_a_hard_parton_is_asked_for(pt: float, hopeless: bool) -> None:
    veto = LeadingJetVeto(MARGINS, None)
    assert veto.hopeless(NOTHING, Record([Entry(21, pt, 0.3, 1.0)])) is hopeless


def test_what_is_within_the_cone_counts_together() -> None:
    veto = LeadingJetVeto(MARGINS, None)
    near, far = Entry(21, 200, phi=0.6), Entry(21, 200, phi=1.5)
    assert not veto.hopeless(NOTHING, Record([Entry(1, 300), near]))
    assert veto.hopeless(NOTHING, Record([Entry(1, 300), far]))


def test_a_top_counts_before_it_decays_and_leptons_never() -> None:
    veto = LeadingJetVeto(MARGINS, None)
    assert not veto.hopeless(NOTHING, Record([Entry(-6, 500, mass=172.5, status=62)]))
    assert veto.hopeless(NOTHING, Record([Entry(11, 500)]))
    assert veto.hopeless(NOTHING, Record([Entry(1, 500, status=-23)]))
    assert veto.hopeless(NOTHING, NOTHING)


def test_every_hard_process_is_kept() -> None:
    veto = LeadingJetVeto(MARGINS, None)
    assert veto.scale == 10
    assert not veto.wrong_process(NOTHING)


@pytest.mark.parametrize(
    ("pt", "hopeless"), [(600, True), (720, False), (1300, False), (1500, True)]
)
def test_a_spectrum_asks_for_a_jet_that_it_may_keep(pt: float, hopeless: bool) -> None:
    """With a probability of 1 from 800 to 1200 GeV, whatever the event's random number."""
    scattering = Record([Entry(21, pt, phi=0.1 * i) for i in range(7)])
    veto = LeadingJetVeto(MARGINS, NARROW)
    assert veto.hopeless(scattering, Record([Entry(21, pt)])) is hopeless


def test_the_events_own_number_decides() -> None:
    """A probability of a quarter keeps a quarter of the azimuths."""
    veto = LeadingJetVeto(MARGINS, Spectrum(0.0, 400.0, 2000.0, (500.0, 1500.0), (0.25, 0.25)))
    jet = Record([Entry(21, 900)])
    kept = [
        not veto.hopeless(Record([Entry(21, 900, phi=0.00137 * i)] * 7), jet) for i in range(2000)
    ]
    assert sum(kept) / len(kept) == pytest.approx(0.25, abs=0.04)
