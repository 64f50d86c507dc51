"""A web server of this machine whose faults can be switched on: a stand-in for the clouds."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import pytest

# A status to answer with, or: never answer; break the connection in the middle of the body; send
# half of the body as if it were all; send a page for people instead of what was asked for.
Kind = int | Literal["stall", "drop", "cut", "page"]


@dataclass
class Fault:
    """What befalls requests whose path matches: the first `times` of every `every`-th."""

    kind: Kind
    path: str = ""
    times: float = 1
    every: int = 1
    seen: int = 0
    done: int = 0

    def befalls(self, path: str) -> bool:
        if not re.search(self.path, path) or self.done >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.done += 1
        return True


class ArchiveServer(http.server.ThreadingHTTPServer):
    """Serves a folder over HTTP, and as the bucket `public` of Google's storage.

    Attributes:
        folder: what is served.
        requests: paths of all GET requests, in order.
        probes: how often it was asked whether it is there.
    """

    daemon_threads = True
    request_queue_size = 100  # clients that come at once do not wait for a second SYN

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []
        self.probes = 0
        self.faults: list[Fault] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fail(self, kind: Kind, path: str = "", times: float = 1, every: int = 1) -> Fault:
        """Switch a fault on; it ends after `times` requests, or with `recover`."""
        fault = Fault(kind, path, times, every)
        self.faults.append(fault)
        return fault

    def recover(self) -> None:
        self.faults.clear()

    def count(self, path: str = "") -> int:
        """GET requests so far whose path matches."""
        return sum(bool(re.search(path, request)) for request in self.requests)

    def note(self, path: str) -> Kind | None:
        with self._lock:
            self.requests.append(path)
            return next((fault.kind for fault in self.faults if fault.befalls(path)), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what is tested


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: ArchiveServer

    def __init__(self, request: Any, address: Any, server: ArchiveServer) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.probes += 1
        super().do_HEAD()

    def do_GET(self) -> None:
        in_bucket = re.fullmatch(r"/download/storage/v1/b/public/o/([^?]+)\?alt=media", self.path)
        described = re.fullmatch(r"/storage/v1/b/public/o/([^?]+)", self.path)
        if in_bucket:
            self.path = "/" + unquote(in_bucket[1])
        elif described:
            self._describe(unquote(described[1]))
            return
        kind = self.server.note(self.path)
        if isinstance(kind, int):
            self.send_error(kind)
        elif kind == "stall":
            self.server.closing.wait(20)
        elif kind is None and Path(self.translate_path(self.path)).is_dir():
            super().do_GET()
        else:
            self._send(kind)

    def _describe(self, name: str) -> None:
        file = self.server.folder / name
        if not file.is_file():
            self.send_error(404)
            return
        self._answer(json.dumps({"name": name, "size": str(file.stat().st_size)}).encode())

    def _answer(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, kind: Kind | None) -> None:
        file = Path(self.translate_path(self.path))
        if kind == "page":
            body = b"<html>please log in</html>"
        elif file.is_file():
            body = file.read_bytes()
        else:
            self.send_error(404)
            return
        sent = body[: len(body) // 2] if kind in ("cut", "drop") else body
        self._answer(sent, len(body) if kind == "drop" else None)


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ArchiveServer]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as stack:

        def make(folder: Path) -> ArchiveServer:
            folder.mkdir(parents=True, exist_ok=True)
            server = stack.enter_context(ArchiveServer(folder))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(server.closing.set)
            return server

        yield make


@pytest.fixture
def archive_server(make_server: Callable[[Path], ArchiveServer], tmp_path: Path) -> ArchiveServer:
    """A server of the folder `served` in `tmp_path`."""
    return make_server(tmp_path / "served")


@pytest.fixture
def silent_host() -> Iterator[str]:
    """The address of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def stopwatch() -> Callable[[], float]:
    """Seconds since it was last asked."""
    last = [time.monotonic()]

    def seconds() -> float:
        now = time.monotonic()
        passed = now - last[0]
        last[0] = now
        return passed

    return seconds
