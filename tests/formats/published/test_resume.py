"""Servers that lie, stall, redirect or never stop, each refused in one line."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests
from rich.console import Console
from rich.progress import Progress

from anomaly_hep.errors import DownloadError
from anomaly_hep.formats.published import download, resume

Answer = Callable[[socket.socket, str], None]  # takes the connection and the method


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], str]]:
    """A server that sends what a function sends; the result is its address."""
    monkeypatch.setattr(resume, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(resume, "TIMEOUT_SECONDS", (0.3, 0.3))
    monkeypatch.setattr(resume, "PATIENCE_SECONDS", 0.2)
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(answer: Answer) -> str:
        def one(connection: socket.socket) -> None:
            with connection:
                try:
                    answer(connection, connection.recv(4096).decode().split()[0])
                except (OSError, IndexError):  # the client has enough
                    return

        def loop() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # the test is over
                    return
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

        threads.append(threading.Thread(target=loop))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    listening.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection
    for thread in threads:
        thread.join()
    listening.close()


def _text(*headers: str, status: str = "200 OK", body: bytes = b"") -> Answer:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]).encode()

    def answer(connection: socket.socket, method: str) -> None:
        connection.sendall(head + (body if method == "GET" else b""))

    return answer


def _silent(connection: socket.socket, method: str) -> None:
    del connection, method
    time.sleep(0.5)


def _stalls(connection: socket.socket, method: str) -> None:
    _text("Content-Length: 1000")(connection, method)
    if method == "GET":
        time.sleep(0.5)


def _never_stops(connection: socket.socket, method: str) -> None:
    if method == "HEAD":
        _text("Content-Length: 1000")(connection, method)
        return
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(20_000):
        connection.sendall(b"x" * 10_000)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_text("Content-Length: -5"), "the server says that the file has -5 bytes"),
        (_text("Content-Length: 999999999999999999"), "has 999999999999999999 bytes, which cannot"),
        (_text("Content-Length: many"), "the server says that the file has many bytes"),
        (_text(), "does not say how large the file is"),
        (_text("Location: file:///etc/passwd", status="302 Found"), "redirects to file:///etc"),
        (_text("Location: ftp://127.0.0.1/x", status="301 Moved"), "redirects to ftp://127.0.0.1"),
        (_text(status="500 Oh no"), "the server answers 500 Oh no"),
        (_silent, "the server says nothing"),
        (_stalls, "the server says nothing more"),
        (lambda connection, _: connection.sendall(b"SSH-2.0\r\n"), "no connection to the server"),
    ],
)
def test_a_server_that_cannot_be_believed_is_refused(serve, tmp_path, answer, said):
    began = time.monotonic()
    with pytest.raises(DownloadError, match=said) as caught:
        download._download(serve(answer), "x.tar", "0" * 32, tmp_path, Progress(disable=True))
    assert time.monotonic() - began < 30
    assert "\n" not in str(caught.value)
    assert "Pool" not in str(caught.value)


def test_a_body_longer_than_declared_stops_at_the_declared_size(serve, tmp_path):
    part, link = tmp_path / "x.tar.part", tmp_path / "x.tar"
    resume.ResumingDownloader(part, Progress(disable=True))(serve(_never_stops), str(link), None)
    assert part.read_bytes() == b"x" * 1000


def test_a_broken_connection_is_said_while_it_is_tried_again(serve, tmp_path):
    asked: list[str] = []

    def answer(connection: socket.socket, method: str) -> None:
        asked.append(method)  # HEAD, then GET without a byte, then all
        _text("Content-Length: 3", body=b"abc" if len(asked) > 2 else b"")(connection, method)

    output = io.StringIO()
    progress = Progress(console=Console(file=output, width=200))
    part = tmp_path / "x.tar.part"
    resume.ResumingDownloader(part, progress)(serve(answer), str(tmp_path / "x.tar"), None)
    assert part.read_bytes() == b"abc"
    assert "x.tar: the connection broke; attempt 2 of 5" in output.getvalue()


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "nowhere", "http://127.0.0.1:1/x"])
def test_an_address_without_a_server_is_one_line(address):
    with pytest.raises(DownloadError, match=r"no http or https address|no connection") as caught:
        resume.remote_size(address)
    assert len(str(caught.value)) < 150


def test_a_circle_of_redirects_has_its_name():
    assert resume.said(requests.TooManyRedirects()) == "the server redirects in circles"
