"""HDF5 files whose content lies elsewhere, was never written, or cannot be decompressed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.formats.test_darkshowers_raw import sparse

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import darkshowers_raw as raw
from anomaly_hep.formats import files

KEY = "ImageECAL"
SHAPE = (5, raw.ETA_PIXELS, raw.PHI_PIXELS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "images.h5"
    raw.write(path, [sparse()])
    return path


def external_link(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["secret"] = np.ones(SHAPE, np.float32)
    file[KEY] = h5py.ExternalLink("other.h5", "secret")


def external_storage(file: h5py.File) -> None:
    bytes_ = int(np.prod(SHAPE)) * 4
    file.create_dataset(KEY, SHAPE, np.float32, external=[("/etc/passwd", 0, bytes_)])


def virtual(file: h5py.File) -> None:
    external_link(file)
    del file[KEY]
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "secret", SHAPE)
    file.create_virtual_dataset(KEY, layout)


def never_written(file: h5py.File) -> None:
    file.create_dataset(KEY, SHAPE, np.float32, chunks=(1, *SHAPE[1:]))


def never_written_whole(file: h5py.File) -> None:
    file.create_dataset(KEY, SHAPE, np.float32)


def endless_links(file: h5py.File) -> None:
    file[KEY], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink(f"/{KEY}")


def huge_chunk(file: h5py.File) -> None:
    for key, shape in raw.SHAPES.items():
        if key in file:
            del file[key]
        chunks = (2**11, *shape) if shape else None
        file.create_dataset(key, (2**31, *shape), np.float64, chunks=chunks or (2**28,))


CASES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "external link": (external_link, "it is a link to another file"),
    "external storage": (external_storage, "it is a view of other files"),
    "virtual data set": (virtual, "it is a view of other files"),
    "chunks never written": (never_written, "it declares 5 chunks and holds 0"),
    "never written": (never_written_whole, "bytes and holds 0"),
    "links in a circle": (endless_links, "the file is damaged"),
    "2^31 images that are not there": (huge_chunk, "it declares|would fill"),
}


@pytest.mark.parametrize("case", CASES)
def test_content_that_is_not_in_the_file_is_refused(path: Path, case: str) -> None:
    change, said = CASES[case]
    with h5py.File(path, "r+") as file:
        del file[KEY]
        change(file)
    with pytest.raises(BadFileError, match=said):
        files.format_of(path).describe(path)


def test_a_link_inside_the_file_is_followed(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move(KEY, "elsewhere")
        file[KEY] = h5py.SoftLink("/elsewhere")
    assert len(files.read(path, 0, 5, ["hit_energy"])) == 5


def test_a_filter_that_is_not_installed_is_named(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[KEY]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((1, *SHAPE[1:]))
        settings.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple(SHAPE)
        h5py.h5d.create(file.id, KEY.encode(), h5py.h5t.NATIVE_FLOAT, space, settings)
    with pytest.raises(BadFileError, match=r"filter 40000 .* is not installed. Cure: install"):
        files.format_of(path).describe(path)


def test_a_file_that_another_process_writes_is_not_called_damaged(path: Path) -> None:
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); input()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(BadFileError, match=r"another process has it open.*FILE_LOCKING=FALSE"):
            files.format_of(path).describe(path)
        process.communicate("done\n")
    assert len(files.read(path, 0, 5, ["hit_energy"])) == 5
