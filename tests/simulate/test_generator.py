from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.errors import SimulationError
from anomaly_hep.simulate.generator import Generator, Particles

# a process that is quick to start and to run
QUICK = ["Beams:eCM = 13000.", "HardQCD:gg2gg = on", "PhaseSpace:pTHatMin = 400.",
         "PartonLevel:MPI = off"]  # fmt: skip


@pytest.fixture(scope="module")
def batch() -> Particles:
    return Generator(QUICK, 3).batch(20)


def test_momentum_and_charge_are_conserved(batch: Particles) -> None:
    final = batch.final
    sums = [np.bincount(batch.event[final], p[final], 20) for p in batch.momentum]
    np.testing.assert_allclose(sums[:3], 0, atol=0.1)
    np.testing.assert_allclose(sums[3], 13000, atol=0.1)
    np.testing.assert_allclose(
        np.bincount(batch.event[final], batch.charge[final], 20), 2, atol=1e-9
    )


def test_the_record_is_complete(batch: Particles) -> None:
    assert len(batch.lengths) == 20
    assert batch.lengths.sum() == len(batch.pid) == batch.momentum.shape[1] == batch.vertex.shape[1]
    # daughters are in the particle's own event
    assert (batch.daughter2 < batch.lengths[batch.event]).all()
    assert np.isfinite(batch.momentum).all()
    # strange hadrons fly before they decay, the collision itself is at the origin
    assert np.hypot(*batch.vertex[:2]).max() > 1
    assert (batch.vertex[:, batch.status == -23] == 0).all()
    assert set(np.abs(batch.charge)) <= {0.0, 1.0}


def test_the_same_seed_gives_the_same_events(batch: Particles) -> None:
    again = Generator(QUICK, 3).batch(20)
    assert again.momentum.tobytes() == batch.momentum.tobytes()
    assert again.vertex.tobytes() == batch.vertex.tobytes()
    other = Generator(QUICK, 4).batch(20)
    assert other.momentum.shape != batch.momentum.shape


def test_a_misspelt_setting_is_refused_by_name() -> None:
    with pytest.raises(SimulationError, match="PhaseSpace:pTHatMinn = 400"):
        Generator([*QUICK, "PhaseSpace:pTHatMinn = 400."], 1)


def test_settings_that_allow_nothing_are_refused() -> None:
    with pytest.raises(SimulationError, match="switch on at least one process"):
        Generator(["Beams:eCM = 13000."], 1)


@pytest.mark.parametrize("seed", [0, -1, 900_000_001])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(SimulationError, match=f"seed {seed}"):
        Generator(QUICK, seed)


class CountingVeto:
    """Drops two processes of three, and then half of the events at 20 GeV."""

    scale = 20.0

    def __init__(self) -> None:
        self.processes = self.events = 0
        self.sizes: list[int] = []

    def wrong_process(self, _: object) -> bool:
        self.processes += 1
        return self.processes % 3 != 0

    def hopeless(self, _: object, event: object) -> bool:
        self.events += 1
        self.sizes.append(event.size())
        return self.events % 2 == 1


def test_the_veto_is_asked_once_per_event_and_counted() -> None:
    veto = CountingVeto()
    generator = Generator(QUICK, 3, veto=veto)
    assert len(generator.batch(10).lengths) == 10
    assert veto.processes == 3 * veto.events == 6 * 10
    assert generator.vetoed == 40 + 10
    assert generator.generated == generator.requested == 10
    assert generator.skipped == 0
    assert generator.seconds > 0
    # at 20 GeV an event is still small: that is what makes the veto worth it
    assert np.mean(veto.sizes) < 60


def test_pythia_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    Generator(QUICK, 3).batch(2)
    assert capfd.readouterr().out == ""
