"""How the body of an answer is read over a real socket: its length, its memory, its time."""

import asyncio
import gzip
import tracemalloc

import orjson
import pytest
from harness.attempts import BODY, Answer, Server, Writer, connected, fault, response, send
from harness.endpoints import ANSWER

from batchrun.answers.envelope import parse_completion
from batchrun.endpoint.http import body as body_module
from batchrun.endpoint.http import client as client_module
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply


def test_a_stream_that_is_not_closed_after_done_delays_nothing() -> None:
    """The client waits only a moment for the end after `[DONE]`."""

    async def lingers(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(b'data: {"choices": [{"delta": {"content": "ok"}}]}\n\ndata: [DONE]\n\n')
        await writer.drain()
        await asyncio.sleep(3)

    result = send(lingers)
    assert judge(result).kind is None
    assert result.latency_s < 1


def _endless(head: bytes) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(head)
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = [
    _endless(CHUNKED % b"application/json"),
    _endless(CHUNKED % b"text/event-stream"),
    response(b"", Content_Length=str(10**9)),
    response(gzip.compress(b" " * (8 << 20)), Content_Encoding="gzip"),
]


@pytest.mark.parametrize("answer", HUGE, ids=["endless", "endless stream", "a gigabyte", "a bomb"])
def test_an_answer_that_is_too_long_is_abandoned_without_filling_memory(
    answer: bytes | Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row fails, whether the length is stated, is not stated, or shows only when the answer is unpacked."""
    monkeypatch.setattr(body_module, "MAX_ANSWER_BYTES", 4 << 20)
    tracemalloc.start()
    try:
        result = send(answer)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fault(result) == ("too_large", "the answer is longer than 64 MiB")
    assert peak_bytes < 24 << 20


EVENT = b'data: {"choices": [{"delta": {"content": "o"}}]}\n\n'
LAST_EVENT = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def _streaming(pieces: int, every_s: float, last: bytes = b"") -> Answer:
    """Answer in this many pieces, then with the end or with silence."""

    async def answer(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for _ in range(pieces):
            writer.write(EVENT)
            await writer.drain()
            await asyncio.sleep(every_s)
        if last:
            writer.write(last)
            writer.close()
        else:
            await asyncio.sleep(60)

    return answer


def test_a_stream_may_take_longer_than_the_timeout() -> None:
    """As long as pieces arrive: a reasoning model may think for an hour."""

    async def main() -> Reply | Fault:
        async with connected(Server(_streaming(8, 0.1, LAST_EVENT)), timeout_s=0.6) as client:
            return await client.send(BODY)

    result = asyncio.run(main())
    assert isinstance(result, Reply)
    assert result.latency_s > 0.6
    assert orjson.loads(result.body)["choices"][0]["message"]["content"] == "oooooooo"


@pytest.mark.parametrize(("pieces", "every_s"), [(2, 0.0), (10_000, 0.01)], ids=["falls silent", "drips for ever"])
def test_a_stream_that_falls_silent_or_never_ends_is_a_timeout(
    pieces: int, every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither silence nor a byte now and then may hold a row for ever."""
    monkeypatch.setattr(client_module, "STREAM_TIMES", 3)

    async def main() -> Reply | Fault:
        async with connected(Server(_streaming(pieces, every_s)), timeout_s=0.2) as client:
            return await client.send(BODY)

    result = asyncio.run(asyncio.wait_for(main(), 10))
    assert isinstance(result, Fault)
    assert (result.kind, result.message) == ("timeout", "no answer in time")
    assert result.latency_s >= (0.2 if every_s == 0 else 0.4)


def test_an_answer_that_is_not_a_stream_gets_no_extra_time_for_its_pieces() -> None:
    """Only a stream is expected to take long."""

    async def answer(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def main() -> Reply | Fault:
        async with connected(Server(answer), timeout_s=0.2) as client:
            return await client.send(BODY)

    result = asyncio.run(asyncio.wait_for(main(), 10))
    assert isinstance(result, Fault)
    assert result.kind == "timeout"


EVENTS = b'data: {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
WHOLE = b'{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (EVENTS, "application/json"),
        (EVENTS, "text/plain; charset=utf-8"),
        (b"\n\n: WAITING\n\n" + EVENTS, ""),
        (WHOLE, "text/event-stream"),
        (WHOLE, "text/plain"),
        (b"\n\n" + WHOLE, "application/json"),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_read_for_what_it_is_whatever_its_content_type(
    body: bytes, content_type: str, is_chunked: bool
) -> None:
    """Gateways change or drop the type; the answer under it is paid for."""
    if is_chunked:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % content_type.encode()
        pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
        raw = head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
    else:
        raw = response(body, Content_Type=content_type)
    result = send(raw)
    assert isinstance(result, Reply)
    assert parse_completion(result.body).response == "ok"


def test_a_stream_under_another_type_that_breaks_off_is_not_an_answer() -> None:
    """Its end is missing."""
    assert fault(send(response(EVENTS[:50], Content_Type="text/plain")))[0] == "bad_reply"


def test_an_answer_under_a_long_head_is_read() -> None:
    """Some gateways add ten kilobytes of headers, or hundreds of them."""
    many = {f"X-{number}": "x" for number in range(300)}
    assert judge(send(response(WHOLE, X_Trace="x" * 10_000, **many))).kind is None


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_body_that_is_compressed_without_saying_so_is_unpacked(status: str, kind: str) -> None:
    """An answer, a stream and an error."""
    for body in (ANSWER, b"data: " + ANSWER + b"\n\ndata: [DONE]\n\n"):
        result = send(response(gzip.compress(body), status=status, Content_Type=kind))
        assert isinstance(result, Reply)
        assert b"choices" in result.body


def test_a_body_that_only_begins_like_a_compressed_one_is_kept() -> None:
    """As it came."""
    result = send(response(b"\x1f\x8b\x08 no"))
    assert isinstance(result, Reply)
    assert result.body == b"\x1f\x8b\x08 no"


@pytest.mark.parametrize(
    ("charset", "sent", "read"),
    [
        ("iso-8859-1", "é".encode("latin-1"), "é"),
        ('"Windows-1252"', "€".encode("cp1252"), "€"),
        ("iso-8859-1", "é".encode(), "é"),
        ("utf-8", b"\xe9", None),
        ("nonsense", b"\xe9", None),
    ],
)
def test_a_body_is_read_in_the_charset_that_its_head_names(charset: str, sent: bytes, read: str | None) -> None:
    """Unless it is UTF-8 after all, or nobody knows the charset."""
    result = send(response(b'{"a": "' + sent + b'"}', Content_Type=f"application/json; charset={charset}"))
    assert isinstance(result, Reply)
    assert result.body == b'{"a": "' + (sent if read is None else read.encode()) + b'"}'


PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "ok"}}]}\n\n'
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def cut(raw: bytes, *, resets: bool) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(raw)
        await writer.drain()
        if resets:
            await asyncio.sleep(0.02)
            writer.transport.abort()
        else:
            writer.close()

    return answer


