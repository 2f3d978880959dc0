"""Downloads that resume where they stopped, after a dropped connection or a kill."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from rich.progress import Progress, TaskID

from anomaly_hep.errors import DownloadError, in_one_line

BLOCK_BYTES = 2**20
TIMEOUT_SECONDS = (8, 20)  # to connect, and between two blocks
# No further attempt begins after that long without a single byte: an answer takes up to 28 s.
PATIENCE_SECONDS = 2
LARGEST_BYTES = 10**14  # no archive is larger than 100 TB
# With compression in transit, sizes and ranges would not count the bytes that arrive.
UNCOMPRESSED = {"Accept-Encoding": "identity"}
# Attempts without a new byte before giving up; the wait doubles after each.
FRUITLESS_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
# what the server or the network is to blame for, and another attempt may mend
_PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


class _Session(requests.Session):
    """A session that follows redirects to the same scheme or to https alone."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where an answer redirects to; raises DownloadError for another scheme."""
        target = super().get_redirect_target(resp)
        if target:
            address = urljoin(resp.url, target)
            if urlsplit(address).scheme not in ("https", urlsplit(resp.url).scheme):
                resp.close()
                raise DownloadError(
                    f"{resp.url}: the server redirects to {address[:200]}, which is not followed. "
                    "Cure: check the address"
                )
        return target


def said(error: requests.RequestException) -> str:
    """Return in a few words what went wrong with a request."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if "Read timed out" in str(error):  # between two blocks it counts as a broken connection
        return "the server says nothing more"
    exceptions = requests.exceptions
    known = (
        ((requests.Timeout,), "the server says nothing"),
        ((exceptions.SSLError,), "the server's certificate cannot be verified"),
        ((exceptions.ProxyError,), "the proxy does not answer"),
        ((requests.TooManyRedirects,), "the server redirects in circles"),
        (
            (exceptions.MissingSchema, exceptions.InvalidSchema, exceptions.InvalidURL),
            "this is no http or https address",
        ),
        ((exceptions.ChunkedEncodingError,), "the connection broke"),
        ((requests.ConnectionError,), "no connection to the server"),
    )
    return next((text for kinds, text in known if isinstance(error, kinds)), in_one_line(error))


def remote_size(url: str) -> int:
    """Return the file's size in bytes, as stated by the server; raises DownloadError."""
    try:
        with (
            _Session() as session,
            session.head(
                url, headers=UNCOMPRESSED, allow_redirects=True, timeout=TIMEOUT_SECONDS
            ) as answer,
        ):
            answer.raise_for_status()
            stated = answer.headers.get("Content-Length")
    except requests.RequestException as error:
        raise DownloadError(
            f"{url}: {said(error)}. Cure: check the connection and the address"
        ) from error
    if stated is None:
        raise DownloadError(
            f"{url}: the server does not say how large the file is. Cure: check the address, or "
            "fetch from another server (base_url)"
        )
    if not re.fullmatch("[0-9]{1,20}", stated) or int(stated) > LARGEST_BYTES:
        raise DownloadError(
            f"{url}: the server says that the file has {stated[:40]} bytes, which cannot be. "
            "Cure: try again later, or fetch from another server (base_url)"
        )
    return int(stated)


class ResumingDownloader:
    """A pooch downloader that keeps partial downloads in `part` and requests only the rest."""

    def __init__(self, part: Path, progress: Progress) -> None:
        self._part, self._progress = part, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Download `url` and make `output_file` a link to it; raises requests' exceptions.

        What a server sends beyond the size that it states is not read.
        """
        total = remote_size(url)
        if self._held() > total:
            self._part.unlink()
        task = self._progress.add_task(self._part.stem, total=total, completed=self._held())
        fruitless, began, first = 0, time.monotonic(), self._held()
        while self._held() < total:
            before = self._held()
            try:
                self._continue(url, total, task)
                stopped: requests.RequestException = requests.exceptions.ChunkedEncodingError()
            except _PASSING as error:
                stopped = error
            fruitless = 0 if self._held() > before else fruitless + 1
            silent = self._held() == first and time.monotonic() - began > PATIENCE_SECONDS
            if fruitless >= FRUITLESS_ATTEMPTS or silent:
                raise stopped
            if fruitless:
                self._progress.console.print(
                    f"{self._part.stem}: {said(stopped)}; attempt {fruitless + 1} of "
                    f"{FRUITLESS_ATTEMPTS}"
                )
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (fruitless - 1))
        self._part.touch()  # a file of 0 bytes needs no request
        # Only a link, so that a kill while pooch hashes the file does not lose it.
        Path(output_file).unlink(missing_ok=True)
        Path(output_file).symlink_to(self._part.resolve())

    def _held(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _continue(self, url: str, total: int, task: TaskID) -> None:
        held = self._held()
        headers = {"Range": f"bytes={held}-", **UNCOMPRESSED}
        with (
            _Session() as session,
            session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer,
        ):
            answer.raise_for_status()
            if answer.status_code != requests.codes.partial_content:
                held = 0  # the server ignores the range and sends the whole file
            self._progress.update(task, completed=held)
            with self._part.open("r+b" if held else "wb") as file:
                file.seek(held)
                for block in answer.iter_content(BLOCK_BYTES):
                    kept = block[: total - held]
                    file.write(kept)
                    held += len(kept)
                    self._progress.advance(task, len(kept))
                    if held >= total:
                        break
