"""Dark-shower detector images at full resolution (arXiv:2306.12955): HDF5, three dense images.

`read` returns the non-zero pixels of the paper's down-scaled images: 72 rows of phi by 58 columns
of eta, each the sum of 5 x 5 pixels. Units: GeV, transverse energy (tracker: transverse momentum).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5
from anomaly_hep.formats.checks import (
    FETCH_AGAIN,
    check_range,
    missing_branch,
    refusing,
)
from anomaly_hep.formats.chunks import nbytes
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Column, Layout
from anomaly_hep.formats.pixels import (
    CHANNELS,
    ETA_PIXELS,
    PHI_PIXELS,
    ROUNDING_GEV,
    downscale,
    sums,
)
from anomaly_hep.formats.pixels import LAYOUT as PIXELS
from anomaly_hep.types import Events, FileDescription

FORMAT = "dark-shower HDF5 (raw)"
SIGN = "keys such as 'ImageTrk_PUcorr'"
EVENT_NOUN = "images"
SUFFIXES = (".h5",)
PUBLISHED: frozenset[str] = frozenset()

# one key per channel; published files also hold images with the pile-up's tracks, not read here
KEYS = ("ImageTrk_PUcorr", "ImageECAL", "ImageHCAL")
TRACKS = "NTrk_PUcorr"
SHAPES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(KEYS, (ETA_PIXELS, PHI_PIXELS)),
    TRACKS: (),
}
LAYOUT = replace(PIXELS, stored={"hit_energy": "Image*", "n_tracks": TRACKS})
# only in simulated files, one value for all events
ATTRIBUTES = ("label", "mass")
# the columns that `write` takes: pixels of the full-resolution images
WRITTEN = Layout(
    particles={
        "hit_channel": LAYOUT["hit_channel"],
        "hit_eta": Column(np.dtype(np.int16), least=0, most=ETA_PIXELS - 1),
        "hit_phi": Column(np.dtype(np.int16), least=0, most=PHI_PIXELS - 1),
        "hit_energy": LAYOUT["hit_energy"],
    },
    events={name: LAYOUT[name] for name in (*ATTRIBUTES, "n_tracks")},
)

# a thousand QCD events take 3 MB
_reduced = Kept[Events](512 * 2**20, size=nbytes)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with one of the keys; raises BadFileError for a broken file."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        return any(key in file for key in SHAPES)


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is not of this format.

    `columns` has 'label' and 'mass' only where the file has those attributes: simulated files do,
    the published ones do not.
    """
    with hdf5.opened(path) as file:
        entries = _entries(path, file)
        for key in SHAPES:
            hdf5.check_whole(path, key, file[key])
        lacking = {name for name in ATTRIBUTES if name not in file.attrs}
        columns = [name for name in LAYOUT.names if name not in lacking]
        columns += hdf5.one_value_each(file, entries, tuple(SHAPES))
        return FileDescription(path, FORMAT, entries, hdf5.provenance(path, file), tuple(columns))


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly `columns`.

    Hits are sorted by channel, row and column; energies are summed in float64. The last chunks stay
    in memory, decompressed. A pixel that is negative or no number makes its hit NaN. Raises
    BadFileError with the key for content that is no such file.
    """
    make = partial(_reduce, path, start, stop)
    with _reduced.use(path, start, stop, make=make) as events:
        known = {**events.particles, **events.events}
        for name in columns:
            if name not in known:
                raise missing_branch(path, name, known)
        # copies, because a caller may change them and the cache must stay as it is
        return Events(
            events.lengths.copy(),
            {name: events.particles[name].copy() for name in columns if name in events.particles},
            {name: events.events[name].copy() for name in columns if name in events.events},
        )


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return those of the columns that have one number or text per image, as they are stored."""
    own = [name for name in columns if name in LAYOUT.events]
    found: dict[str, Any] = dict(read(path, start, stop, own).events) if own else {}
    with hdf5.opened(path) as file:
        others = hdf5.one_value_each(file, _entries(path, file), tuple(SHAPES))
        for name in columns:
            if name in others:
                found[name] = hdf5.plain_values(path, file, name, start, stop)
    return {name: found[name] for name in columns if name in found}


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write full-resolution images in the published layout and return how many; all or nothing.

    The parts have the columns WRITTEN: hit_channel (0 tracker, 1 ECAL, 2 HCAL), hit_eta in 0..285
    and hit_phi in 0..359 (ascending), hit_energy (GeV, > 0; hits in the same pixel are summed), and
    label, mass (GeV), n_tracks per event. Label and mass must be the same for all events and become
    attributes. Raises BadFileError for wrong columns or values, and leaves `path` as it was. Each
    image is one compressed chunk, so that zero pixels take almost no space.
    """
    ready = checked(WRITTEN, path, parts)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        images = [_new_images(file, key) for key in KEYS]
        tracks = file.create_dataset(TRACKS, (0,), np.float32, maxshape=(None,), chunks=(1024,))
        entries = 0
        for part in ready:
            _keep_attributes(path, file, part, entries)
            for dataset in (*images, tracks):
                dataset.resize(entries + len(part), axis=0)
            tracks[entries:] = part.events["n_tracks"]
            _write_images(images, part, entries)
            entries += len(part)
        if provenance is not None:
            hdf5.keep_provenance(file, provenance)
    return entries


# ---- reading


def _entries(path: Path, file: Any) -> int:
    """Return the number of images, after checking that all datasets agree on it."""
    counts: dict[str, int] = {}
    for key, shape in SHAPES.items():
        own = (dataset := hdf5.dataset(path, file, key)).shape
        kind = dataset.dtype.kind
        if own is None or len(own) != 1 + len(shape) or own[1:] != shape or kind not in "fiu":
            wanted = "x".join(map(str, ("N", *shape)))
            problem = f"the shape is {own}, type {kind or 'none'}; images are numbers, {wanted}"
            raise BadFileError(path, problem, branch=key, cure="give a file of the raw format")
        counts[key] = own[0]
    first = next(iter(counts))
    for key, number in counts.items():
        if number != counts[first]:
            problem = f"{number} entries here, {counts[first]} in '{first}'"
            raise BadFileError(path, problem, branch=key, cure=FETCH_AGAIN)
    return counts[first]


def _reduce(path: Path, start: int, stop: int) -> Events:
    """Return the entries, down-scaled, with all columns that the file has."""
    with hdf5.opened(path) as file:
        entries = _entries(path, file)
        check_range(path, start, stop, entries)
        pixels = [_pixels(path, file, start + i) for i in range(stop - start)]
        tracks = _loaded(path, file, TRACKS, start, stop)
        shared = {name: _attribute(path, file, name) for name in ATTRIBUTES if name in file.attrs}
    # the hits of all events, concatenated
    event = np.repeat(np.arange(stop - start), [len(p[0]) for p in pixels])
    joined = [np.concatenate(c) for c in zip(*pixels, strict=True)] if pixels else _NO_PIXELS
    channel, eta, phi, energy = joined
    lengths, hits = downscale(event, channel, eta, phi, energy, stop - start)
    columns = {name: np.full(stop - start, value) for name, value in shared.items()}
    columns |= {"n_tracks": tracks, **sums(lengths, hits["hit_channel"], hits["hit_energy"])}
    return Events(lengths, hits, columns)


_NO_PIXELS = [np.zeros(0, np.int64)] * 3 + [np.zeros(0, np.float32)]


def _pixels(path: Path, file: Any, entry: int) -> tuple[np.ndarray, ...]:
    """Return channel, eta, phi and energy of one event's non-zero pixels."""
    by_channel = []
    for channel, key in enumerate(KEYS):
        image = _loaded(path, file, key, entry, entry + 1).reshape(-1)
        place = np.flatnonzero(image)
        energy = image[place]
        empty = (energy < 0) & (energy >= -ROUNDING_GEV)
        place, energy = place[~empty], energy[~empty]
        # NaN survives the sums of down-scaling: the event is then found to be impossible
        energy = np.where(energy > 0, energy, np.nan)
        eta, phi = np.divmod(place, PHI_PIXELS)
        by_channel.append((np.full(len(place), channel), eta, phi, energy))
    return tuple(np.concatenate(column) for column in zip(*by_channel, strict=True))


