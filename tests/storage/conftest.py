"""A bucket that is a folder, and a web server: stores without a network."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs as arrow

from batchrun.storage import objects


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is the bucket of `s3://bkt/`."""
    folder = tmp_path / "store" / "bkt"
    folder.mkdir(parents=True)
    system = arrow.SubTreeFileSystem(str(folder.parent), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (system, host))
    return folder


class Web:
    """Serves files from memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etag = '"1"'
        self.gives_parts = True
        self.url = ""
        self.requests: list[str] = []
        """The Range of each; empty of none."""

    def answer(self, visit: Any) -> None:
        """Answer one GET."""
        self.requests.append(visit.headers.get("Range", ""))
        content = self.files.get(visit.path)
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
            visit.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        else:
            visit.send_response(200)
        visit.send_header("ETag", self.etag)
        visit.send_header("Content-Length", str(end - start))
        visit.end_headers()
        visit.wfile.write(content[start:end])


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server; `web.url` is where."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # its name in the standard library
            web.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    yield web
    server.shutdown()
    thread.join()
    server.server_close()
