"""One HTTP/1.1 exchange over aiohttp's connections, without aiohttp's session.

A session makes a request object, a header object, a timer and a task for each request, which costs more than everything
else that is done for a row (`make bench`). Here all requests have the same head, except for its length. So aiohttp
opens and keeps the connections (names, TLS, proxies); this module writes the bytes of the request, and `receiver` takes
those of the answer. Both use parts of aiohttp that are not public: `tests/endpoint/http/test_wire.py` names them.
"""

import asyncio
import time
from functools import lru_cache, partial
from typing import Any, cast

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from batchrun.endpoint.http.receiver import Receiver

_CONCATENATED_BYTES = 1 << 16
"""Up to this size, head and body are sent as one piece: a copy is cheaper than a second packet."""

_NO_TRACES: list[Any] = []


class StaleError(Exception):
    """A connection that had been used before broke without a byte of an answer."""

    def __init__(self, broken: Exception) -> None:
        super().__init__()
        self.broken = broken
        """The error of aiohttp."""


class Answer:
    """Status and headers of an answer, and its body, which is not read yet. The caller must release it in any case."""

    __slots__ = ("_connection", "_connector", "body", "headers", "status")

    def __init__(self, connector: "Connector", connection: Connection, receiver: Receiver) -> None:
        self._connector = connector
        self._connection = connection
        self.body = receiver
        self.status = receiver.status
        self.headers = receiver.headers

    def header(self, name: str) -> str | None:
        """Return a header by its name in lower case; None if there is none."""
        value = self.headers.get(name.encode())
        return None if value is None else _text(value)

    @property
    def content_length(self) -> int | None:
        """The length of the body, if its head states one."""
        length = self.headers.get(b"content-length")
        return None if length is None else int(length)  # the parser refuses anything but a number

    def release(self) -> None:
        """Give the connection back, to be used again if it can be."""
        self._connector.keep(self._connection, self.body)


@lru_cache
def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


class Connector(aiohttp.TCPConnector):
    """Opens connections to one endpoint, whose answers a `Receiver` takes, and keeps those that can be used again.

    aiohttp would look up the kept ones by all that distinguishes endpoints, for each request. For aiohttp a kept
    connection is in use, so it counts for the limit: a new one is opened only when none is kept.
    """

    def __init__(self, *, kept_s: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast(Any, partial(Receiver, asyncio.get_running_loop()))
        self._kept_s = kept_s
        self._kept: list[tuple[Connection, Receiver, float]] = []
        self.opened_in_s: float | None = None
        """How long it took to open the first connection, TLS and proxy included; None as long as none was opened."""

    def take(self) -> tuple[Connection, Receiver] | None:
        """Return the connection that was kept last, if it is open and was kept no longer than is allowed."""
        while self._kept:
            connection, receiver, since_s = self._kept.pop()
            if receiver.is_connected() and time.perf_counter() - since_s <= self._kept_s:
                return connection, receiver
            connection.close()
        return None

    def keep(self, connection: Connection, receiver: Receiver) -> None:
        """Keep a connection; close it if it cannot be used again, or if part of the request is not written yet."""
        transport = receiver.transport
        if transport is None or receiver.should_close or transport.get_write_buffer_size():
            connection.close()  # answered before the request was complete: what comes next is unknown
        elif self._waiters:  # as many are open as may be, and requests wait for one of them
            connection.release()
        else:
            self._kept.append((connection, receiver, time.perf_counter()))

    def drop(self) -> None:
        """Close the connections that are kept."""
        for connection, _, _ in self._kept:
            connection.close()
        self._kept.clear()


class Wire:
    """Sends requests to one URL by one method."""

    def __init__(
        self,
        connector: Connector,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        proxy: str | None,
        connect_timeout_s: float,
    ) -> None:
        """Prepare what all exchanges share; on the event loop.

        Args:
            connector: opens and keeps the connections.
            method: GET or POST.
            url: with scheme and host.
            headers: of each request, in addition to `Host` and `Content-Length`. A proxy sees them only if the URL is
                http.
            proxy: its URL, if there is one.
            connect_timeout_s: of opening a connection.
        """
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        where = URL(url)
        # The connector reads from it where to connect, and by which proxy. It is never sent.
        self._request = aiohttp.ClientRequest(
            method, where, loop=asyncio.get_running_loop(), proxy=None if proxy is None else URL(proxy)
        )
        self._is_by_plain_proxy = proxy is not None and where.scheme == "http"
        target = str(where) if self._is_by_plain_proxy else where.raw_path_qs
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._request.headers['Host']}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")

    async def exchange(self, body: bytes) -> Answer:
        """Send a request; return the answer as soon as its head has arrived.

        Raises:
            StaleError: a kept connection broke before the answer began: the server may have closed it before.
            aiohttp.ClientError: no connection could be made, or it broke.
            aiohttp.http_exceptions.HttpProcessingError: the answer is not HTTP.
        """
        connection, receiver = self._connector.take() or await self._connected()
        try:
            transport = receiver.transport
            assert transport is not None
            was_used = receiver.was_used
            receiver.begin()
            self._write(transport, body)
            await receiver.head()
        except (aiohttp.ServerDisconnectedError, OSError) as broken:
            connection.close()
            if was_used and not receiver.has_begun:
                raise StaleError(broken) from broken
            raise
        except BaseException:
            connection.close()
            raise
        return Answer(self._connector, connection, receiver)

    async def _connected(self) -> tuple[Connection, Receiver]:
        """Return a new connection."""
        began_s = time.perf_counter()
        try:
            connection = await self._connector.connect(self._request, _NO_TRACES, self._timeout)
        except TimeoutError as late:
            raise aiohttp.ConnectionTimeoutError from late
        if self._connector.opened_in_s is None:
            self._connector.opened_in_s = time.perf_counter() - began_s
        return connection, cast(Receiver, connection.protocol)

    def _write(self, transport: asyncio.WriteTransport, body: bytes) -> None:
        own = self._head_by_proxy() if self._is_by_plain_proxy else self._head
        head = b"%bContent-Length: %d\r\n\r\n" % (own, len(body))
        if len(body) <= _CONCATENATED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    def _head_by_proxy(self) -> bytes:
        """Return the head for a plain proxy, with the credentials of its URL once the connector has read them."""
        if "Proxy-Authorization" not in self._request.headers:
            return self._head
        return b"%bProxy-Authorization: %b\r\n" % (
            self._head,
            self._request.headers["Proxy-Authorization"].encode("latin-1"),
        )
