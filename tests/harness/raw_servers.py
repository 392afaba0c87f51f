"""Servers that send any bytes that a test chooses: in the event loop of the test, or in a thread for commands."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import orjson


class Visit:
    """One connection, from the view of the server."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: list[bytes]
    ) -> None:
        self.number = number
        """Counted from 0, in the order of the connections."""
        self.reader, self.writer = reader, writer
        self._log = log

    async def request(self) -> bytes:
        """Read and record one request; return its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
        length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
        body = await self.reader.readexactly(length)
        self._log.append(head + body)
        return body

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def say_for_ever(self, data: bytes, every_s: float = 0.0) -> None:
        """Send the same bytes until the client disconnects."""
        while True:
            await self.say(data)
            await asyncio.sleep(every_s)


Behaviour = Callable[[Visit], Awaitable[None]]
"""The behaviour of a server on one connection; when it returns, the connection is closed."""


class RawServer:
    """A server with the same behaviour on every connection, which records the requests."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.requests: list[bytes] = []
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(self.connections, reader, writer, self.requests)
        self.connections += 1
        try:
            await self._behave(visit)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # the client has disconnected, or the test has ended
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve in the running loop; yield the base URL."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls) as server:
            port = server.sockets[0].getsockname()[1]
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"

    @contextmanager
    def in_thread(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve in a separate thread inside the context; yield the base URL."""
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        urls: list[str] = []
        is_ready = threading.Event()

        async def main() -> None:
            async with self.listening(tls) as base_url:
                urls.append(base_url)
                is_ready.set()
                await stop.wait()
                rest = asyncio.all_tasks() - {asyncio.current_task()}
                for task in rest:
                    task.cancel()
                await asyncio.gather(*rest, return_exceptions=True)

        thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
        thread.start()
        try:
            assert is_ready.wait(50)  # a busy machine needs long for a thread too
            yield urls[0]
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def completion(text: str) -> bytes:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})


def answer(body: bytes, status: str = "200 OK", *head: str) -> bytes:
    """Return a complete HTTP answer; `head` has additional lines, which can also replace the Content-Length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *head]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in head):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def prompt_of(body: bytes) -> str:
    """Return the prompt of a request."""
    return str(orjson.loads(body)["messages"][-1]["content"])


async def echo(visit: Visit) -> None:
    """Answer every request with its own prompt."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await visit.say(answer(completion(prompt_of(await visit.request()))))
