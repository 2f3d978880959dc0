"""Downloads that resume where they stopped, after a dropped connection or a kill."""

from __future__ import annotations

import time
from pathlib import Path

import requests
from rich.progress import Progress, TaskID

from anomaly_hep.errors import DownloadError

BLOCK_BYTES = 2**20
TIMEOUT_SECONDS = (10, 60)  # to connect, and between two blocks
# With compression in transit, sizes and ranges would not count the bytes that arrive.
UNCOMPRESSED = {"Accept-Encoding": "identity"}
# Attempts without a new byte before giving up; the wait doubles after each.
FRUITLESS_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5


def remote_size(url: str) -> int:
    """Return the file's size in bytes, as stated by the server; raises DownloadError."""
    try:
        answer = requests.head(
            url, headers=UNCOMPRESSED, allow_redirects=True, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
        return int(answer.headers["Content-Length"])
    except (requests.RequestException, KeyError, ValueError) as error:
        raise DownloadError(
            f"{url}: the server does not say how large the file is ({error}). Cure: check the"
            " connection and the address"
        ) from error


class ResumingDownloader:
    """A pooch downloader that keeps partial downloads in `part` and requests only the rest."""

    def __init__(self, part: Path, progress: Progress) -> None:
        self._part, self._progress = part, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Download `url` and make `output_file` a link to it; raises requests' exceptions."""
        total = remote_size(url)
        if self._held() > total:
            self._part.unlink()
        task = self._progress.add_task(self._part.stem, total=total, completed=self._held())
        fruitless = 0
        while self._held() < total:
            before = self._held()
            try:
                self._continue(url, task)
                stopped: requests.RequestException | None = None
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                stopped = error
            fruitless = 0 if self._held() > before else fruitless + 1
            if fruitless >= FRUITLESS_ATTEMPTS:
                raise stopped or requests.ConnectionError("the server sends no more bytes")
            if fruitless:
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (fruitless - 1))
        self._part.touch()  # a file of 0 bytes needs no request
        # Only a link, so that a kill while pooch hashes the file does not lose it.
        Path(output_file).unlink(missing_ok=True)
        Path(output_file).symlink_to(self._part.resolve())

    def _held(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _continue(self, url: str, task: TaskID) -> None:
        held = self._held()
        headers = {"Range": f"bytes={held}-", **UNCOMPRESSED}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            answer.raise_for_status()
            if answer.status_code != requests.codes.partial_content:
                held = 0  # the server ignores the range and sends the whole file
            self._progress.update(task, completed=held)
            with self._part.open("r+b" if held else "wb") as file:
                file.seek(held)
                for block in answer.iter_content(BLOCK_BYTES):
                    file.write(block)
                    self._progress.advance(task, len(block))
