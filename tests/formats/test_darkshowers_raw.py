"""The raw HDF5 images: down-scaling against TensorFlow's SAME, round trips, faults, the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import darkshowers_raw as raw
from anomaly_hep.formats import files, hdf5
from anomaly_hep.formats.pixels import LAYOUT, downscale
from anomaly_hep.types import Events

EVERYTHING = list(LAYOUT.names)
SHAPE = (286, 360)


def sparse(events: int = 5, most: int = 60, seed: int = 1, label: int = 1) -> Events:
    """Images of distinct pixels, in order; the second of them is empty."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, most, events)
    if events > 1:
        lengths[1] = 0
    places = [np.sort(rng.choice(3 * 286 * 360, n, replace=False)) for n in lengths]
    channel, pixel = np.divmod(np.concatenate([*places, np.zeros(0, np.int64)]), 286 * 360)
    return Events(
        lengths.astype(np.int64),
        {
            "hit_channel": channel.astype(np.int8),
            "hit_eta": (pixel // 360).astype(np.int16),
            "hit_phi": (pixel % 360).astype(np.int16),
            "hit_energy": rng.exponential(5, len(pixel)).astype(np.float32) + 0.1,
        },
        {
            "label": np.full(events, label, np.int64),
            "mass": np.full(events, 125, np.float32),
            "n_tracks": rng.integers(0, 300, events).astype(np.float32),
        },
    )


def dense(events: Events) -> np.ndarray:
    images = np.zeros((len(events), 3, *SHAPE), np.float32)
    event = np.repeat(np.arange(len(events)), events.lengths)
    hit = events.particles
    images[event, hit["hit_channel"], hit["hit_eta"], hit["hit_phi"]] = hit["hit_energy"]
    return images


def same_padding(image: np.ndarray) -> np.ndarray:
    """A 5 x 5 kernel of ones, stride 5, on (phi, eta), as TensorFlow pads it: pixel by pixel."""
    turned = image.T.astype(np.float64)  # (phi, eta)
    out = np.zeros((72, 58))
    for row in range(72):
        for column in range(58):
            for phi in range(5 * row, 5 * row + 5):
                for eta in range(5 * column - 2, 5 * column + 3):
                    if 0 <= eta < 286:
                        out[row, column] += turned[phi, eta]
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "suep.h5"
    raw.write(path, [sparse()], {"origin": "simulated"})
    return path


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    raw._reduced.forget()


# ---- down-scaling


def test_images_are_downscaled_as_the_paper_does(path: Path) -> None:
    events = raw.read(path, 0, 3, EVERYTHING)
    small = np.zeros((3, 3, 72, 58))
    event = np.repeat(np.arange(3), events.lengths)
    hit = events.particles
    small[event, hit["hit_channel"], hit["hit_row"], hit["hit_column"]] = hit["hit_energy"]
    for i, image in enumerate(dense(sparse())[:3]):
        for channel in range(3):
            np.testing.assert_allclose(small[i, channel], same_padding(image[channel]), rtol=1e-7)


@pytest.mark.parametrize(
    ("eta", "column"), [(0, 0), (2, 0), (3, 1), (7, 1), (142, 28), (143, 29), (282, 56), (283, 57)]
)
def test_columns_of_eta_are_symmetric_about_the_centre(eta: int, column: int) -> None:
    for pixel, expected in ((eta, column), (285 - eta, 57 - column)):
        one = np.array([pixel])
        _, hits = downscale(one * 0, one * 0, one, one * 0 + 359, one.astype(np.float32), 1)
        assert (hits["hit_row"][0], hits["hit_column"][0]) == (71, expected)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 200))
def test_energy_and_order_are_kept(seed: int, most: int) -> None:
    events = sparse(4, most + 1, seed)
    event = np.repeat(np.arange(4), events.lengths)
    hit = events.particles
    channel, eta, phi = (hit[n].astype(np.int64) for n in ("hit_channel", "hit_eta", "hit_phi"))
    lengths, small = downscale(event, channel, eta, phi, hit["hit_energy"], 4)
    assert lengths.sum() == len(small["hit_energy"])
    assert small["hit_energy"].sum(dtype=float) == pytest.approx(
        hit["hit_energy"].sum(dtype=float), rel=1e-6
    )
    event = np.repeat(np.arange(4), lengths).astype(np.int64)
    key = ((event * 3 + small["hit_channel"]) * 72 + small["hit_row"]) * 58
    assert (np.diff(key + small["hit_column"]) > 0).all()
    assert {n: v.dtype for n, v in small.items()} == {
        name: column.dtype for name, column in LAYOUT.particles.items()
    }


# ---- what is read


