"""A web server with files in memory, which can misbehave."""

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from harness.serving import serving_by


class Web:
    """Serves files from memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etag = '"1"'
        self.gives_parts = True
        self.url = ""
        self.requests: list[str] = []
        """The Range header of each request; empty without one."""
        self.refusals: list[int] = []
        """Statuses of the next replies."""
        self.is_chunked = False
        self.cut_bytes: int | None = None
        """The connection is cut after this many bytes of a file that is sent whole."""
        self.content_range = "bytes {start}-{last}/{total}"

    def answer(self, visit: Any) -> None:
        """Answer one GET."""
        self.requests.append(visit.headers.get("Range", ""))
        content = self.files.get(visit.path)
        if self.refusals:
            visit.send_error(self.refusals.pop(0))
            return
        if content is None:
            visit.send_error(404)
            return
        start, end = 0, len(content)
        if self.gives_parts and self.requests[-1]:
            first, last = self.requests[-1].removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last) + 1, end)
            if start >= len(content):
                visit.send_error(416)
                return
            visit.send_response(206)
            content_range = self.content_range.format(start=start, last=end - 1, total=len(content))
            visit.send_header("Content-Range", content_range)
        else:
            visit.send_response(200)
        visit.send_header("ETag", self.etag)
        if self.is_chunked:
            visit.send_header("Transfer-Encoding", "chunked")
            visit.end_headers()
            for at in range(0, len(content[: self.cut_bytes]), 1000):
                piece = content[at : at + 1000]
                visit.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            visit.wfile.write(b"0\r\n\r\n" if self.cut_bytes is None else b"")
            return
        visit.send_header("Content-Length", str(end - start))
        visit.end_headers()
        visit.wfile.write(content[start:end][: self.cut_bytes])


@contextlib.contextmanager
def serving_files() -> Iterator[Web]:
    """Serve at `web.url` inside the context."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # its name in the standard library
            self.close_connection = True
            web.answer(self)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving_by(Handler) as web.url:
        yield web
