"""Published dark-shower images: what is read, what is refused, and that nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import darkshowers, files
from anomaly_hep.formats.darkshowers import as_events, describe, read, write
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.ledger import file_sha256
from anomaly_hep.formats.pixels import LAYOUT
from anomaly_hep.types import Events

COLUMNS = LAYOUT.names


def _images(number: int = 5, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hit = rng.random((number, 72, 58, 3)) < 0.02
    return (hit * rng.exponential(3.0, hit.shape)).astype(np.float32)


def _save(path: Path, **changes: Any) -> Path:
    images = _images()
    content = {
        "images": images,
        "labels": np.array([0, 1, 1, 2, 2], np.float32),
        "masses": np.array([0, 5, 6, 5, 7], np.float32),
        "n_tracks": np.arange(5, dtype=np.float32)[:, None],
    } | changes
    np.savez_compressed(path, **{k: v for k, v in content.items() if v is not None})
    return path


def _dense(events: Events) -> np.ndarray:
    dense = np.zeros((len(events), 72, 58, 3), np.float32)
    event = np.repeat(np.arange(len(events)), events.lengths)
    hits = events.particles
    place = (event, hits["hit_row"], hits["hit_column"], hits["hit_channel"])
    dense[place] = hits["hit_energy"]
    return dense


def test_the_pixels_and_what_they_sum_to(tmp_path: Path) -> None:
    path = _save(tmp_path / "svj_2100_0.npz")
    assert format_of(path) is darkshowers
    assert describe(path).entries == 5
    events, images = read(path, 0, 5, COLUMNS), _images()
    np.testing.assert_array_equal(_dense(events), images)
    said = events.events
    np.testing.assert_array_equal(said["hits"], (images[..., 0] > 0).sum((1, 2)))
    for channel, name in enumerate(("tracker", "ecal", "hcal")):
        np.testing.assert_allclose(
            said[f"energy_{name}"], images[..., channel].sum((1, 2), dtype=np.float64), rtol=1e-6
        )
    np.testing.assert_allclose(said["energy"], images.sum((1, 2, 3), dtype=np.float64), rtol=1e-6)
    np.testing.assert_array_equal(said["n_tracks"], np.arange(5))


def test_a_mass_code_means_nothing_without_its_label(tmp_path: Path) -> None:
    events = read(_save(tmp_path / "a.npz"), 0, 5, ["mass", "label"])
    # 5 is 700 GeV of a SUEP and 2.1 TeV of an SVJ
    assert events.events["mass"].tolist() == [0, 700, 1000, 2100, 4100]
    assert events.events["label"].tolist() == [0, 1, 1, 2, 2]
    assert set(events.events) == {"mass", "label"}
    assert events.particles == {}


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz")
    np.testing.assert_array_equal(_dense(read(path, 2, 4, COLUMNS)), _images()[2:4])
    assert len(read(path, 3, 3, COLUMNS)) == 0


@given(arrays(np.float32, (2, 72, 58, 3), elements=st.floats(0, 1e4, width=32), fill=st.just(0.0)))
def test_sparse_pixels_hold_the_image(images: np.ndarray) -> None:
    np.testing.assert_array_equal(_dense(as_events(images)), images)


def test_empty_and_full_images(tmp_path: Path) -> None:
    images = np.zeros((5, 72, 58, 3), np.float32)
    images[1] = 2.5
    events = read(_save(tmp_path / "a.npz", images=images), 0, 5, COLUMNS)
    assert events.lengths.tolist() == [0, 72 * 58 * 3, 0, 0, 0]
    assert events.events["hits"].tolist() == [0, 72 * 58, 0, 0, 0]
    assert events.events["energy"][1] == 2.5 * 72 * 58 * 3


def test_written_files_are_the_published_format(tmp_path: Path) -> None:
    events = read(_save(tmp_path / "a.npz"), 0, 5, COLUMNS)
    path = tmp_path / "b.npz"
    assert write(path, [events.take(np.arange(3)), events.take(np.arange(3, 5))], {"seed": 1}) == 5
    again = read(path, 0, 5, COLUMNS)
    np.testing.assert_array_equal(_dense(again), _images())
    for name in LAYOUT.events:
        np.testing.assert_array_equal(again.events[name], events.events[name])
    assert describe(path).provenance == {"seed": 1}
    with np.load(path, allow_pickle=False) as content:
        assert content["masses"].tolist() == [0, 5, 6, 5, 7]
        assert content["n_tracks"].shape == (5, 1)


class _Payload:
    """Makes the file `witness` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.witness = _witness(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


def _witness(path: Path) -> Path:
    return path.with_name("was_unpickled")


def _pickled(path: Path) -> Path:
    return _save(path, images=np.array([_Payload(path)] * 5, dtype=object))


def _pickled_labels(path: Path) -> Path:
    return _save(path, labels=np.array([_Payload(path)] * 5, dtype=object))


def _truncated(path: Path) -> Path:
    _save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _short(path: Path) -> Path:
    """Make an archive whose images array ends early, although the archive is whole."""
    _save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["images.npy"] = members["images.npy"][:-100_000]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _flipped(path: Path) -> Path:
    _save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    return path


def _changed(pixel: float) -> np.ndarray:
    images = _images()
    images[3, 10, 20, 1] = pixel
    return images


BAD = {
    "pickled images": (_pickled, "pickled Python objects"),
    "pickled labels": (_pickled_labels, "pickled Python objects"),
    "truncated": (_truncated, "cannot be read"),
    "array ends early": (_short, "ends here"),
    "flipped bit": (_flipped, "cannot be read"),
    "empty": (lambda p: p.touch() or p, "0 bytes"),
    "not an npz": (lambda p: p.write_bytes(b"<html>") and p, "format is unknown"),
    "one channel": (lambda p: _save(p, images=_images()[..., :1]), r"shape \(72, 58, 1\)"),
    "transposed": (lambda p: _save(p, images=_images().swapaxes(1, 2)), r"\(58, 72, 3\)"),
    "text": (lambda p: _save(p, images=_images().astype("U8")), "not numbers"),
    "Fortran order": (lambda p: _save(p, images=np.asfortranarray(_images())), "Fortran"),
    "no labels": (lambda p: _save(p, labels=None), "branch is missing"),
    "too few labels": (lambda p: _save(p, labels=np.zeros(4, "f4")), "for 5 images"),
    "unknown class": (lambda p: _save(p, masses=np.full(5, 7.0)), "label 0.* mass code 7"),
    "NaN pixel": (lambda p: _save(p, images=_changed(np.nan)), "entry 3.*is nan"),
    "infinite pixel": (lambda p: _save(p, images=_changed(np.inf)), "entry 3.*is inf"),
    "negative pixel": (
        lambda p: _save(p, images=_changed(-1.0)),
        "entry 3.*-1.0 must be above",
    ),
    "NaN tracks": (lambda p: _save(p, n_tracks=np.full((5, 1), np.nan)), "n_tracks.*entry 0"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_refused_with_one_error(fault: str, tmp_path: Path) -> None:
    make, message = BAD[fault]
    path = make(tmp_path / "qcd_gensim_0.npz")
    with pytest.raises(BadFileError, match=message) as caught:
        files.read(path, 0, 5, COLUMNS)
    assert str(path) in str(caught.value)
    assert "Cure: " in str(caught.value)
    assert not _witness(path).exists()


def test_columns_and_ranges_that_are_not_there(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz")
    with pytest.raises(BadFileError, match="nearest is 'hit_energy'"):
        read(path, 0, 5, ["hit_energie"])
    with pytest.raises(BadFileError, match="the file has 5"):
        read(path, 0, 6, COLUMNS)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz")
    read(path, 0, 5, COLUMNS)
    _save(path, images=_images(seed=9))
    np.testing.assert_array_equal(_dense(read(path, 0, 5, COLUMNS)), _images(seed=9))


def test_published_files_are_known_by_their_checksum(tmp_path: Path, shared_data: Path) -> None:
    paths = sorted((shared_data / "darkshowers").glob("*/*.npz"))
    assert len(paths) == 12
    assert all(file_sha256(path) in darkshowers.PUBLISHED for path in paths)
    assert file_sha256(_save(tmp_path / "a.npz")) not in darkshowers.PUBLISHED


def test_the_published_excerpt(shared_data: Path) -> None:
    hits, events = [], 0
    for path in sorted((shared_data / "darkshowers" / "train").glob("*.npz")):
        entries = describe(path).entries
        part = read(path, 0, entries, COLUMNS)
        with np.load(path, allow_pickle=False) as content:
            np.testing.assert_array_equal(_dense(part), content["images"])
        hits.append(part.events["hits"])
        events += entries
    assert events == 1002
    assert np.concatenate(hits).mean() == pytest.approx(81.2, abs=0.4)
    masses = {
        path.name: set(read(path, 0, 20, ["mass"]).events["mass"].tolist())
        for path in (shared_data / "darkshowers" / "test").glob("*.npz")
    }
    # the mass is also in the file's name: suep_gensim_h400_..., svj_3100_...
    for name, found in masses.items():
        named = {"qcd": "0", "sue": name.split("_")[2][1:], "svj": name.split("_")[1]}[name[:3]]
        assert found == {float(named)}


@pytest.mark.parametrize("absent", [("labels", "masses"), ("labels", "masses", "n_tracks")])
def test_images_without_labels_are_read(tmp_path: Path, absent: tuple[str, ...]) -> None:
    path = _save(tmp_path / "a.npz", **dict.fromkeys(absent), event=2**63 - 1 - np.arange(5))
    described = describe(path)
    assert not {"label", "mass", *absent} & {*described.columns}
    assert described.columns[-1] == "event"
    assert len(files.read(path, 0, 5, ["hit_energy", "hits"])) == 5
    assert files.stored(path, 1, 2, ["event", "images"])["event"].tolist() == [2**63 - 2]
    with pytest.raises(BadFileError, match="branch 'labels': the branch is missing"):
        read(path, 0, 5, ["mass"])


def test_images_of_an_unknown_class_are_read(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", labels=np.full(5, 3, "f4"))
    assert len(files.read(path, 0, 5, ["hit_energy", "label"])) == 5
    with pytest.raises(BadFileError, match=r"label 3 with mass code .* is no class of this data"):
        read(path, 0, 5, ["mass"])


def test_a_pixel_that_a_rounding_puts_below_zero_is_empty(tmp_path: Path) -> None:
    images = _images()
    images[3, 10, 20, 1] = -1e-7
    events = files.read(_save(tmp_path / "a.npz", images=images), 0, 5, COLUMNS)
    images[3, 10, 20, 1] = 0
    np.testing.assert_array_equal(_dense(events), images)


def test_an_array_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", labels=np.zeros(1_000_000, "f4"))
    with pytest.raises(BadFileError, match=r"shape \(1000000,\) for 5 images"):
        read(path, 0, 5, COLUMNS)
