"""One attempt of the real client, with a small server that a test controls."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret
from batchrun.records import Fault, Reply

KEY = "canary-key-8d1f"
ANSWER = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}]}'
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'

Writer = asyncio.StreamWriter
Answer = Callable[[Writer], Awaitable[None]]


def response(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Return an HTTP response; a header that is empty is left out."""
    named = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class Server:
    """Answers every request in the same way, and records the requests."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((first, headers, body))
                if isinstance(self._answer, bytes):
                    writer.write(self._answer)
                    await writer.drain()
                else:
                    await self._answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the test is over, or the client is gone
        finally:
            writer.close()


@asynccontextmanager
async def connected(server: Server, **settings: Any) -> AsyncIterator[HttpClient]:
    """Return a client that is connected to a server."""
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with opened(f"http://127.0.0.1:{port}/v1", **settings) as client:
            yield client


def opened(base_url: str, key: str | None = KEY, **settings: Any) -> HttpClient:
    """Return a client for a base URL, with short timeouts."""
    settings = {"connections": 4, "timeout_s": 5.0, "connect_timeout_s": 2.0} | settings
    project = settings.pop("project", "team/project")
    headers = {"OpenAI-Project": project} if project else {}
    return HttpClient(base_url, Secret(key) if key else None, headers, **settings)


def send(answer: bytes | Answer, **settings: Any) -> Reply | Fault:
    """Return the result of one attempt; check that no part of it contains the key."""

    async def main() -> Reply | Fault:
        async with connected(Server(answer), **settings) as client:
            return await client.send(BODY)

    result = asyncio.run(main())
    assert KEY not in repr(result)
    return result


def fault(result: Reply | Fault) -> tuple[str, str]:
    """Return kind and message of a fault."""
    assert isinstance(result, Fault), result
    return result.kind, result.message
