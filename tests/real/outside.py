"""A proxy that leads nowhere: it records and refuses every connection to another machine."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Outside:
    """The requests to other machines."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The first line of each request."""
        self.variables: dict[str, str] = {}
        """Environment variables that send all requests to other machines to this proxy."""


@contextmanager
def outside() -> Iterator[Outside]:
    """Serve on a free port of this machine inside the context."""
    found = Outside()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            found.asked.append(self.rfile.readline().decode("latin-1").strip())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        url = f"http://127.0.0.1:{server.server_address[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            found.variables |= {name: url, name.lower(): url}
        found.variables |= dict.fromkeys(["NO_PROXY", "no_proxy"], "127.0.0.1,localhost")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
