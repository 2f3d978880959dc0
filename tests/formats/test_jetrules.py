"""Jets that cannot be are found, by entry, and those that only look odd are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.toys import toy_jets

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, jetclass
from anomaly_hep.formats.judging import findings
from anomaly_hep.types import Events

JETS, BAD = 12, 7  # the entry that is spoilt
Change = Callable[[Events, slice], None]


def scaled(*names: str, by: float) -> Change:
    def change(jets: Events, particles: slice) -> None:
        for name in names:
            if name in jets.particles:
                jets.particles[name][particles] *= by
            else:
                jets.events[name][BAD] *= by

    return change


def put(name: str, value: float) -> Change:
    """Set the value of the jet, or of its first particle."""

    def change(jets: Events, particles: slice) -> None:
        if name in jets.particles:
            jets.particles[name][particles.start] = value
        else:
            jets.events[name][BAD] = value

    return change


def shifted(name: str, by: float) -> Change:
    def change(jets: Events, particles: slice) -> None:
        jets.particles[name][particles] += by

    return change


def absolute(name: str) -> Change:
    def change(jets: Events, particles: slice) -> None:
        np.abs(jets.particles[name][particles], out=jets.particles[name][particles])

    return change


MOMENTA = ("part_px", "part_py", "part_pz", "part_energy", "jet_pt", "jet_energy")
IMPOSSIBLE: dict[str, tuple[Change, str]] = {
    "all in MeV": (scaled(*MOMENTA, by=1000), "50000 GeV"),
    "the jet alone in MeV": (scaled("jet_pt", by=1000), "jet_pt"),
    "the jet alone in TeV": (scaled("jet_pt", by=1e-3), "near the pT of the particles' sum"),
    "energies in MeV": (scaled("part_energy", by=1000), "GeV"),
    "energies in TeV": (scaled("part_energy", by=1e-3), "near the sum of the particles' energies"),
    "transverse momenta in MeV": (
        scaled("part_px", "part_py", by=1e3),
        "pT of the particles",
    ),
    "an energy below the momentum": (scaled("part_energy", by=0.9), "below its momentum"),
    "an energy below zero": (put("part_energy", -0.5), "0 to 50000 GeV"),
    "angles from 0 to 2 pi": (put("part_dphi", 6.2), "-3.14159 to 3.14159 rad"),
    "a phi of no circle": (put("jet_phi", 7.0), "-3.14159 to 3.14159 rad"),
    "an eta beyond reach": (put("part_deta", 100.0), "-10 to 10"),
    "angles of the detector": (shifted("part_deta", 2.0), "from the axis of their jet"),
    "angles shifted a little": (shifted("part_dphi", 0.7), "from the axis of their jet"),
    "a phi turned round": (scaled("part_dphi", by=-1), "are not the angles of the momenta"),
    "an eta with the sign of each particle": (absolute("part_deta"), "not the angles of the mom"),
    "a charge of 0 for a charged type": (put("part_charge", 0.0), "contradicts its type"),
    "a charge of 7": (put("part_charge", 7.0), "-1 to 1 e"),
    "a flag of 2": (put("part_isPhoton", 2), "0 to 1"),
    "two types": (put("part_isPhoton", 1), "has no type, or several"),
    "no type": (put("part_isChargedHadron", 0), "has no type, or several"),
    "an error below zero": (put("part_d0err", -0.1), "not below 0 mm"),
    "a negative tau": (put("jet_tau2", -0.3), "not below 0"),
    "no momentum": (put("jet_pt", 1e-30), "near the pT"),
    "an energy of 0": (put("jet_energy", 0.0), "above 0"),
    "an overflowing momentum": (put("part_px", 1e20), "near the pT"),
    "NaN": (put("part_deta", np.nan), "is nan"),
}
HARMLESS: dict[str, Change] = {
    "an energy that a rounding puts below zero": put("part_energy", -1e-7),
    "pi, as the nearest float32 says it": put("jet_phi", float(np.float32(np.pi))),
    "a tau that a rounding puts below zero": put("jet_tau4", -1e-7),
    "a jet that lost a third of its particles' momentum": scaled("jet_pt", by=1.5),
    "a particle at rest": scaled("part_px", "part_py", "part_pz", by=1.0),
}


def spoilt(change: Change) -> Events:
    jets = toy_jets(JETS, seed=3)
    # the first particle of the jet is a charged hadron
    particles = slice(*(int(edge) for edge in jets.offsets[BAD : BAD + 2]))
    for name in jets.particles:
        if name.startswith("part_is"):
            jets.particles[name][particles.start] = name == "part_isChargedHadron"
    jets.particles["part_charge"][particles.start] = 1
    change(jets, particles)
    return jets


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_jet_is_found_and_no_other(case: str) -> None:
    change, said = IMPOSSIBLE[case]
    found = findings(jetclass.LAYOUT, spoilt(change))
    assert {row for finding in found for row in finding.rows.tolist()} == {BAD}
    errors = [str(finding.error(Path("a.root"), BAD)) for finding in found]
    assert any(said in error for error in errors), errors
    assert all("entry 7" in error and "Cure: " in error for error in errors)


@pytest.mark.parametrize("case", HARMLESS)
def test_roundings_and_cut_jets_are_no_faults(case: str, tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    jets = spoilt(HARMLESS[case])
    # as a file of another writer, whose roundings nobody has removed
    parts = {name: jetclass.LAYOUT[name].rounded(v) for name, v in jets.particles.items()}
    events = {name: jetclass.LAYOUT[name].rounded(v) for name, v in jets.events.items()}
    jetclass.write(path, [Events(jets.lengths, parts, events)])
    assert len(files.read(path, 0, JETS, list(jetclass.LAYOUT.names))) == JETS
    for name, values in parts.items():
        column = jetclass.LAYOUT[name]
        assert column.least is None or values.min() >= column.least


def test_the_first_impossible_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "jets.root"
    jetclass.write(path, [toy_jets(JETS)])
    layout = jetclass.LAYOUT
    jets = toy_jets(JETS)
    jets.events["jet_phi"][[9, 4]] = 5
    jets.particles["part_energy"][jets.offsets[6]] = -3
    first = min(findings(layout, jets), key=lambda finding: int(finding.rows[0]))
    assert (first.branch, int(first.rows[0])) == ("jet_phi", 4)


def test_no_event_breaks_no_rule() -> None:
    assert findings(jetclass.LAYOUT, toy_jets(0)) == []


def test_published_jets_obey_the_rules(shared_data: Path) -> None:
    for path in (shared_data / "jetclass2").glob("JetClassII*"):
        module = files.format_of(path)
        names = [n for n in module.describe(path).columns if n.startswith(("part_", "jet_"))]
        names = [name for name in names if name in module.LAYOUT.names]
        assert len(files.read(path, 0, 100, names)) == 100


def test_what_breaks_a_rule_is_not_written(tmp_path: Path) -> None:
    change, _ = IMPOSSIBLE["energies in TeV"]
    with pytest.raises(BadFileError, match="near the sum"):
        jetclass.write(tmp_path / "jets.root", [spoilt(change)])
    assert list(tmp_path.iterdir()) == []
