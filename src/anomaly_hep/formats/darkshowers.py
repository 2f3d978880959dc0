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
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import npz
from anomaly_hep.formats.checks import (
    FETCH_AGAIN,
    FIX_VALUES,
    check_range,
    missing_branch,
)
from anomaly_hep.formats.chunks import cut, nbytes
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.memory import check_fits
from anomaly_hep.formats.pixels import CHANNELS, COLUMNS, LAYOUT, ROUNDING_GEV, ROWS, sums
from anomaly_hep.types import Events, FileDescription

FORMAT = "dark-shower npz"
SIGN = "an array 'images'"
EVENT_NOUN = "images"
SUFFIXES = (".npz",)
KEYS = ("images", "labels", "masses", "n_tracks")
# the arrays beside the images that a column follows from; a file may lack them
STORED: Mapping[str, tuple[str, ...]] = {
    "label": ("labels",),
    "mass": ("labels", "masses"),
    "n_tracks": ("n_tracks",),
}
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
    if not head.startswith(npz.MAGIC):
        return False
    with npz.opened(path) as archive:
        return "images" in npz.names(archive)


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is not of this format.

    Of the columns, 'label' and 'mass' need the arrays of labels and masses, 'n_tracks' its own.
    """
    with _images(path) as (archive, shape):
        lacking = {name for name, keys in STORED.items() if not {*keys} <= {*npz.names(archive)}}
        columns = [name for name in LAYOUT.names if name not in lacking]
        others = npz.columns_of_events(path, archive, shape[0], (*KEYS, PROVENANCE))
        provenance = _provenance(path, archive)
    return FileDescription(path, FORMAT, shape[0], provenance, (*columns, *others))


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return images `start` to `stop` (exclusive) with exactly the `columns`.

    A file is decoded once, a few hundred images at a time, and cached in its sparse form as long as
    the process uses few files. Raises BadFileError for content that is no such file.
    """
    with _decoded.use(path, make=lambda: _decode(path)) as events:
        check_range(path, start, stop, len(events))
        part, entries = cut(events, start, stop), len(events)
    own = {n: _stored(path, n, entries)[start:stop] for n in columns if n in STORED}
    for name in columns:
        if name not in LAYOUT.names:
            raise missing_branch(path, name, LAYOUT.names)
    return Events(
        part.lengths,
        {name: part.particles[name] for name in columns if name in part.particles},
        {n: own[n] if n in own else part.events[n] for n in columns if n in LAYOUT.events},
    )


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return those of the columns that have one number or text per image, as they are stored."""
    own = [name for name in columns if name in LAYOUT.events and name not in STORED]
    found: dict[str, Any] = dict(read(path, start, stop, own).events) if own else {}
    with _images(path) as (archive, shape):
        others = npz.columns_of_events(path, archive, shape[0], ("images", PROVENANCE))
        for name in columns:
            if name in others:
                found[name] = npz.column(path, archive, name, shape[0])[start:stop]
    for name in {*columns} & {*STORED} - {*found}:
        found[name] = _stored(path, name, shape[0])[start:stop]
    return {name: found[name] for name in columns if name in found}


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
    with _images(path) as (archive, shape):
        parts: list[Events] = []
        for dense in _dense(path, archive, shape):
            parts.append(as_events(dense))
            check_fits(path, sum(map(nbytes, parts)), "images")
    return Events.concatenate(parts) if parts else as_events(np.zeros((0, *_IMAGE), np.float32))


def _stored(path: Path, name: str, entries: int) -> Shaped[np.ndarray, " event"]:
    """Return a column that the file stores beside the images, in the type of LAYOUT."""
    with npz.opened(path) as archive:
        for key in STORED[name]:
            if key not in npz.names(archive):
                raise missing_branch(path, key, npz.names(archive))
        values = [npz.column(path, archive, key, entries) for key in STORED[name]]
    for key, column in zip(STORED[name], values, strict=True):
        if column.dtype.kind not in "biuf" or not np.isfinite(column).all():
            bad = None if column.dtype.kind not in "biuf" else int(np.argmin(np.isfinite(column)))
            problem = f"values are {column.dtype}" if bad is None else f"the value is {column[bad]}"
            raise BadFileError(path, problem, branch=key, entry=bad, cure=FIX_VALUES)
    if name == "mass":
        return _masses(path, *values)
    return LAYOUT.convert(path, name, values[0])


def as_events(dense: Float32[np.ndarray, "image 72 58 3"]) -> Events:
    """Return images as their non-zero pixels, sorted by image, channel, row and column."""
    # a pixel that a rounding puts below zero is empty
    filled = (dense != 0) & ~((dense < 0) & (dense >= -ROUNDING_GEV))
    image, channel, row, column = np.nonzero(filled.transpose(0, 3, 1, 2))
    energy = dense[image, row, column, channel]
    lengths = np.bincount(image, minlength=len(dense))
    hits = (channel, row, column, energy)
    particles = {
        name: values.astype(column.dtype)
        for (name, column), values in zip(LAYOUT.particles.items(), hits, strict=True)
    }
    return Events(lengths, particles, sums(lengths, channel, energy))


@contextmanager
def _images(path: Path) -> Iterator[tuple[zipfile.ZipFile, tuple[int, ...]]]:
    """Yield the open archive and the shape of its images, which are checked."""
    with npz.opened(path) as archive:
        if "images" not in npz.names(archive):
            raise missing_branch(path, "images", npz.names(archive))
        with npz.array(path, archive, "images") as (_, shape, dtype, _):
            _check_images(path, shape, dtype)
        yield archive, shape


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
) -> Iterator[Float32[np.ndarray, "_ 72 58 3"]]:
    """Yield the images in parts."""
    with npz.array(path, archive, "images") as (member, _, dtype, fortran):
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
            yield np.frombuffer(content, dtype).reshape(count, *_IMAGE).astype(np.float32)
        member.read()  # zipfile compares the checksum at the end of the member


def _masses(
    path: Path, labels: Shaped[np.ndarray, " event"], codes: Shaped[np.ndarray, " event"]
) -> Float32[np.ndarray, " event"]:
    """Return the mediator's mass in GeV; what a code means depends on the label."""
    pairs = list(zip(labels.astype(np.int64).tolist(), codes.tolist(), strict=True))
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
    with npz.array(path, archive, PROVENANCE) as (member, _, dtype, _):
        text = np.frombuffer(member.read(), dtype)[0]
    provenance: Mapping[str, Any] = json.loads(str(text))
    return provenance
