"""Pythia's processes and spectra: that they start, decay as they say, and have such rates."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_hep.simulate import darkmachines
from anomaly_hep.simulate.darkmachines_events import Part, _generator
from anomaly_hep.simulate.darkmachines_processes import PARTS, SIGNALS, Process
from anomaly_hep.simulate.darkmachines_veto import ChannelVeto
from anomaly_hep.simulate.generator import Generator

FAST = ("Beams:eCM = 13000.", "PartonLevel:ISR = off", "PartonLevel:FSR = off",
        "PartonLevel:MPI = off", "HadronLevel:all = off")  # fmt: skip
SIGNAL = {name: s for signals in SIGNALS.values() for name, s in signals.items()}


def generator(process: Process, veto: ChannelVeto | None = None) -> Generator:
    slha = None if process.spectrum is None else process.spectrum.slha()
    settings = (*process.settings, *FAST)
    return _generator(Part(process.name, 1.0, settings, slha, process.branching, veto), 3)


def test_names_of_files_are_classes() -> None:
    assert set(darkmachines.PREFIXES) == {"SM", *SIGNAL}


@pytest.mark.parametrize("name", sorted(SIGNAL))
def test_signals_make_their_particles(name: str) -> None:
    particles = generator(SIGNAL[name]).batch(10)
    wanted = {"glgl": 1000021, "gluino": 1000021, "stop": 1000006, "stlp": 1000006,
              "cha": 1000024, "monojet": 55, "Zprime": 32}  # fmt: skip
    for beginning, code in wanted.items():
        if name.startswith(beginning):
            assert (np.abs(particles.pid) == code).sum() >= 10
    if name.startswith("sqsq"):
        assert ((np.abs(particles.pid) % 1_000_000 < 5) & (np.abs(particles.pid) > 1e6)).any()
    if name == "stlp_st1000":
        assert np.isin(np.abs(particles.pid), (11, 13)).sum() == 20
        assert not (np.abs(particles.pid) == 1000022).any()


def test_forced_decays_of_hard_bosons_are_in_the_cross_section() -> None:
    """The Particle Data Group's 32.6 % of W to leptons, in WW."""
    found = []
    for forced in ((), ("24:onMode = off", "24:onIfAny = 11 13 15")):
        pythia = Generator(["WeakDoubleBoson:ffbar2WW = on", *forced, *FAST], 3)
        pythia.batch(2000)
        found.append(pythia.cross_section)
    assert found[1] / found[0] == pytest.approx(0.326**2, rel=0.1)


def test_forced_decays_of_charginos_are_not() -> None:
    signal = SIGNALS["2b"]["chacha_cha400_neut60"]
    free = Process(signal.name, signal.settings[:3], signal.spectrum)
    found = []
    for process in (signal, free):
        pythia = generator(process)
        particles = pythia.batch(600)
        found.append(pythia.cross_section)
        # W bosons that decay to a charged lepton
        leptons = np.isin(np.abs(particles.pid[particles.final]), (11, 13, 15)).sum() / 600
        assert leptons == pytest.approx(2.0 if process is signal else 2 * 0.3258, rel=0.12)
    assert found[0] == pytest.approx(found[1], rel=0.1)
    assert signal.branching == pytest.approx(0.3258**2, rel=0.01)


class OfLeptons(ChannelVeto):
    """Looks at the decays alone, wherever their products fly."""

    def hopeless(self, process: Any, event: Any) -> bool:
        del process, event
        return False


def test_the_cross_section_is_that_of_what_the_veto_keeps() -> None:
    """Of WW, 55 % have a charged lepton: 1 - (1 - 0.326)^2."""
    ww = Process("ww", ("WeakDoubleBoson:ffbar2WW = on",))
    found = []
    for veto in (None, OfLeptons(scale=20.0, min_leptons=1)):
        pythia = generator(ww, veto)
        pythia.batch(1500)
        found.append(pythia.cross_section)
    assert found[1] / found[0] == pytest.approx(0.545, rel=0.1)


def test_spectra_say_masses_and_decays() -> None:
    spectra = [p.spectrum for p in chain(SIGNAL.values(), *(p.values() for p in PARTS.values()))]
    for spectrum in filter(None, spectra):
        for channels in spectrum.decays.values():
            assert sum(share for share, _ in channels) == pytest.approx(1)
            for _, products in channels:
                heavy = sum(spectrum.masses.get(abs(code), 0.0) for code in products)
                assert heavy < max(spectrum.masses.values())


def test_a_spectrum_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    generator(SIGNAL["stlp_st1000"]).batch(1)
    assert list(tmp_path.iterdir()) == []
