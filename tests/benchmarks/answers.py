"""A static server for the benchmarks, as a program: every request gets the same answer, immediately, late or never.

It prints its port, the time of the first request, and on SIGTERM its counts: one JSON object per line.
`python -m benchmarks.answers --latency-s 1`
"""

import argparse
import asyncio
import json
import re
import signal
import time
from typing import Any, NamedTuple

from benchmarks.vectors import replies

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

_TEXT = (
    "The review is mixed. The buyer likes how quickly the kettle boils and how quiet it is, but is unhappy with the "
    "handle, which gets far too hot for me."
)
ANSWER = json.dumps(
    {
        "id": "chatcmpl-3f1c9d6e7a2b4c58",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT, "tool_calls": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 61, "completion_tokens": 42, "total_tokens": 103, "prompt_tokens_details": None},
        "system_fingerprint": "fp_b1",
    }
).encode()
"""A chat completion of 560 bytes, as a labelling job gets it."""


SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["positive", "negative", "mixed"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "is_complaint": {"type": "boolean"},
        "reason": {"type": "string"},
        "seen_on": {"type": "string", "format": "date"},
        "topics": {"type": "array", "items": {"type": "string"}},
        "language": {"type": "string"},
    },
    "additionalProperties": False,
}
"""Eight columns, each of another type."""

_OBJECT = {
    "label": "mixed",
    "score": 0.62,
    "stars": 3,
    "is_complaint": True,
    "reason": "Boils quickly and quietly, but the handle gets too hot to hold.",
    "seen_on": "2026-03-14",
    "topics": ["speed", "noise", "handle"],
    "language": "en",
}

TYPED_ANSWER = ANSWER.replace(json.dumps(_TEXT).encode(), json.dumps(json.dumps(_OBJECT)).encode(), 1)
"""The same with an object that fits the schema."""


def answer_of(size_bytes: int, *, is_typed: bool = False) -> bytes:
    """Return the answer with a text that is so much longer that it has a size; `ANSWER` if that is not less.

    Or the one with an object.
    """
    if is_typed:
        return TYPED_ANSWER
    return (
        ANSWER.replace(_TEXT.encode(), (_TEXT + " " + "x" * (size_bytes - len(ANSWER) - 1)).encode(), 1)
        if size_bytes > len(ANSWER)
        else ANSWER
    )


_CHUNK = json.dumps(
    {
        "id": "chatcmpl-3f1c9d6e7a2b4c58",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
    }
).encode()
_LAST = _CHUNK.replace(b'"finish_reason": null', b'"finish_reason": "stop"')

REFUSAL = b'{"error": {"message": "This prompt is not to be answered.", "code": 400}}'


def _whole(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_REFUSED = _whole(b"400 Bad Request", REFUSAL)

_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(data: bytes) -> bytes:
    """Return a server-sent event as one chunk of a body."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


_TOKEN = _event(_CHUNK)
_STREAM_TAIL = _event(_LAST) + _event(b"[DONE]") + b"0\r\n\r\n"

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Counts:
    """The server's counts; times are on the monotonic clock, which all processes of a machine share."""

    def __init__(self, full: int, turn_s: float) -> None:
        self._full, self._turn_s = full, turn_s
        self.received = self.answered = self.most = 0
        self.first_s = self.last_s = 0.0
        self.full_s: float | None = None
        """When the expected number was in flight for the first time."""
        self.turns: list[int] = []
        """Requests in each turn since then. A turn lasts as long as the server's latency: one request per slot."""

    def arrived(self) -> None:
        """Count a request."""
        self.last_s = time.monotonic()
        self.received += 1
        self.most = max(self.most, self.received - self.answered)
        if self.received == 1:
            self.first_s = self.last_s
            _say({"first_s": self.first_s})
        if self.full_s is not None:
            turn = int((self.last_s - self.full_s) / self._turn_s)
            self.turns += [0] * (turn + 1 - len(self.turns))
            self.turns[turn] += 1
        elif self.received - self.answered >= self._full:
            self.full_s = self.last_s

    def as_dict(self) -> dict[str, Any]:
        """Return all counts."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class Manner(NamedTuple):
    """How a server answers."""

    latency_s: float
    """Wait before an answer; negative: for ever."""
    tokens: int = 0
    """Tokens of an answer, which is then streamed; 0: the answer is sent whole."""
    per_s: float = 1.0
    """Tokens per second."""
    refuse_every: int = 0
    """One of this many requests is refused; 0: none."""
    answers: tuple[bytes, ...] = (_whole(b"200 OK", ANSWER),)
    """What is sent of answers that are not streamed; they take turns."""


class Exchange(asyncio.Protocol):
    """One connection, kept alive: finds the end of each request and answers it."""

    def __init__(self, counts: Counts, manner: Manner) -> None:
        self._counts, self._manner = counts, manner
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to answer on it."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._unread += data
        while (size := _size(self._unread)) is not None and len(self._unread) >= size:
            self._unread = self._unread[size:]
            self._counts.arrived()
            if self._manner.latency_s == 0:
                self._answer()
            elif self._manner.latency_s > 0:
                asyncio.get_running_loop().call_later(self._manner.latency_s, self._answer)

    def _answer(self) -> None:
        if self._manner.tokens:
            self._write(_STREAM_HEAD)
            self._stream(self._manner.tokens)
        else:
            self._counts.answered += 1
            every = self._manner.refuse_every
            is_refused = every and self._counts.answered % every == 0
            answers = self._manner.answers
            self._write(_REFUSED if is_refused else answers[self._counts.answered % len(answers)])

    def _stream(self, left: int) -> None:
        if left:
            self._write(_TOKEN)
            asyncio.get_running_loop().call_later(1 / self._manner.per_s, self._stream, left - 1)
        else:
            self._counts.answered += 1
            self._write(_STREAM_TAIL)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _size(data: bytes) -> int | None:
    """Return the size of the first request in bytes, None while its head is incomplete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end)
    return end + 4 + (int(length[1]) if length else 0)


def _say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


async def _serve(manner: Manner, full: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    counts = Counts(full, manner.latency_s or 1.0)
    server = await loop.create_server(lambda: Exchange(counts, manner), "127.0.0.1", 0, backlog=4096)
    _say({"port": server.sockets[0].getsockname()[1]})
    await ended.wait()
    _say(counts.as_dict())


def main() -> None:
    """Serve until SIGTERM."""
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-s", type=float, default=0.0, help="seconds until an answer; negative: never")
    parser.add_argument("--tokens", type=int, default=0, help="stream answers of this many tokens")
    parser.add_argument("--per-s", type=float, default=50.0, help="tokens per second")
    parser.add_argument("--refuse-every", type=int, default=0, help="refuse one of this many requests with a 400")
    parser.add_argument("--answer-bytes", type=int, default=0, help="size of an answer, at least that of the usual one")
    parser.add_argument("--is-typed", type=int, default=0, help="1: answer with an object of eight columns")
    parser.add_argument("--dimensions", type=int, default=0, help="answer with vectors of this length, not with texts")
    parser.add_argument("--full", type=int, default=1 << 30, help="number of requests in flight that counts as full")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one = answer_of(given.answer_bytes, is_typed=bool(given.is_typed))
        bodies = replies(given.dimensions) if given.dimensions else [one]
        answers = tuple(_whole(b"200 OK", body) for body in bodies)
        manner = Manner(given.latency_s, given.tokens, given.per_s, given.refuse_every, answers)
        runner.run(_serve(manner, given.full))


if __name__ == "__main__":
    main()