def _loaded(path: Path, file: Any, key: str, start: int, stop: int) -> np.ndarray:
    with refusing(path, f"entries {start} to {stop} are damaged", branch=key, cure=FETCH_AGAIN):
        values: np.ndarray = file[key][start:stop].astype(np.float32, copy=False)
        return values


def _attribute(path: Path, file: Any, name: str) -> Any:
    value = np.asarray(file.attrs[name])
    if value.shape != () or value.dtype.kind not in "fiu" or not np.isfinite(value) or value < 0:
        problem = f"the attribute is {file.attrs[name]!r}, not a number from 0"
        raise BadFileError(path, problem, branch=name, cure=FETCH_AGAIN)
    return value.astype(LAYOUT[name].dtype)


# ---- writing


def _new_images(file: Any, key: str) -> Any:
    return file.create_dataset(
        key,
        (0, ETA_PIXELS, PHI_PIXELS),
        np.float32,
        maxshape=(None, ETA_PIXELS, PHI_PIXELS),
        chunks=(1, ETA_PIXELS, PHI_PIXELS),
        compression="gzip",
        compression_opts=1,
    )


def _write_images(images: Sequence[Any], part: Events, first_entry: int) -> None:
    image = np.zeros((len(CHANNELS), ETA_PIXELS, PHI_PIXELS))
    hits = part.particles
    pixels = hits["hit_channel"].astype(np.intp), hits["hit_eta"], hits["hit_phi"]
    for i, (first, last) in enumerate(pairwise(part.offsets.tolist())):
        event_pixels = tuple(column[first:last] for column in pixels)
        np.add.at(image, event_pixels, hits["hit_energy"][first:last])
        for channel, dataset in enumerate(images):
            dataset[first_entry + i] = image[channel]
        image[event_pixels] = 0


def _keep_attributes(path: Path, file: Any, part: Events, first_entry: int) -> None:
    for name in ATTRIBUTES:
        values = part.events[name]
        if not len(values):
            continue
        first = file.attrs.setdefault(name, values[0])
        if (values != first).any():
            row = int((values != first).argmax())
            problem = f"the value {values[row]} differs from {first}, that of the first event"
            cure = "write each class and mass to a file of its own"
            raise BadFileError(path, problem, branch=name, entry=first_entry + row, cure=cure)
