"""Numbers of images against slow, obvious ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from anomaly_hep.errors import ConfigError, MissingDataError, SimulationError
from anomaly_hep.formats import darkshowers_raw as raw
from anomaly_hep.simulate import jetclass
from anomaly_hep.simulate.darkshowers_processes import PREFIXES
from anomaly_hep.simulate.darkshowers_quantities import (
    Value,
    auc,
    hit_counts,
    profile,
    summary,
)
from anomaly_hep.simulate.darkshowers_validation import (
    check_published,
    momentum_table,
    read_classes,
    report,
    tables,
)
from anomaly_hep.types import Events


def images(label: int, number: int = 12, seed: int = 1, tracks: int = 30) -> Events:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(tracks, 2 * tracks, number)
    total = int(lengths.sum())
    event = np.repeat(np.arange(number), lengths)
    pixel = rng.permutation(286 * 360)[:total]
    channel = rng.choice(3, total, p=[0.6, 0.3, 0.1])
    order = np.lexsort((pixel, channel, event))
    return Events(
        lengths.astype(np.int64),
        {
            "hit_channel": channel[order].astype(np.int8),
            "hit_eta": (pixel // 360)[order].astype(np.int16),
            "hit_phi": (pixel % 360)[order].astype(np.int16),
            "hit_energy": rng.exponential(9, total).astype(np.float32) + 0.2,
        },
        {
            "label": np.full(number, label, np.int64),
            "mass": np.zeros(number, np.float32),
            "n_tracks": lengths.astype(np.float32),
        },
    )


def fill(directory: Path, provenance: dict[str, str] | None, seed: int = 1) -> Path:
    for name, label, tracks in (("QCD", 0, 30), ("SUEP400", 1, 60), ("SVJ3100", 2, 40)):
        path = directory / "test" / f"{PREFIXES[name]}_000.h5"
        raw.write(path, [images(label, seed=seed, tracks=tracks)], provenance)
    return directory


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    return fill(tmp_path / "simulated", {"origin": "simulated"})


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return fill(tmp_path / "published", None, seed=2)


# ---- numbers


def test_the_auc_is_that_of_pairs_with_ties_halved() -> None:
    rng = np.random.default_rng(1)
    background, signal = rng.integers(0, 20, 200), rng.integers(5, 25, 70)
    found = auc(background, signal)
    labels = np.repeat([0, 1], [200, 70])
    assert found.value == pytest.approx(roc_auc_score(labels, np.concatenate([background, signal])))
    # DeLong's error against that of many samples
    many = [auc(rng.integers(0, 20, 200), rng.integers(5, 25, 70)).value for _ in range(300)]
    assert found.error == pytest.approx(np.std(many), rel=0.2)


def test_profiles_are_those_of_pairs_of_pixels(simulated: Path) -> None:
    events = read_classes(simulated, simulated=True)["QCD"]
    radii = np.array([0.0, 0.3, 1.0, 5.0])
    hits, share = profile(events, radii)
    edges = events.offsets
    for i in range(len(events)):
        rows = range(edges[i], edges[i + 1])
        hit = [r for r in rows if events.particles["hit_channel"][r] == 0]
        energy = events.particles["hit_energy"]
        top = max(hit, key=lambda r: energy[r])
        counts, sums = [0, 0, 0], [0.0, 0.0, 0.0]
        for r in hit:
            d_phi = abs(int(events.particles["hit_row"][r]) - int(events.particles["hit_row"][top]))
            d_eta = int(events.particles["hit_column"][r]) - int(
                events.particles["hit_column"][top]
            )
            away = math.hypot(min(d_phi, 72 - d_phi) * 2 * math.pi / 72, d_eta * 0.087)
            for ring in range(3):
                if radii[ring] <= away < radii[ring + 1]:
                    counts[ring] += 1
                    sums[ring] += energy[r]
        assert hits[i].tolist() == counts
        np.testing.assert_allclose(
            share[i], np.array(sums) / sum(energy[r] for r in hit), rtol=1e-5
        )


def test_events_without_a_track_have_an_empty_profile(tmp_path: Path) -> None:
    one = images(0, 3)
    one.particles["hit_channel"][: one.lengths[0]] = 2
    path = tmp_path / "test" / f"{PREFIXES['QCD']}_000.h5"
    raw.write(path, [one], {"origin": "simulated"})
    events = read_classes(tmp_path, simulated=True)["QCD"]
    hits, share = profile(events, np.array([0.0, 10.0]))
    assert hits[0, 0] == share[0, 0] == 0
    np.testing.assert_allclose(share[1:, 0], 1)


def test_counts_add_up(simulated: Path) -> None:
    events = read_classes(simulated, simulated=True)["SUEP400"]
    counts = hit_counts(events)
    np.testing.assert_array_equal(counts.sum(axis=1), events.lengths)
    np.testing.assert_array_equal(counts[:, 0], events.events["hits"])
    numbers = summary({"QCD": events, "SUEP400": events})
    assert numbers["SUEP400"]["auc"].value == 0.5
    assert "auc" not in numbers["QCD"]
    assert numbers["QCD"]["hits"].value == pytest.approx(events.events["hits"].mean())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(81.234, 0.75), "81.23 ± 0.75"),
        (Value(749.2, 14.2), "749 ± 14"),
        (Value(0.9971, 0.0021), "0.997 ± 0.002"),
        (Value(1.0, 0.0), "1.0 ± 0.0"),
    ],
)
def test_values_show_two_digits_of_their_error(value: Value, text: str) -> None:
    assert str(value) == text


# ---- the command's end


def test_the_figure_and_the_tables(simulated: Path, published: Path, tmp_path: Path) -> None:
    both = report(simulated, tmp_path / "physics.png", published)
    assert (tmp_path / "physics.png").read_bytes().startswith(b"\x89PNG")
    assert sum("| simulated |" in line for line in both) == 3
    assert sum("| published |" in line for line in both) == 3 + 1
    assert any("above 900" in line for line in both)
    ours, theirs = (
        read_classes(d, simulated=s) for d, s in ((simulated, True), (published, False))
    )
    assert tables(ours, theirs) == both[2 : 2 + len(tables(ours, theirs))]
    assert len(tables(ours, None)) == 2 + 3
    # shares of events in bins are of all events
    assert len(momentum_table(ours["QCD"], theirs["QCD"], [0.0, 500.0, np.inf])) == 4


def test_published_npz_files_are_read(shared_data: Path) -> None:
    classes = read_classes(shared_data / "darkshowers", simulated=False)
    assert len(classes["QCD"]) == 1339
    numbers = summary(classes)
    assert numbers["QCD"]["hits"].value == pytest.approx(81.07, abs=0.01)
    assert numbers["SUEP1000"]["tracks"].value == pytest.approx(366.7, abs=0.1)
    check_published(shared_data / "darkshowers")


def test_published_and_simulated_are_never_mixed_up(simulated: Path, published: Path) -> None:
    with pytest.raises(SimulationError, match="was not simulated here"):
        read_classes(published, simulated=True)
    with pytest.raises(SimulationError, match="was simulated here"):
        check_published(simulated)


def test_directories_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="data=darkshowers"):
        report(tmp_path, tmp_path / "physics.png")
    check_published(None)
    path = tmp_path / "test" / f"{PREFIXES['SUEP400']}_000.h5"
    raw.write(path, [images(1)])
    with pytest.raises(MissingDataError, match="has no QCD images"):
        check_published(tmp_path)


def test_jets_have_nothing_to_compare_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave compare out"):
        jetclass.report(tmp_path, tmp_path / "physics.png", tmp_path)