def chunks(*pieces: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (chunks(ANSWER), 15),
        (chunks(ANSWER[:50], ANSWER[50:]), 15),
        (response(ANSWER, Content_Length=str(len(ANSWER) + 1)), 15),
        (response(ANSWER, Content_Length=str(2 << 20)), 15),
        (chunks(PIECE, END), None),
        (chunks(PIECE + END, USAGE), 7),
        (response(PIECE + END + USAGE, Content_Length="5000"), 7),
        (chunks(PIECE, END, USAGE[:40]), None),
        (chunks(PIECE, END, USAGE, b"data: [DO"), 7),
    ],
)
def test_an_answer_that_came_whole_counts_although_the_connection_breaks_after_it(
    raw: bytes, tokens: int | None, *, resets: bool
) -> None:
    """It is paid for; only the end of the frame around it is missing."""
    verdict = judge(send(cut(raw, resets=resets)))
    assert verdict.kind is None, verdict.message
    assert verdict.usage.total_tokens == tokens


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize(
    "raw",
    [
        chunks(ANSWER[:-1]),
        chunks(PIECE),
        chunks(PIECE, b'data: {"type": "heartbeat"}\n\n'),
        chunks(PIECE, END[:-12]),
        chunks(b"1"),
        response(ANSWER[:-1], Content_Length=str(len(ANSWER))),
    ],
)
def test_an_answer_that_is_cut_off_before_its_end_is_none(raw: bytes, *, resets: bool) -> None:
    """It is asked for again."""
    assert fault(send(cut(raw, resets=resets)))[0] == "connection"