def test_event_columns_are_sums_of_the_hits(path: Path) -> None:
    events, wrote = raw.read(path, 0, 5, EVERYTHING), sparse()
    image = dense(wrote).astype(float)
    assert {n: v.dtype for n, v in events.events.items()} == {
        name: column.dtype for name, column in LAYOUT.events.items()
    }
    for channel, name in enumerate(("tracker", "ecal", "hcal")):
        np.testing.assert_allclose(
            events.events[f"energy_{name}"], image[:, channel].sum((1, 2)), rtol=1e-6
        )
    np.testing.assert_allclose(events.events["energy"], image.sum((1, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(events.events["n_tracks"], wrote.events["n_tracks"])
    event = np.repeat(np.arange(5), events.lengths)
    tracker = events.particles["hit_channel"] == 0
    np.testing.assert_array_equal(events.events["hits"], np.bincount(event[tracker], minlength=5))
    assert events.events["label"].tolist() == [1] * 5
    assert events.events["mass"].tolist() == [125] * 5
    assert events.lengths[1] == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (1, 2), (3, 5)])
def test_any_range_with_exactly_the_columns(start: int, stop: int, path: Path) -> None:
    whole = raw.read(path, 0, 5, EVERYTHING)
    part = raw.read(path, start, stop, ["hit_energy", "hits"])
    assert list(part.particles) == ["hit_energy"]
    assert list(part.events) == ["hits"]
    edges = whole.offsets
    np.testing.assert_array_equal(part.lengths, whole.lengths[start:stop])
    np.testing.assert_array_equal(
        part.particles["hit_energy"], whole.particles["hit_energy"][edges[start] : edges[stop]]
    )


def test_a_file_says_what_it_is(path: Path, tmp_path: Path) -> None:
    found = raw.describe(path)
    assert (found.format, found.entries) == ("dark-shower HDF5 (raw)", 5)
    assert found.provenance == {"origin": "simulated"}
    assert found.columns == tuple(EVERYTHING)
    raw.write(tmp_path / "empty.h5", [])
    assert raw.describe(tmp_path / "empty.h5").entries == 0
    assert raw.describe(tmp_path / "empty.h5").provenance is None


def test_files_are_those_of_the_published_format(path: Path) -> None:
    with h5py.File(path) as file:
        assert sorted(file) == ["ImageECAL", "ImageHCAL", "ImageTrk_PUcorr", "NTrk_PUcorr"]
        stacked = np.stack([file[key][:] for key in raw.KEYS], axis=1)
        assert file["NTrk_PUcorr"].shape == (5,)
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked, dense(sparse()))


def test_zeros_cost_next_to_nothing(tmp_path: Path) -> None:
    raw.write(tmp_path / "many.h5", [sparse(40, 600, seed=2)])
    assert (tmp_path / "many.h5").stat().st_size / 40 < 0.01 * (3 * 286 * 360 * 4)


def test_published_files_have_no_label(tmp_path: Path) -> None:
    path = tmp_path / "published.h5"
    with h5py.File(path, "w") as file:  # not in chunks, and with images that are not read
        for key in (*raw.KEYS, "ImageTrk_noPU"):
            file[key] = np.ones((2, *SHAPE), np.float32)
        file[raw.TRACKS] = np.array([7, 8])
    assert "label" not in raw.describe(path).columns
    events = raw.read(path, 0, 2, ["hits", "n_tracks", "energy"])
    assert events.events["hits"].tolist() == [72 * 58] * 2
    assert events.events["n_tracks"].tolist() == [7, 8]
    assert events.events["energy"].tolist() == [3 * 286 * 360] * 2
    with pytest.raises(BadFileError, match="branch 'label': the branch is missing"):
        raw.read(path, 0, 2, ["label"])


# ---- what is kept


def test_what_was_read_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = raw.read(path, 0, 3, EVERYTHING)
    calls: list[Path] = []
    monkeypatch.setattr(raw, "_reduce", lambda *arguments: calls.append(arguments[0]))
    again = raw.read(path, 0, 3, EVERYTHING)
    assert calls == []
    # what a caller does to its arrays is its own business
    first.particles["hit_energy"][:] = -1
    assert (again.particles["hit_energy"] > 0).all()
    assert (raw.read(path, 0, 3, EVERYTHING).particles["hit_energy"] > 0).all()


def test_a_changed_file_is_read_anew(path: Path) -> None:
    before = raw.read(path, 0, 5, ["hits"])
    raw.write(path, [sparse(seed=9)])
    assert raw.read(path, 0, 5, ["hits"]).events["hits"].tolist() != (
        before.events["hits"].tolist()
    )


# ---- faults

Change = Callable[[h5py.File], Any]


def _set(key: str, value: float) -> Change:
    def change(file: h5py.File) -> None:
        file[key][3, 7, 7] = value

    return change


