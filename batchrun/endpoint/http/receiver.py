"""Receives the answers on one connection: parses their frame, and collects their bodies until someone looks.

aiohttp opens the connection, through a proxy and with TLS if need be, and this is its protocol there. From the first
request on the bytes go to httptools, which calls back for each part of an answer. The pieces of a body are appended to
a list, and nothing else is done for each: no task wakes up, no timer is set. The task that waits is woken when

- the head has arrived, unless the answer is short: then when all of it has arrived;
- so much has arrived since it looked last as it has asked for;
- the answer has ended, or the connection broke;
- someone calls `look`: a stream that falls silent is looked at by `sweep`.
"""

import asyncio
import sys

import aiohttp
import httptools
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from batchrun.endpoint.http.lengths import with_one_length

_HEAD_BYTES = 1 << 16
"""Longest head of an answer. Some gateways send more than the 8 kB of most clients, and the answer is paid for."""

_PAUSE_BYTES = 1 << 17
"""How much may wait to be read. TCP holds the sender back after that."""

_SHORT_BYTES = 1 << 16
"""A body of a stated length up to this is waited for together with its head."""


class Receiver(ResponseHandler):
    """The receiving end of one connection, for one answer after the other."""

    __slots__ = (  # read and written for each piece: three times as fast as in the dictionary of aiohttp's protocol
        "_began_at",
        "_broken",
        "_ends_with_connection",
        "_fields",
        "_is_busy",
        "_is_paused",
        "_look_at",
        "_look_bytes",
        "_parser_of_answers",
        "_pieces",
        "_read_to",
        "_take",
        "_waiter",
        "arrived_bytes",
        "headers",
        "is_complete",
        "status",
        "was_used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin as aiohttp's protocol, which reads a proxy's answer to CONNECT."""
        super().__init__(loop)
        self.was_used = False
        """Whether a request was sent on this connection."""
        self.status = 0
        """Of the answer; 0 before its head has arrived."""
        self.headers: dict[bytes, bytes] = {}
        """Of the answer, by their names in lower case."""
        self.is_complete = False
        """Whether the answer has arrived to its end."""
        self.arrived_bytes = 0
        """Counts what arrives, to show whether something does."""
        self._take = super().data_received
        """What is done with the bytes that arrive: it depends on whether an answer is expected."""
        self._pieces: list[bytes] = []
        self._fields: dict[bytes, bytes] = {}
        self._look_bytes = 0
        # In the count of what arrives: where this answer began, what was read, and when to wake the task that waits.
        self._began_at = self._read_to = self._look_at = 0
        self._broken: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_busy = self._is_paused = self._ends_with_connection = False

    # What the wire calls.

    def begin(self) -> None:
        """Expect an answer: a request is about to be sent."""
        if not self.was_used:
            self.was_used = True
            self._parser_of_answers = self._new_parser()
        self.status = self._look_bytes = 0
        self._began_at = self._read_to = self.arrived_bytes
        self._look_at = self._began_at + _HEAD_BYTES
        self.is_complete, self._is_busy = False, True
        self._take = self._parser_of_answers.feed_data
        if self._tail:  # the server has sent something before it was asked
            early, self._tail = self._tail, b""
            self.data_received(early)

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(_Callbacks(self))
        # As lenient as aiohttp is with answers, and for the same servers.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser

    async def head(self) -> None:
        """Wait for the head of the answer, and for all of a short answer.

        Raises:
            aiohttp.ClientError: the connection broke before.
            aiohttp.http_exceptions.HttpProcessingError: the answer is not HTTP.
        """
        if not self.status and self._broken is None:
            await self._woken()
        if not self.status and self._broken is not None:
            raise self._broken

    def look_every(self, size_bytes: int) -> None:
        """Wake the task that waits for more only when so much has arrived since it read; 0: for each piece."""
        self._look_bytes = size_bytes

    async def more(self) -> bytes:
        """Return what has arrived of the body since the last call, as soon as there is enough; nothing at its end.

        Raises:
            aiohttp.ClientError: the connection broke, after all that had arrived was returned.
            aiohttp.http_exceptions.HttpProcessingError: the answer is not HTTP.
        """
        pieces = self._pieces
        if self._is_busy:
            self._look_at = self._read_to + self._look_bytes
        if not pieces or self.arrived_bytes < self._look_at:
            while not (self.is_complete or self._broken):
                await self._woken()
                if pieces:
                    break
        if not pieces and self._broken is not None:
            raise self._broken
        return self.take()

    def take(self) -> bytes:
        """Return what has arrived of the body since it was read last."""
        pieces, self._read_to = self._pieces, self.arrived_bytes
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._is_paused:
            self._pause(False)
        return body

    def look(self) -> None:
        """Wake the task that waits if there is something to read."""
        if self._pieces:
            self._wake()

    # What the connection calls.

    def data_received(self, data: bytes) -> None:
        """Take bytes; called for each piece that arrives."""
        arrived_bytes = self.arrived_bytes = self.arrived_bytes + len(data)
        take = self._take  # read as an attribute, and then called: faster than looked up as a method
        try:
            take(data)
        except httptools.HttpParserUpgrade:
            self._end_with(None)
        except httptools.HttpParserError as error:
            self._take_again(data, error)
        if arrived_bytes >= self._look_at:
            self._note_unread()

    def _take_again(self, data: bytes, error: Exception) -> None:
        """Take an answer that the parser refuses for its several lengths, if these are equal and it has just begun."""
        again = None if self.status or self.arrived_bytes - self._began_at > len(data) else with_one_length(data)
        if again is None:
            self._end_with(error)
            return
        self._parser_of_answers = self._new_parser()
        self._take = self._parser_of_answers.feed_data
        try:
            self._take(again)
        except httptools.HttpParserError as other:
            self._end_with(other)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection; some answers end with it."""
        if self._is_busy and not self.is_complete and self._broken is None:
            if not self.status:
                self._broken = (
                    aiohttp.ClientOSError(*exc.args) if isinstance(exc, OSError) else aiohttp.ServerDisconnectedError()
                )
            elif self._ends_with_connection:
                self.is_complete = True
            else:
                self._broken = aiohttp.ClientPayloadError()
        self._wake()
        self._take = _ignore
        if self.was_used:  # it has methods of this object, so both would be freed late: by the search for cycles
            del self._parser_of_answers
        super().connection_lost(exc)

    @property
    def has_begun(self) -> bool:
        """Whether anything of the answer has arrived."""
        return self.arrived_bytes > self._began_at

    @property
    def should_close(self) -> bool:
        """Whether the connection cannot be used again: its answer was not read to its end, or was the last one."""
        return self._is_busy or bool(self._pieces) or super().should_close

    # What the parser calls.

    def on_begin(self) -> None:
        """Begin an answer; refuse a second one to the same request."""
        if self.is_complete:
            raise ValueError
        self._fields.clear()

    def on_head(self) -> None:
        """Take the end of a head."""
        if self.arrived_bytes - self._began_at > _HEAD_BYTES and sum(map(len, self._fields.values())) > _HEAD_BYTES:
            raise ValueError
        status = self._parser_of_answers.get_status_code()
        if 100 <= status < 200 and status != 101:  # another answer follows
            return
        self.headers = headers = {name.lower(): value for name, value in self._fields.items()}
        self.status = status
        length = headers.get(b"content-length")
        self._ends_with_connection = length is None and b"chunked" not in headers.get(b"transfer-encoding", b"").lower()
        if length is None or int(length) > _SHORT_BYTES:
            self._wake()

    def on_end(self) -> None:
        """Take the end of an answer."""
        if self.status:
            self.is_complete = True
            self._is_busy = False
            self._look_at = sys.maxsize
            self._take = self._refuse
            if not self._parser_of_answers.should_keep_alive():
                self.force_close()
            self._wake()

    # Waiting.

    async def _woken(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _note_unread(self) -> None:
        """Have the pieces read that have come together, and hold the sender back when there are too many."""
        unread_bytes = self.arrived_bytes - self._read_to
        if self._pieces:
            self._wake()
            if unread_bytes > _PAUSE_BYTES:
                self._pause(True)
        elif unread_bytes > (_PAUSE_BYTES if self.status else _HEAD_BYTES):  # a long head, empty chunks, or trailers
            self._end_with(ValueError())

    def _pause(self, is_paused: bool) -> None:
        if self.transport is not None and is_paused != self._is_paused:
            (self.transport.pause_reading if is_paused else self.transport.resume_reading)()
        self._is_paused = is_paused

    def _end_with(self, error: Exception | None) -> None:
        """End what is not HTTP, or not any more; what comes after an answer belongs to nobody."""
        if error is None:
            self.is_complete = True
        elif not self.is_complete:
            self._broken = HttpProcessingError()
            self._broken.__cause__ = error
        self._refuse(b"")
        self._wake()

    def _refuse(self, data: bytes) -> None:
        """Close the connection: this would be taken for the answer to the next request."""
        self.force_close()
        self._take = _ignore
        if self.transport is not None:
            self.transport.close()


def _ignore(data: bytes) -> None:
    """Drop what arrives while a connection closes."""


class _Callbacks:
    """What the parser calls: the methods of a list and of a dictionary where they do all that is to be done."""

    def __init__(self, receiver: Receiver) -> None:
        self.on_message_begin = receiver.on_begin
        self.on_header = receiver._fields.__setitem__
        self.on_headers_complete = receiver.on_head
        self.on_body = receiver._pieces.append
        self.on_message_complete = receiver.on_end
