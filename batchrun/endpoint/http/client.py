"""Makes one attempt over aiohttp: a request in, a reply or a fault out. No policy: it does not retry or queue."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from batchrun import __version__
from batchrun.endpoint.http.body import MAX_ANSWER_BYTES, BodyReader, TooLong
from batchrun.endpoint.http.collected import BrokenOff
from batchrun.endpoint.http.deadlines import Deadlines
from batchrun.endpoint.http.sweep import Sweep
from batchrun.endpoint.http.wire import Connector, StaleError, Wire
from batchrun.endpoint.key import Secret
from batchrun.errors import EndpointRefused
from batchrun.job.urls import is_loopback
from batchrun.records import PATHS, Fault, Reply, RequestKind

MAX_CONNECTIONS_KEPT_S = 4.0
"""How long an unused connection is kept. Below the 5 s after which uvicorn (vLLM, LiteLLM) and Node close theirs."""

_STALE_S = 1.0
"""A used connection that breaks so soon after a request was sent had been closed before: the notice takes no longer."""

STREAM_TIMES = 6
"""Longest stream, in times the timeout: an hour by default. 131,072 tokens arrive in that time at 40 a second, and a
server that sends a byte now and then cannot hold a row for ever."""

_HEADERS_READ = (
    *("retry-after", "retry-after-ms", "llm_provider-retry-after", "rate_limit_type", "location"),
    *(f"x-ratelimit-{what}{of}" for what in ("remaining", "reset") for of in ("", "-requests", "-tokens")),
)
"""The headers that verdicts and retries read; no others are kept."""

_Kind = Literal["connection", "timeout", "too_large", "bad_reply"]

_NO_HEADERS: dict[str, str] = {}

_PROXY_FAILS = "the proxy cannot connect to the endpoint (HTTP {})"
_PROXY_REFUSES = b"the proxy refuses to connect to the endpoint"


_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of replies."""


class HttpClient:
    """A session with one endpoint."""

    def __init__(
        self,
        base_url: str,
        key: Secret | None,
        headers: Mapping[str, str | Secret] = _NO_HEADERS,
        *,
        query: Mapping[str, str] = _NO_HEADERS,
        connections: int,
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        """Prepare; `async with` opens it.

        Args:
            base_url: ends in `/v1`.
            key: goes into the `Authorization` header, and nowhere else.
            headers: of each request, in addition to those that every endpoint gets.
            query: what is added to each URL.
            connections: how many may be open at once; the pool's ceiling.
            timeout_s: of a whole attempt, from sending to the last byte; of a stream, from each piece to the next.
            connect_timeout_s: of opening a connection.
        """
        self._base_url = base_url
        self._query = f"?{urlencode(query)}" if query else ""
        self._headers = {"Content-Type": "application/json", **revealed(key, headers)}
        self._hide = hiding([key, *headers.values()])
        self._connections = connections
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._deadlines = Deadlines(timeout_s)
        self._sweep = Sweep(timeout_s)
        self._bodies = BodyReader(self._sweep)

    async def __aenter__(self) -> Self:
        self._connector = Connector(kept_s=MAX_CONNECTIONS_KEPT_S, limit=self._connections, ttl_dns_cache=60)
        self._wires = _Wires(lambda path: self._wire("POST", path))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        self._sweep.close()
        self._connector.drop()
        await self._connector.close()

    @property
    def connected_in_s(self) -> float | None:
        """How long it took to open the first connection; None as long as none was opened."""
        return self._connector.opened_in_s

    def send(self, body: bytes, kind: RequestKind = "chat") -> Coroutine[Any, Any, Reply | Fault]:
        """Send the body of a request of this kind; return the reply, whatever it is, or why there is none."""
        return self._attempt(self._wires[kind], body, is_chat=kind == "chat")

    def give_up(self, attempt: asyncio.Task[None], silent_s: float) -> bool:
        """End the attempt that a task makes as timed out, if nothing has arrived for so long; return whether it ends.

        A stream that sends pieces is not silent.
        """
        self._sweep.look()  # so that what came a moment ago counts
        return self._deadlines.expire(attempt, silent_s)

    async def models(self) -> Reply | Fault:
        """Ask which models the endpoint serves."""
        return await self._attempt(self._wire("GET", "/models"), b"")

    def _wire(self, method: str, path: str) -> Wire:
        url = f"{self._base_url}{path}{self._query}"
        return Wire(
            self._connector,
            method,
            url,
            self._headers,
            proxy=proxy_for(url),
            connect_timeout_s=self._connect_timeout_s,
        )

    async def _attempt(self, wire: Wire, body: bytes, *, is_chat: bool = False) -> Reply | Fault:
        began_s = time.perf_counter()
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # runs in one
        self._deadlines.begin(task, began_s)
        is_late = False
        try:
            answer = await wire.exchange(body)
            try:
                on_piece = partial(self._extend, task, began_s)
                content, usage = await self._bodies.read(answer, on_piece, is_chat=is_chat)
            finally:
                answer.release()
        except asyncio.CancelledError:
            is_late = self._deadlines.end(task)
            if not is_late:
                raise
            return fault_of(TimeoutError(), began_s)
        except StaleError as stale:
            fault = fault_of(stale.broken, began_s)
            return fault._replace(is_stale=fault.latency_s < _STALE_S)
        except aiohttp.ClientHttpProxyError as refused:  # not the endpoint's, but its status says why
            latency_s = time.perf_counter() - began_s
            if refused.status >= 500:
                return Fault("connection", _PROXY_FAILS.format(refused.status), latency_s, was_sent=False)
            return Reply(refused.status, _NO_HEADERS, _PROXY_REFUSES, latency_s)
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, TooLong, BrokenOff) as error:
            return fault_of(error, began_s)
        finally:
            if not is_late:
                self._deadlines.end(task)
        latency_s = time.perf_counter() - began_s
        if self._hide is not None:
            content = self._hide(content)
        headers = _NO_HEADERS if 200 <= answer.status < 300 else self._kept(answer.header)
        return _new(Reply, (answer.status, headers, content, latency_s, usage))

    def _extend(self, task: asyncio.Task[None], began_s: float) -> None:
        """Restart the timeout of a stream that sends something, unless the stream has taken too long in all."""
        now_s = time.perf_counter()
        if now_s - began_s < (STREAM_TIMES - 1) * self._timeout_s:
            self._deadlines.begin(task, now_s)

    def _kept(self, header: Callable[[str], str | None]) -> dict[str, str]:
        kept = {name: value for name in _HEADERS_READ if (value := header(name)) is not None}
        if self._hide is None:
            return kept
        return {name: self._hide(value.encode("utf-8", "replace")).decode() for name, value in kept.items()}


