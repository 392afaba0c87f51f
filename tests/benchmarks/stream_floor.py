"""The floor under streams: a bare uvloop protocol that receives the same streams and counts bytes. A program.

It looks for the end of a stream in the last bytes of each piece, and does nothing else that a client of streams has to
do. Prints CPU seconds, bytes and pieces as JSON; only the sending is measured, not the start.
`python -m benchmarks.stream_floor BASE_URL ROWS IN_FLIGHT`
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import uvloop
from benchmarks.answers import MODEL
from benchmarks.inputs import prompt

_END = b"0\r\n\r\n"
"""The last chunk of a body. The server of the benchmarks ends each stream in one write."""


class Counter(asyncio.Protocol):
    """One connection: sends a request, counts the bytes of its stream, and sends the next."""

    def __init__(self, request: bytes, rows: Iterator[int]) -> None:
        self._request, self._rows = request, rows
        self.size = self.pieces = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a piece."""
        self.pieces += 1
        self.size += len(data)
        if data.endswith(_END):
            self._send()

    def _send(self) -> None:
        if next(self._rows, None) is None:
            self._transport.close()
            self.ended.set_result(None)
        else:
            self._transport.write(self._request)


async def receive(base_url: str, rows: int, in_flight: int) -> dict[str, float]:
    """Receive this many streams; return the CPU seconds used, and what was counted."""
    where = urlsplit(base_url)
    body = json.dumps({"messages": [{"role": "user", "content": prompt(0)}], "model": MODEL, "stream": True})
    head = f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    request, numbers = (head + body).encode(), iter(range(rows))
    loop = asyncio.get_running_loop()
    counters: list[Counter] = []
    began_s = time.process_time()
    for _ in range(in_flight):
        _, counter = await loop.create_connection(lambda: Counter(request, numbers), where.hostname, where.port)
        counters.append(counter)
    await asyncio.gather(*[each.ended for each in counters])
    cpu_s = time.process_time() - began_s
    size, pieces = sum(each.size for each in counters), sum(each.pieces for each in counters)
    return {"cpu_s": cpu_s, "bytes": size, "pieces": pieces}


def main() -> None:
    """Receive the streams."""
    base_url, rows, in_flight = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(receive(base_url, int(rows), int(in_flight)))))


if __name__ == "__main__":
    main()
