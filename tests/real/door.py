"""A gateway in front of an object store: it forwards requests, counts them, and disturbs uploads as a test asks."""

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PIECE_BYTES = 1 << 16
"""Bytes of an answer forwarded at a time: the rest is not counted if the client stops reading."""

Parts = Callable[[int], int | None]
Requests = Callable[[str, str], int | None]


class Door:
    """A gateway to the store at `upstream`; `part` matches the paths of requests that send a part of an upload."""

    def __init__(self, upstream: str, part: str) -> None:
        self._upstream = upstream.removeprefix("http://")
        self._part = re.compile(part)
        self._lock = threading.Lock()
        self.parts = 0
        """Number of requests."""
        self.bytes_given = 0
        """Bytes of the answers."""
        self.on_part: Parts = lambda number: None
        """Number of a part, from 1 → the status to answer with, None to forward it. It may wait or change things."""
        self.on_request: Requests = lambda method, path: None
        """The same for every request: method and path → status."""
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE_BYTES)
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return lambda: door.hand_on(self)
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hand_on(self, visit: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = _body_of(visit)
        if status := self._refusal(visit):
            visit.send_response(status)
            visit.send_header("Content-Length", "0")
            visit.end_headers()
            return
        with contextlib.closing(http.client.HTTPConnection(self._upstream)) as connection:
            headers = {name: value for name, value in visit.headers.items() if name.lower() != "transfer-encoding"}
            connection.request(visit.command, visit.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()  # closed immediately, for stores that serve one connection at a time
        visit.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                visit.send_header(name, value)
        length = answer.getheader("Content-Length", str(len(content)))
        visit.send_header("Content-Length", length if visit.command == "HEAD" else str(len(content)))
        visit.end_headers()
        for start in range(0, len(content), _PIECE_BYTES):
            self.bytes_given += visit.wfile.write(content[start : start + _PIECE_BYTES])

    def _refusal(self, visit: BaseHTTPRequestHandler) -> int | None:
        if visit.command == "PUT" and self._part.search(visit.path):
            with self._lock:
                self.parts += 1
                number = self.parts
            if status := self.on_part(number):
                return status
        return self.on_request(visit.command, visit.path)

    def close(self) -> None:
        """Stop the gateway."""
        self._server.shutdown()
        self._server.server_close()


def _body_of(visit: BaseHTTPRequestHandler) -> bytes:
    if visit.headers.get("Transfer-Encoding") != "chunked":
        return visit.rfile.read(int(visit.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(visit.rfile.readline(), 16):
        chunks.append(visit.rfile.read(size))
        visit.rfile.readline()
    visit.rfile.readline()
    return b"".join(chunks)