def hiding(values: Iterable[str | Secret | None]) -> Callable[[bytes], bytes] | None:
    """Return a function that hides every secret among some values; None without one."""
    secrets = [part for value in values if isinstance(value, Secret) for part in value.parts()]
    if len(secrets) < 2:
        return secrets[0].hide_in if secrets else None

    def hide(data: bytes) -> bytes:
        for secret in secrets:
            data = secret.hide_in(data)
        return data

    return hide


def revealed(key: Secret | None, headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Return the headers of all requests to an endpoint, with its secrets."""
    made = {"User-Agent": f"batchrun/{__version__}", "Accept-Encoding": "identity"}
    if key is not None:
        made["Authorization"] = f"Bearer {key.reveal()}"
    return made | {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}


class _Wires(dict[RequestKind, Wire]):
    """A wire for each kind of request, made when the first one is sent."""

    def __init__(self, make: Callable[[str], Wire]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, kind: RequestKind) -> Wire:
        wire = self[kind] = self._make(PATHS[kind])
        return wire


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; None for a loopback address.

    aiohttp would look it up at every request, and would read a password for it from `~/.netrc`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is None or proxy.startswith(("http://", "https://")):
        return proxy
    if "://" in proxy:
        kind = proxy.partition("://")[0]
        raise EndpointRefused(
            f"{parts.scheme.upper()}_PROXY names a {kind} proxy; only http and https ones can be used"
        )
    return f"http://{proxy}"  # as curl does


def fault_of(error: Exception, began_s: float) -> Fault:
    """Return why an exchange that began then brought no reply."""
    kind, message = _translated(error)
    return Fault(kind, message, time.perf_counter() - began_s, not isinstance(error, _NO_CONNECTION))


def _translated(error: Exception) -> tuple[_Kind, str]:
    """Return kind and message of a fault. Never use the error's repr: it has the request's headers, key included."""
    for foreign, kind, message in _FAULTS:
        if isinstance(error, foreign):
            return kind, message.format(reason=_reason(error))
    return "connection", f"the exchange failed: {type(error).__name__}"


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(getattr(error.certificate_error, "verify_message", "it cannot be verified")).rstrip(".")
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ssl.SSLError) and error.reason:  # its number is not one of the system's
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)  # the own text of aiohttp and asyncio has the whole address
    return type(error).__name__


_NO_CONNECTION = (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)
"""Errors before which nothing was sent."""

_FAULTS: tuple[tuple[type[Exception], _Kind, str], ...] = (
    (TooLong, "too_large", f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB"),
    (BrokenOff, "bad_reply", "the stream of the answer broke off"),
    (aiohttp.ConnectionTimeoutError, "connection", "no connection in time"),
    (TimeoutError, "timeout", "no answer in time"),
    (aiohttp.ClientConnectorCertificateError, "connection", "the server's certificate is not accepted: {reason}"),
    (aiohttp.ClientConnectorDNSError, "connection", "the host's name cannot be looked up"),
    (aiohttp.ClientSSLError, "connection", "no secure connection: {reason}"),
    (ssl.SSLError, "connection", "no secure connection: {reason}"),
    (aiohttp.ClientConnectorError, "connection", "no connection: {reason}"),
    (aiohttp.ServerDisconnectedError, "connection", "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "connection", "the connection was cut in the middle of the answer"),
    (HttpProcessingError, "bad_reply", "the answer is not HTTP, or its headers are too long"),
    (aiohttp.ClientOSError, "connection", "the connection broke: {reason}"),
    (ConnectionResetError, "connection", "the connection broke as it was used again"),
)
"""Errors of aiohttp → kind, message. The first match counts, so special errors come before general ones."""
