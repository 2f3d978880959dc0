"""Dark-shower detector images (arXiv:2306.12955): npz files of 72 x 58 pixels in three channels.

An image is (phi, eta, channel) with the channels tracker, ECAL and HCAL; energies in GeV. `read`
returns each image as the list of its non-zero pixels.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Float32, Shaped
from numpy.lib import format as npy

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import (
    FETCH_AGAIN,
    FIX_VALUES,
    check_file,
    check_range,
    missing_branch,
    refusing,
)
from anomaly_hep.formats.chunks import cut, nbytes
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.pixels import CHANNELS, COLUMNS, LAYOUT, ROWS, sums
from anomaly_hep.types import Events, FileDescription

FORMAT = "dark-shower npz"
SIGN = "an array 'images'"
EVENT_NOUN = "images"
SUFFIXES = (".npz",)
MAGIC = b"PK\x03\x04"
KEYS = ("images", "labels", "masses", "n_tracks")
PROVENANCE = "anomaly_hep_provenance"
# GeV by (label, mass code): codes 5 and 6 mean different masses for SUEP (1) and SVJ (2)
MASSES: Mapping[tuple[int, int], float] = {
    (0, 0): 0.0,
    **{(1, i + 1): mass for i, mass in enumerate((125.0, 200.0, 300.0, 400.0, 700.0, 1000.0))},
    **{(2, i + 5): mass for i, mass in enumerate((2100.0, 3100.0, 4100.0))},
}
_IMAGE = (ROWS, COLUMNS, len(CHANNELS))
# SHA-256 of the files in the authors' public repository (Luca96/dark-autoencoders)
PUBLISHED = frozenset({
    "152d61a9ed0703c6a79a7b002e206bdcb89b02c0cbb6eb839b6c2884cf94891c",
    "1f9056196ecf2ba2cdfc88225e8e513b3c8acc199628df914e936e4a596b5693",
    "35ebbdb108cc507f5299de5d254245a4bc80ca398da61470ecc6337ab874c9f3",
    "3f56d68c3293d2ed31e39aa4abb71eb179c8e7f3249379257f6a0a03ece1faeb",
    "6614a500110de82566e41a8ffec55e0cf46bac8b2da32d177be97a45af9c877b",
    "67a6a370ee1ade95a1d86d3f9fdc358158582ff92a96a6e1355093f76efc58da",
    "72ec95729894dbcda9fc51facf24eecdac4a340bb5a9a3ab473bfec0dc0e9868",
    "7d42a68bc29f42413eac38258a32e3208d0a15fca696076a390044e7b03115f1",
    "a8a09faed95c8cf6deb73209a5c56af82b71650f1fc2a1f8ecc55e451f87b27e",
    "e11364f5bc2b32e1887551e41d79b533a85027e48de3f6254a09818dac2114d7",
    "ee1e477cb0458c0ea59f9de66b753183200f386ff18e1b309287bcf9e7b172cf",
    "fe6d9ae717e12d11e494791722c83796f1c27a228dcfc29ed02fd57add28726a",
})  # fmt: skip
_READ_AT_ONCE = 256  # dense images, 50 kB each
_decoded = Kept[Events](2**30, size=nbytes)  # whole files; an image takes 3 kB


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is an npz with images; raises BadFileError for a broken one."""
    if not head.startswith(MAGIC):
        return False
    with _opened(path) as archive:
        return "images.npy" in archive.namelist()


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is not of this format."""
    with _members(path) as archive:
        shape, dtype, _ = _header(path, archive, "images")
        _check_images(path, shape, dtype)
        provenance = _provenance(path, archive)
    return FileDescription(path, FORMAT, shape[0], provenance, LAYOUT.names)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return images `start` to `stop` (exclusive) with exactly the `columns`.

    A file is decoded once, a few hundred images at a time, and cached in its sparse form as long as
    the process uses few files. Raises BadFileError for any content that fails a check.
    """
    for name in columns:
        if name not in LAYOUT.names:
            raise missing_branch(path, name, LAYOUT.names)
    with _decoded.use(path, make=lambda: _decode(path)) as events:
        check_range(path, start, stop, len(events))
        part = cut(events, start, stop)
    return Events(
        part.lengths,
        {name: part.particles[name] for name in columns if name in part.particles},
        {name: part.events[name] for name in columns if name in part.events},
    )


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write images as dense arrays in the published layout and return how many; all or nothing."""
    codes = {(label, mass): code for (label, code), mass in MASSES.items()}
    images, labels, masses, tracks = [], [], [], []
    for part in parts:
        dense = np.zeros((len(part), *_IMAGE), np.float32)
        event = np.repeat(np.arange(len(part)), part.lengths)
        hits = part.particles
        dense[event, hits["hit_row"], hits["hit_column"], hits["hit_channel"]] = hits["hit_energy"]
        images.append(dense)
        labels.append(part.events["label"])
        pairs = zip(part.events["label"].tolist(), part.events["mass"].tolist(), strict=True)
        masses.append(np.array([codes[pair] for pair in pairs]))
        tracks.append(part.events["n_tracks"])
    arrays: dict[str, Any] = {
        "images": np.concatenate(images),
        "labels": np.concatenate(labels).astype(np.float32),
        "masses": np.concatenate(masses).astype(np.float32),
        "n_tracks": np.concatenate(tracks).astype(np.float32)[:, None],
    }
    if provenance is not None:
        arrays[PROVENANCE] = np.array(json.dumps(provenance, sort_keys=True))
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
    return len(arrays["images"])


def _decode(path: Path) -> Events:
    with _members(path) as archive:
        shape, dtype, _ = _header(path, archive, "images")
        _check_images(path, shape, dtype)
        columns = {name: _column(path, archive, name, shape[0]) for name in KEYS[1:]}
        labels = columns["labels"].astype(np.int64)
        masses = _masses(path, labels, columns["masses"])
        parts = []
        for first, dense in _dense(path, archive, shape):
            _check_values(path, dense, first)
            parts.append(as_events(dense))
    events = Events.concatenate(parts) if parts else as_events(np.zeros((0, *_IMAGE), np.float32))
    stored = {"label": labels, "mass": masses, "n_tracks": columns["n_tracks"].astype(np.float32)}
    return Events(events.lengths, events.particles, {**events.events, **stored})


def as_events(dense: Float32[np.ndarray, "image 72 58 3"]) -> Events:
    """Return images as their non-zero pixels, sorted by image, channel, row and column."""
    image, channel, row, column = np.nonzero(dense.transpose(0, 3, 1, 2))
    energy = dense[image, row, column, channel]
    lengths = np.bincount(image, minlength=len(dense))
    hits = (channel, row, column, energy)
    particles = {
        name: values.astype(column.dtype)
        for (name, column), values in zip(LAYOUT.particles.items(), hits, strict=True)
    }
    return Events(lengths, particles, sums(lengths, channel, energy))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    check_file(path, MAGIC, "npz")
    with refusing(path, "cannot be read", cure=FETCH_AGAIN), zipfile.ZipFile(path) as archive:
        yield archive


@contextmanager
def _members(path: Path) -> Iterator[zipfile.ZipFile]:
    with _opened(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        for key in KEYS:
            if key not in names:
                raise missing_branch(path, key, names)
        yield archive


@contextmanager
def _array(
    path: Path, archive: zipfile.ZipFile, key: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any], bool]]:
    """Yield one array, open after its header, with shape, dtype and whether in Fortran order."""
    with archive.open(f"{key}.npy") as member:
        version = npy.read_magic(member)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(member)
        if dtype.hasobject:  # never unpickled
            raise BadFileError(
                path,
                "the array holds pickled Python objects, which could run any code when read",
                branch=key,
                cure="store numbers: np.savez_compressed of float arrays",
            )
        yield member, shape, dtype, fortran


def _header(
    path: Path, archive: zipfile.ZipFile, key: str
) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    with _array(path, archive, key) as (_, shape, dtype, fortran):
        return shape, dtype, fortran


def _check_images(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 4 or shape[1:] != _IMAGE:
        raise BadFileError(
            path,
            f"images of shape {shape[1:]} instead of {_IMAGE}",
            branch="images",
            cure="give down-scaled images (phi, eta, channel) with tracker, ECAL and HCAL; files "
            "of the published folder 'supervised' have one channel",
        )
    if dtype.kind not in "fiu":
        raise BadFileError(
            path, f"values are {dtype}, not numbers", branch="images", cure="store float32"
        )


def _dense(
    path: Path, archive: zipfile.ZipFile, shape: tuple[int, ...]
) -> Iterator[tuple[int, Float32[np.ndarray, "image 72 58 3"]]]:
    """Yield the images in parts, each with the position of its first image."""
    with _array(path, archive, "images") as (member, _, dtype, fortran):
        if fortran:
            raise BadFileError(
                path, "the array is in Fortran order", branch="images", cure="store it in C order"
            )
        size = int(np.prod(_IMAGE)) * dtype.itemsize
        for first in range(0, shape[0], _READ_AT_ONCE):
            count = min(_READ_AT_ONCE, shape[0] - first)
            content = member.read(count * size)
            if len(content) < count * size:
                raise BadFileError(
                    path,
                    "the array ends here",
                    branch="images",
                    entry=first + len(content) // size,
                    cure=FETCH_AGAIN,
                )
            yield first, np.frombuffer(content, dtype).reshape(count, *_IMAGE).astype(np.float32)
        member.read()  # zipfile compares the checksum at the end of the member


def _check_values(path: Path, dense: Float32[np.ndarray, "image 72 58 3"], first: int) -> None:
    bad = ~(dense >= 0) | np.isinf(dense)
    if bad.any():
        place = np.argwhere(bad)[0]
        raise BadFileError(
            path,
            f"the energy of pixel {tuple(place[1:].tolist())} is {dense[tuple(place)]}",
            branch="images",
            entry=first + int(place[0]),
            cure=FIX_VALUES,
        )


def _column(
    path: Path, archive: zipfile.ZipFile, key: str, entries: int
) -> Shaped[np.ndarray, " event"]:
    with _array(path, archive, key) as (member, shape, dtype, _):
        content = member.read()
    if len(shape) == 0 or int(np.prod(shape)) != entries or shape[0] != entries:
        raise BadFileError(
            path, f"shape {shape} for {entries} images", branch=key, cure="store one value an image"
        )
    values = np.frombuffer(content, dtype).reshape(entries)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise BadFileError(
            path, f"the value is {values[bad[0]]}", branch=key, entry=int(bad[0]), cure=FIX_VALUES
        )
    return values


def _masses(
    path: Path, labels: Shaped[np.ndarray, " event"], codes: Shaped[np.ndarray, " event"]
) -> Float32[np.ndarray, " event"]:
    """Return the mediator's mass in GeV; what a code means depends on the label."""
    pairs = list(zip(labels.tolist(), codes.tolist(), strict=True))
    for entry, pair in enumerate(pairs):
        if pair not in MASSES:
            raise BadFileError(
                path,
                f"label {pair[0]} with mass code {pair[1]:g} is no class of this data set",
                branch="masses",
                entry=entry,
                cure="use labels 0 (mass 0), 1 (masses 1 to 6) and 2 (masses 5 to 7)",
            )
    return np.array([MASSES[pair] for pair in pairs], np.float32)


def _provenance(path: Path, archive: zipfile.ZipFile) -> Mapping[str, Any] | None:
    if f"{PROVENANCE}.npy" not in archive.namelist():
        return None
    with _array(path, archive, PROVENANCE) as (member, _, dtype, _):
        text = np.frombuffer(member.read(), dtype)[0]
    provenance: Mapping[str, Any] = json.loads(str(text))
    return provenance
