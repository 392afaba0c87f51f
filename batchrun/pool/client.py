"""One attempt in, one reply or fault out, over aiohttp. No policy: it neither retries nor waits its turn."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from batchrun.credentials import Secret
from batchrun.records import Fault, Reply
from batchrun.streams import StreamAssembler

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Longest answer that is read; more is a failure of its row."""

MAX_CONNECTIONS_KEPT_S = 30.0
"""How long an unused connection is kept. Below the 60 s after which common gateways close theirs."""

_LINGER_S = 0.1
"""How long the end of a stream is waited for after `[DONE]`. It comes at once, or never: some servers keep it open."""

_HEADERS_READ = ("retry-after", "retry-after-ms", "llm_provider-retry-after", "rate_limit_type", "location")
"""What verdicts and retries look at; nothing else of the headers is kept."""

_Kind = Literal["connection", "timeout", "bad_reply"]

_NO_HEADERS: dict[str, str] = {}


class Client(Protocol):
    """Whatever can make one attempt."""

    async def send(self, body: bytes) -> Reply | Fault:
        """Send one chat-completions body."""
        ...


class HttpClient:
    """A session with one endpoint."""

    def __init__(
        self,
        base_url: str,
        key: Secret | None,
        project: str | None,
        *,
        connections: int,
        timeout_s: float,
        connect_timeout_s: float,
        user_agent: str,
    ) -> None:
        """Prepare; `async with` opens it.

        Args:
            base_url: up to and with `/v1`.
            key: goes into the `Authorization` header, and nowhere else.
            project: team/project, for the `OpenAI-Project` header.
            connections: how many there may be at once; the pool's ceiling.
            timeout_s: of a whole attempt, from sending to the last byte.
            connect_timeout_s: of opening a connection.
            user_agent: how the client names itself.
        """
        self._chat_url = f"{base_url}/chat/completions"
        self._models_url = f"{base_url}/models"
        self._headers = {"Content-Type": "application/json", "User-Agent": user_agent, "Accept-Encoding": "identity"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key.reveal()}"
        if project:
            self._headers["OpenAI-Project"] = project
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._connections, keepalive_timeout=MAX_CONNECTIONS_KEPT_S, ttl_dns_cache=60
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy_for(self._chat_url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(self, body: bytes) -> Reply | Fault:
        """Send one chat-completions body; return what came back, whatever it is."""
        return await self._attempt("POST", self._chat_url, body)

    async def models(self) -> Reply | Fault:
        """Ask what the endpoint serves."""
        return await self._attempt("GET", self._models_url, None)

    async def _attempt(self, method: str, url: str, body: bytes | None) -> Reply | Fault:
        assert self._session is not None, "the client is not open"
        began_s = time.perf_counter()
        try:
            async with self._session.request(method, url, data=body, allow_redirects=False) as response:
                answer = await _read(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind, message = _translated(error)
            was_sent = not isinstance(error, _NO_CONNECTION)
            return Fault(kind, message, time.perf_counter() - began_s, was_sent)
        latency_s = time.perf_counter() - began_s
        if answer is None:
            return Fault("too_large", f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB", latency_s)
        if isinstance(answer, str):
            return Fault("bad_reply", answer, latency_s)
        headers = _NO_HEADERS if response.status == 200 else _kept(response.headers.get)
        return Reply(response.status, headers, answer, latency_s)


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; none for this machine.

    aiohttp would look it up at every request, and in `~/.netrc` for another password than ours.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127.") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _kept(header: Callable[[str], str | None]) -> dict[str, str]:
    return {name: value for name in _HEADERS_READ if (value := header(name)) is not None}


async def _read(response: aiohttp.ClientResponse) -> bytes | str | None:
    """Return the body; None when it is too long, a text that says why when a stream broke off."""
    if response.status == 200 and response.content_type == "text/event-stream":
        return await _read_stream(response)
    length = response.content_length
    if length is not None and length > MAX_ANSWER_BYTES:
        return None
    if length is not None and "Content-Encoding" not in response.headers:
        return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_stream(response: aiohttp.ClientResponse) -> bytes | str | None:
    assembler = StreamAssembler()
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return None
        assembler.feed(chunk)
        if assembler.done:
            await _read_to_end(response)
            break
    if not assembler.is_complete:
        return "the stream of the answer broke off"
    return assembler.result()


async def _read_to_end(response: aiohttp.ClientResponse) -> None:
    """Read what ends a body after its last event, so that the connection can be used again, if it comes soon."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            while not response.content.at_eof():
                await response.content.readany()


def _translated(error: Exception) -> tuple[_Kind, str]:
    """Return kind and message of a fault. Never the error's repr: it carries the request's headers, key included."""
    for foreign, kind, message in _FAULTS:
        if isinstance(error, foreign):
            return kind, message.format(reason=_reason(error))
    return "connection", f"the exchange failed: {type(error).__name__}"


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


_NO_CONNECTION = (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)
"""Errors after which nothing has been sent."""

_FAULTS: tuple[tuple[type[Exception], _Kind, str], ...] = (
    (aiohttp.ConnectionTimeoutError, "connection", "no connection in time"),
    (TimeoutError, "timeout", "no answer in time"),
    (
        aiohttp.ClientConnectorCertificateError,
        "connection",
        "the server's certificate does not fit its name or is not trusted",
    ),
    (aiohttp.ClientConnectorDNSError, "connection", "the host's name cannot be looked up"),
    (aiohttp.ClientSSLError, "connection", "no secure connection: {reason}"),
    (ssl.SSLError, "connection", "no secure connection: {reason}"),
    (aiohttp.ClientConnectorError, "connection", "no connection: {reason}"),
    (aiohttp.ServerDisconnectedError, "connection", "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "connection", "the connection was cut in the middle of the answer"),
    (aiohttp.ClientResponseError, "bad_reply", "the answer is not HTTP"),
    (aiohttp.ClientOSError, "connection", "the connection broke: {reason}"),
)
"""Errors of aiohttp → kind, message. The first that matches counts: the special stand before the general."""
