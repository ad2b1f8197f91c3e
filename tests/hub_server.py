"""A small Hugging Face Hub on loopback: repositories, LFS storage, tokens, and faults on order.

It answers what `huggingface_hub` asks of the real one (create, preupload, LFS batch, commit,
refs, resolve, tree), refuses what that refuses, and remembers every request. Large files lie on
a second port, as the real ones lie on another host: a token that arrives there is an error.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_answers import ROUTES, Answers, RefusedError
from tests.hub_state import Hub


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: Hub) -> None:
        super().__init__(address, _Handler)
        self.hub = hub

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A running Hub."""
    hub = Hub()
    servers = [_Server(("127.0.0.1", 0), hub) for _ in range(2)]
    hub.address, hub.storage = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(Answers):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""

    def _serve(self) -> None:
        hub = self.server.hub
        url = urlsplit(self.path)
        self.route, self.query = url.path, parse_qs(url.query)
        length = int(self.headers.get("Content-Length") or 0)
        fault = hub.fault_of(self.command, self.route)
        self.cut = fault is not None and fault.status is None
        if self.cut and self.command != "GET":
            self.rfile.read(length // 2)
            self._hang_up()
            return
        self.body = self._read_body(length)
        try:
            if fault and fault.status:
                raise RefusedError(fault.status, message="as ordered")
            with hub.lock:
                for pattern, methods, answer in ROUTES:
                    found = re.fullmatch(pattern, self.route)
                    if found and self.command in methods:
                        answer(self, hub, *(part and unquote(part) for part in found.groups()))
                        return
            raise RefusedError(404, message=f"no route {self.command} {self.route}")
        except RefusedError as refusal:
            headers = {
                "X-Error-Code": refusal.code,
                "X-Error-Message": refusal.message,
                **(fault.headers if fault else {}),
            }
            self.json(refusal.body or {"error": refusal.message}, refusal.status, headers)

    def __getattr__(self, name: str):
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _read_body(self, length: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(length)
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def send(
        self, content: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with bytes, of which a cut lets half through."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        self.wfile.write(content)