def _replace(key: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Change:
    def change(file: h5py.File) -> None:
        del file[key]
        file.create_dataset(key, shape, dtype)

    return change


FAULTS: list[tuple[Change, str]] = [
    (lambda f: f.pop("ImageECAL"), "branch 'ImageECAL': the branch is missing"),
    (lambda f: f.pop("NTrk_PUcorr"), "'NTrk_PUcorr': the branch is missing.*"),
    (_replace("ImageHCAL", (5, 360, 286)), r"'ImageHCAL': the shape is \(5, 360, 286\).*Nx286x360"),
    (_replace("ImageHCAL", (4, 286, 360)), "'ImageHCAL': 4 entries here, 5 in 'ImageTrk_PUcorr'"),
    (_replace("NTrk_PUcorr", (5, 1)), r"'NTrk_PUcorr': the shape is \(5, 1\)"),
    (_replace("NTrk_PUcorr", (5,), "S3"), "'NTrk_PUcorr': the shape is .* type S"),
    (lambda f: (f.pop("ImageECAL"), f.create_group("ImageECAL")), "ImageECAL.: it is a group"),
    *((_set(key, value), "'Image[*]', entry 3: the value is (nan|inf)")
      for key, value in (("ImageECAL", np.nan), ("ImageHCAL", np.inf), ("ImageTrk_PUcorr", -0.5))),
    (lambda f: f[raw.TRACKS].__setitem__(2, -1), "'NTrk_PUcorr', entry 2: the value -1.0 must be"),
    (lambda f: f[raw.TRACKS].__setitem__(2, np.nan), "'NTrk_PUcorr', entry 2: the value is nan"),
    (lambda f: f.attrs.__setitem__("label", "QCD"), "branch 'label': the attribute is 'QCD'"),
    (lambda f: f.attrs.__setitem__("mass", np.nan), "branch 'mass': the attribute is"),
    (lambda f: f.attrs.__setitem__(hdf5.PROVENANCE, "{"), "the provenance is no JSON"),
    (lambda f: f.attrs.__setitem__(hdf5.PROVENANCE, "[]"), "the provenance is list, not an object"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_bad_file_says_what_is_wrong(change: Change, message: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(BadFileError, match=message) as raised:  # noqa: PT012 (either may find it)
        raw.describe(path)
        files.read(path, 0, 5, EVERYTHING)
    assert "Cure: " in str(raised.value)
    assert raised.value.path == path


def test_only_the_entries_asked_for_are_looked_at(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["ImageECAL"][3, 7, 7] = np.nan
    assert len(files.read(path, 0, 3, EVERYTHING)) == 3
    assert len(files.read(path, 4, 5, EVERYTHING)) == 1


@pytest.mark.parametrize("kept", [0, 4, 500, 3000])
def test_truncated_files_are_refused(kept: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadFileError, match=r"empty|no HDF5 file|damaged"):
        raw.describe(path)


def test_every_damaged_image_is_noticed_or_read(path: Path) -> None:
    """Bytes turned anywhere: either one BadFileError, or images of numbers that could be."""
    whole = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(4).integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            events = raw.read(path, 0, 5, EVERYTHING)
        except BadFileError:
            refused += 1
        else:
            assert (events.particles["hit_energy"] > 0).all()
    assert refused > 8


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.h5"
    path.write_text("<html>not found</html>")
    with pytest.raises(BadFileError, match=r"no HDF5 file.*web page"):
        raw.describe(path)
    with pytest.raises(BadFileError, match="there is no such file"):
        raw.read(tmp_path / "nothing.h5", 0, 1, ["hits"])


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (3, 2), (-1, 2)])
def test_ranges_outside_are_refused(start: int, stop: int, path: Path) -> None:
    with pytest.raises(BadFileError, match=f"entries {start} to {stop} were asked"):
        raw.read(path, start, stop, ["hits"])


# ---- writing


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hit_eta", 286, "'hit_eta', entry 0: the value 286 must be 0 to 285"),
        ("hit_phi", -1, "'hit_phi', entry 0: the value -1 must be 0 to 359"),
        ("hit_channel", 3, "'hit_channel', entry 0: the value 3 must be 0 to 2"),
        ("hit_energy", 0.0, "'hit_energy', entry 0: the value 0.0 must be above 0"),
        ("hit_energy", np.nan, "'hit_energy', entry 0: the value is nan"),
        ("label", 2, "'label', entry 1: the value 1 differs from 2"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    name: str, value: float, message: str, tmp_path: Path
) -> None:
    events = sparse()
    {**events.particles, **events.events}[name][0] = value
    with pytest.raises(BadFileError, match=message):
        raw.write(tmp_path / "bad.h5", [events])
    assert list(tmp_path.iterdir()) == []


def test_parts_follow_each_other_and_pixels_add_up(tmp_path: Path) -> None:
    events = sparse()
    assert raw.write(tmp_path / "parts.h5", [events, events.take(np.array([2]))]) == 6
    read = raw.read(tmp_path / "parts.h5", 0, 6, EVERYTHING)
    np.testing.assert_array_equal(read.events["energy"][2], read.events["energy"][5])
    twice = Events(
        2 * events.lengths[:1],
        {n: np.tile(c[: events.lengths[0]], 2) for n, c in events.particles.items()},
        {n: c[:1] for n, c in events.events.items()},
    )
    raw.write(tmp_path / "twice.h5", [twice])
    assert raw.read(tmp_path / "twice.h5", 0, 1, ["energy"]).events["energy"][0] == pytest.approx(
        2 * read.events["energy"][0]
    )


def test_the_same_events_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    raw.write(tmp_path / "again.h5", [sparse()], {"origin": "simulated"})
    assert path.read_bytes() == (tmp_path / "again.h5").read_bytes()
