"""Servers that break the rules: each attempt ends in time, with one verdict, in bounded memory, and shows no key."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
import uvloop
from harness.raw_servers import Behaviour, RawServer, Visit, answer, completion, echo, prompt_of

from batchrun.endpoint.http import body as body_module
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.key import Secret
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply

KEY = "sk-canary-5f1d2c9b"
OK = answer(completion("first"))
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "o"}}]}\n\n'
TIMEOUT_S = 0.2

T = TypeVar("T")


def opened(base_url: str, *, connections: int = 4, timeout_s: float = 5.0) -> HttpClient:
    return HttpClient(
        base_url,
        Secret(KEY),
        "team/project",
        connections=connections,
        timeout_s=timeout_s,
        connect_timeout_s=timeout_s,
        user_agent="batchrun/test",
    )


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the event loop that `batchrun run` uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def reply_of(client: HttpClient, prompt: str) -> Reply | Fault:
    """Send until there is a reply: a connection may close just as it is reused, and then the pool sends again."""
    for _ in range(3):
        result = await client.send(ask(prompt))
        if isinstance(result, Reply):
            break
    return result


def ask(prompt: str) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})


def text_of(result: Reply | Fault) -> str:
    assert isinstance(result, Reply), result
    return str(orjson.loads(result.body)["choices"][0]["message"]["content"])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def says(data: bytes) -> Behaviour:
    """Read a request, send bytes, close."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(data)

    return behave


def says_and_waits(data: bytes) -> Behaviour:
    """Read a request, send bytes, and leave the connection open."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(data)
        await visit.reader.read()

    return behave


def says_for_ever(head: bytes, again: bytes, every_s: float = 0.0) -> Behaviour:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(head)
        await visit.say_for_ever(again, every_s)

    return behave


async def half_closes(visit: Visit) -> None:
    await visit.request()
    await visit.say(answer(completion("first"), "200 OK", "Content-Length: 5000"))
    visit.writer.write_eof()
    await visit.reader.read()


async def never_reads(visit: Visit) -> None:
    await asyncio.sleep(60)


async def answers_first(visit: Visit) -> None:
    await visit.say(OK)
    await visit.reader.read(1)


async def resets(visit: Visit) -> None:
    await visit.request()
    visit.writer.transport.abort()


def length(*values: object) -> bytes:
    body = completion("first")
    head = "".join(f"Content-Length: {value}\r\n" for value in values)
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n".encode() + body


def packed(body: bytes, encoding: str) -> bytes:
    return answer(body, "200 OK", f"Content-Encoding: {encoding}")


JSON_LENGTH = len(completion("first"))
HTML = b"<!doctype html><html><body>Sign in</body></html>"

BROKEN: dict[str, tuple[Behaviour, str]] = {
    "cut in the status line": (says(b"HTTP/1.1 20"), "connection"),
    "cut in the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Type: appl"), "connection"),
    "cut after the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "connection"),
    "cut in the body": (says(OK[:-9]), "connection"),
    "cut in a chunk": (says(CHUNKED + b"ff\r\n{"), "connection"),
    "cut in the length of a chunk": (says(CHUNKED + chunk(completion("x")) + b"f"), "connection"),
    "cut before the last chunk": (says(CHUNKED + chunk(completion("x"))), "connection"),
    "cut in an event": (says(STREAM + chunk(EVENT + EVENT[:20])), "connection"),
    "a stream that ends in an event": (says(STREAM + chunk(EVENT + EVENT[:20]) + b"0\r\n\r\n"), "bad_reply"),
    "a stream that ends before its end": (says(STREAM + chunk(EVENT) + b"0\r\n\r\n"), "bad_reply"),
    "a stream of nothing": (says(STREAM + b"0\r\n\r\n"), "bad_reply"),
    "closed without a word": (says(b""), "connection"),
    "reset": (resets, "connection"),
    "half closed in the body": (half_closes, "connection"),
    "a length that is too long": (says(length(JSON_LENGTH + 5)), "connection"),
    "a length that is too short": (says_and_waits(length(JSON_LENGTH - 5)), "bad_reply"),
    "a negative length": (says(length(-1)), "bad_reply"),
    "a length in words": (says(length("many")), "bad_reply"),
    "a length beyond all integers": (says(length(10**30)), "bad_reply"),
    "two lengths": (says(length(JSON_LENGTH, 5)), "bad_reply"),
    "a length and chunks": (
        says(answer(b"", "200 OK", "Content-Length: 5", "Transfer-Encoding: chunked")),
        "bad_reply",
    ),
    "a chunk of negative length": (says(CHUNKED + b"-5\r\nhello\r\n"), "bad_reply"),
    "a chunk of a length beyond all integers": (says(CHUNKED + b"f" * 40 + b"\r\nhello\r\n"), "bad_reply"),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "bad_reply"),
    "zeros": (says(bytes(5000)), "bad_reply"),
    "TLS where none was asked for": (says(b"\x15\x03\x01\x00\x02\x02\x28"), "bad_reply"),
    "HTTP/2": (says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), "bad_reply"),
    "HTTP/9": (says(OK.replace(b"HTTP/1.1", b"HTTP/9.9")), "bad_reply"),
    "a header without a colon": (says(answer(b"", "200 OK", "nonsense")), "bad_reply"),
    "a header with a zero byte": (says(answer(b"", "200 OK", "X-A: a\0b")), "bad_reply"),
    "a header of 100 KB": (says(answer(b"", "200 OK", "X-A: " + "a" * 100_000)), "bad_reply"),
    "10,000 headers": (says(answer(b"", "200 OK", *(f"X-{each}: a" for each in range(10_000)))), "bad_reply"),
    "a header that never ends": (says_for_ever(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 10_000), "bad_reply"),
    "headers that never end": (says_for_ever(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n" * 99), "bad_reply"),
    "a status line that never ends": (says_for_ever(b"HTTP/1.1 200 O", b"K" * 10_000), "bad_reply"),
    "trailers that never end": (says_for_ever(CHUNKED + b"0\r\n", b"X-A: a\r\n" * 99), "bad_reply or connection"),
    "no answer": (says_and_waits(b""), "timeout"),
    "accepted and never read": (never_reads, "timeout"),
    "half a head and then nothing": (says_and_waits(b"HTTP/1.1 200 OK\r\nContent-"), "timeout"),
    "half a body and then nothing": (says_and_waits(OK[:-9]), "timeout"),
    "interim answers without end": (says_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 9, 0.01), "timeout"),
    "a head that drips": (says_for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.02), "timeout"),
    "a body that drips": (says_for_ever(CHUNKED, chunk(b" "), 0.02), "timeout"),
    "a stream that drips": (says_for_ever(STREAM, chunk(b":"), 0.02), "timeout"),
    "a stream of comments": (says_for_ever(STREAM, chunk(b": waiting\n\n"), 0.02), "timeout"),
    "a stream of empty chunks of text": (says_for_ever(STREAM, chunk(EVENT), 0.02), "timeout"),
    "an error that drips": (says_for_ever(CHUNKED.replace(b"200 OK", b"503 No"), chunk(b" "), 0.02), "timeout"),
    "no gzip under that name": (says(packed(completion("x"), "gzip")), "connection"),
    "gzip that is cut": (says(packed(gzip.compress(completion("x"))[:30], "gzip")), "bad_reply"),
    "brotli, which nobody asked for": (says(packed(b"\x0b\x02\x80", "br")), "bad_reply"),
    "an encoding that nobody knows": (says(packed(b"abc", "rot13")), "bad_reply"),
    "HTML": (says(answer(HTML, "200 OK", "Content-Type: text/html")), "bad_reply"),
    "nothing": (says(answer(b"")), "bad_reply"),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), "bad_reply"),
    "not modified": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "bad_reply"),
    "no content, with content": (says_and_waits(answer(completion("x"), "204 No Content")), "bad_reply"),
    "an upgrade": (says_and_waits(b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\xff"), "bad_reply"),
    "status 999": (says(answer(b"{}", "999 Odd")), "server_error"),
    "status 99": (says(answer(b"{}", "99 Odd")), "bad_reply"),
    "status 20": (says(answer(b"{}", "20 Odd")), "bad_reply"),
    "UTF-16": (says(answer(completion("x").decode().encode("utf-16"))), "bad_reply"),
    "Latin-1": (says(answer(completion("x").replace(b"x", b"\xe9"))), "bad_reply"),
    "a list": (says(answer(b"[1, 2]")), "bad_reply"),
    "a text": (says(answer(b'"choices"')), "bad_reply"),
    "null": (says(answer(b"null")), "bad_reply"),
    "NaN": (says(answer(b'{"choices": NaN}')), "bad_reply"),
    "nothing but nulls": (says(answer(b'{"id": null, "choices": null, "usage": null}')), "bad_reply"),
    "choices that are null": (says(answer(b'{"choices": [null]}')), "bad_reply"),
    "an error that is cut": (says(answer(b'{"error": ', "401 No", "Content-Length: 500")), "unauthorized"),
    "an error that is not gzip": (says(answer(b"no", "503 No", "Content-Encoding: gzip")), "overloaded"),
    "an error without end": (says_for_ever(CHUNKED.replace(b"200 OK", b"503 No"), chunk(b" " * 65_536)), "overloaded"),
    "an error of a gigabyte": (says_and_waits(answer(b"", "429 No", f"Content-Length: {10**9}")), "timeout"),
}
"""Behaviour of a server → how the attempt is judged."""


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_the_rules_gets_a_verdict_in_time(name: str) -> None:
    """No traceback and no endless wait; the key is nowhere, and the next request gets its own answer."""
    behave, kind = BROKEN[name]

    async def first_only(visit: Visit) -> None:
        await (behave if visit.number == 0 else echo)(visit)

    timeout_s = TIMEOUT_S if "timeout" in kind else 5.0

    async def main() -> tuple[Reply | Fault, Reply | Fault]:
        async with RawServer(first_only).listening() as base_url, opened(base_url, timeout_s=timeout_s) as client:
            return await client.send(ask("one")), await reply_of(client, "two")

    began_s = time.monotonic()
    result, following = run(main())
    assert time.monotonic() - began_s < 3  # and not a minute: the machine may be busy
    verdict = judge(result)
    assert verdict.kind in kind.split(" or "), verdict
    assert verdict.message
    assert verdict.message.isprintable()
    assert KEY not in repr(result)
    assert text_of(following) == "two"


NULLS = b'{"id":null,"choices":[{"index":null,"message":{"role":null,"content":null},"finish_reason":null}],"usage":%s}'
COUNTS = b'{"prompt_tokens":%s,"completion_tokens":%s,"total_tokens":%s}'
COMPLETE: dict[str, bytes] = {
    "HTTP/1.0": OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an answer that ends with the connection": b"HTTP/1.0 200 OK\r\n\r\n" + completion("first"),
    "interim answers before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
    "no content type": OK.replace(b"Content-Type: application/json\r\n", b""),
    "a wrong content type": OK.replace(b"application/json", b"text/html; charset=utf-7"),
    "nonsense as content type": OK.replace(b"application/json", b';;"\xff=/'),
    "gzip": packed(gzip.compress(completion("first")), "gzip"),
    "deflate": packed(zlib.compress(completion("first")), "deflate"),
    "cookies, a place to go, and an odd wish": answer(
        completion("first"),
        "200 OK",
        "Set-Cookie: a=b",
        "Location: http://x.example/",
        "Refresh: 0",
        "Retry-After: nan",
    ),
    "no usage": answer(NULLS % b"null"),
    "usage of another kind": answer(NULLS % b"[]"),
    "negative usage": answer(NULLS % (COUNTS % (b"-1", b"-2", b"-3"))),
    "usage in fractions": answer(NULLS % (COUNTS % (b"1.5", b"2.5", b"1e3"))),
    "usage in words": answer(NULLS % (COUNTS % (b'"1"', b'"two"', b"true"))),
    "usage beyond all integers": answer(NULLS % (COUNTS % (b"9" * 40, b"9" * 300, b"18446744073709551615"))),
}
"""Odd replies that are still answers."""


@pytest.mark.parametrize("name", COMPLETE)
def test_an_odd_answer_is_an_answer_and_only_its_sensible_parts_are_used(name: str) -> None:
    """Values that are not counts are absent; they become neither money nor an error."""

    async def main() -> Reply | Fault:
        async with RawServer(says(COMPLETE[name])).listening() as base_url, opened(base_url) as client:
            return await client.send(ask("one"))

    verdict = judge(run(main()))
    assert verdict.kind is None, verdict
    assert set(verdict.usage) == ({None} if "usage" in name else {10, 5, 15, None})


# Whose answer it is.


Twice = Callable[[Visit, bytes], Awaitable[None]]


async def _in_one_piece(visit: Visit, answered: bytes) -> None:
    await visit.say(answered + answered)


async def _a_moment_later(visit: Visit, answered: bytes) -> None:
    await visit.say(answered)
    await asyncio.sleep(0.02)
    await visit.say(answered)


async def _beginning_only(visit: Visit, answered: bytes) -> None:
    await visit.say(answered + answered[:-5])


@pytest.mark.parametrize("twice", [_in_one_piece, _a_moment_later, _beginning_only])
def test_a_second_answer_to_one_request_is_never_the_next_ones(twice: Twice) -> None:
    """A connection with unread data is not reused: from then on each row would get the answer of the row before."""

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            await twice(visit, answer(completion(prompt)))

    async def main() -> list[str]:
        texts = []
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=1) as client:
            for number in range(4):
                texts.append(text_of(await client.send(ask(str(number)))))
                await asyncio.sleep(0.04)  # the second answer arrives while the connection is idle
        return texts

    assert run(main()) == ["0", "1", "2", "3"]


def test_a_timeout_notice_on_an_idle_connection_is_no_rows_answer() -> None:
    """HAProxy and others send 408 before they close a connection that was idle for too long."""

    async def behave(visit: Visit) -> None:
        await visit.say(answer(completion(prompt_of(await visit.request()))))
        await asyncio.sleep(0.01)
        await visit.say(answer(b"", "408 Request Timeout"))
        await echo(visit)

    async def main() -> tuple[Reply | Fault, Reply | Fault]:
        async with RawServer(behave).listening() as base_url, opened(base_url) as client:
            one = await client.send(ask("one"))
            await asyncio.sleep(0.04)
            return one, await client.send(ask("two"))

    assert [text_of(each) for each in run(main())] == ["one", "two"]


def test_a_late_answer_to_a_request_that_timed_out_is_no_rows_answer() -> None:
    """After a timeout the connection is closed, and data that still arrives on it is dropped."""

    async def behave(visit: Visit) -> None:
        prompt = prompt_of(await visit.request())
        await asyncio.sleep(1.5 * TIMEOUT_S if visit.number == 0 else 0)
        await visit.say(answer(completion(prompt)))
        await visit.reader.read()

    async def main() -> tuple[Reply | Fault, Reply | Fault]:
        async with (
            RawServer(behave).listening() as base_url,
            opened(base_url, connections=1, timeout_s=TIMEOUT_S) as client,
        ):
            return await client.send(ask("late")), await reply_of(client, "two")

    late, following = run(main())
    assert judge(late).kind == "timeout"
    assert text_of(following) == "two"


def test_a_connection_that_closes_as_it_is_reused_is_a_fault_and_the_next_connection_works() -> None:
    """It is unknown whether the request arrived, so only the pool may send it again."""

    async def behave(visit: Visit) -> None:
        await visit.say(answer(completion(prompt_of(await visit.request()))))
        if visit.number == 0:
            await visit.reader.readexactly(1)
            visit.writer.transport.abort()
        else:
            await echo(visit)

    server = RawServer(behave)

    async def main() -> list[Reply | Fault]:
        async with server.listening() as base_url, opened(base_url, connections=1) as client:
            return [await client.send(ask(str(number))) for number in range(3)]

    one, cut, two = run(main())
    assert [text_of(one), judge(cut).kind, text_of(two)] == ["0", "connection", "2"]
    assert [prompt_of(each.partition(b"\r\n\r\n")[2]) for each in server.requests] == ["0", "2"]


def test_an_answer_that_comes_before_the_request_is_taken_once() -> None:
    """The server reads nothing first: the result is an answer or a fault, and the next request gets its own."""

    async def behave(visit: Visit) -> None:
        await (answers_first if visit.number == 0 else echo)(visit)

    async def main() -> tuple[Reply | Fault, Reply | Fault]:
        async with RawServer(behave).listening() as base_url, opened(base_url) as client:
            return await client.send(ask("one" + " " * 900_000)), await reply_of(client, "two")

    result, following = run(main())
    assert judge(result).kind in (None, "connection")
    assert text_of(following) == "two"


# Where the key goes.


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(status: int) -> None:
    """Neither to another host nor to another path of the same host."""
    other = RawServer(echo)

    async def main() -> list[Reply | Fault]:
        async with other.listening() as elsewhere:
            places = (elsewhere, elsewhere.removeprefix("http:"), "/v2/chat/completions")
            redirects = iter([answer(b"", f"{status} Go", f"Location: {place}") for place in places])

            async def behave(visit: Visit) -> None:
                await visit.request()
                await visit.say(next(redirects))

            server = RawServer(behave)
            async with server.listening() as base_url, opened(base_url) as client:
                results = [await reply_of(client, "one") for _ in places]
            assert len(server.requests) == len(places)
            return results

    assert {judge(result).kind for result in run(main())} == {"forbidden"}
    assert other.connections == 0


def test_cookies_are_neither_kept_nor_sent_back() -> None:
    """A server cannot connect one request with the next."""

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.say(answer(completion("x"), "200 OK", "Set-Cookie: session=1; Path=/"))

    server = RawServer(behave)

    async def main() -> None:
        async with server.listening() as base_url, opened(base_url) as client:
            for _ in range(2):
                await client.send(ask("one"))

    run(main())
    assert not any(b"cookie" in each.lower() for each in server.requests)


PROXY_STATUSES = [
    (407, "forbidden"),
    (403, "forbidden"),
    (502, "overloaded"),
    (503, "overloaded"),
    (500, "server_error"),
]


@pytest.mark.parametrize(("status", "kind"), PROXY_STATUSES)
def test_a_proxy_is_asked_to_connect_and_does_not_see_the_key(
    status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes only to the endpoint, inside TLS; the proxy's answer is judged by its status."""
    proxy = RawServer(says(answer(b"", f"{status} No")))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def main() -> Reply | Fault:
        async with proxy.listening() as url:
            monkeypatch.setenv("https_proxy", url.removesuffix("/v1"))
            async with opened("https://api.example/v1") as client:
                return await client.send(ask("one"))

    verdict = judge(run(main()))
    assert (verdict.kind, verdict.message) == (kind, "the proxy refuses to connect to the endpoint")
    [connect] = proxy.requests
    assert connect.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    assert KEY.encode() not in connect
    assert b"authorization" not in connect.lower()


ECHOES = [
    answer(b'{"error": {"message": "Incorrect API key provided: %s."}}' % KEY.encode(), "401 No"),
    answer(b"Authorization: Bearer %s" % KEY.encode(), "500 No", "Content-Type: text/plain"),
    answer(b'{"headers": {"authorization": "Bearer %s"}}' % KEY.encode()),
    answer(completion(f"Your key is {KEY}.")),
    answer(b"", "307 Go", f"Location: http://{KEY}.example/?key={KEY}", f"Retry-After: {KEY}"),
    answer(b"", f"500 {KEY}", f"X-Api-Key: {KEY}", f"Set-Cookie: key={KEY}"),
    packed(gzip.compress(completion(KEY)), "gzip"),
    STREAM
    + chunk(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % KEY[:9].encode())
    + chunk(b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % KEY[9:].encode())
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n",
    f"HTTP/1.1 200 {KEY}\r\nBroken {KEY}\r\n\r\n".encode(),
]


@pytest.mark.parametrize("raw", ECHOES)
def test_a_key_that_a_server_repeats_is_hidden(raw: bytes) -> None:
    """In errors, answers and headers; plain, compressed or streamed."""

    async def main() -> Reply | Fault:
        async with RawServer(says(raw)).listening() as base_url, opened(base_url) as client:
            return await client.send(ask("one"))

    result = run(main())
    assert KEY not in repr(result) + repr(judge(result))


# Memory.


def peak_bytes_of(coroutine: Awaitable[None]) -> int:
    async def main() -> None:
        await coroutine

    tracemalloc.start()
    try:
        run(main())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb(compressed_of: Callable[[bytes], bytes], encoding: str) -> Behaviour:
    return says_and_waits(packed(compressed_of(b" " * (16 << 20)), encoding))


SPACES = b" " * 65_536
HUGE: dict[str, Behaviour] = {
    "a body without end": says_for_ever(CHUNKED, chunk(SPACES)),
    "a body without end or length": says_for_ever(b"HTTP/1.1 200 OK\r\n\r\n", SPACES),
    "a stream without end": says_for_ever(STREAM, chunk(EVENT * 999)),
    "a stream of one line": says_for_ever(STREAM, chunk(SPACES)),
    "a stream of comments": says_for_ever(STREAM, chunk(b": no\n\n" * 9_999)),
    "a gigabyte": says_for_ever(answer(b"", "200 OK", f"Content-Length: {10**9}"), SPACES),
    "a bomb of gzip": bomb(gzip.compress, "gzip"),
    "a bomb of deflate": bomb(zlib.compress, "deflate"),
    "a bomb in a stream": says_and_waits(
        answer(
            gzip.compress(EVENT * 200_000), "200 OK", "Content-Type: text/event-stream", "Content-Encoding: gzip"
        ).replace(b"Content-Type: application/json\r\n", b"")
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_an_answer_that_is_too_long_is_abandoned_in_bounded_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its length is stated or not, or shows only when it is unpacked. Its row fails, the run continues."""
    monkeypatch.setattr(body_module, "MAX_ANSWER_BYTES", 4 << 20)
    results: list[Reply | Fault] = []

    async def attempt() -> None:
        async with RawServer(HUGE[name]).listening() as base_url, opened(base_url, timeout_s=10) as client:
            results.append(await client.send(ask("one")))

    assert peak_bytes_of(attempt()) < 32 << 20
    assert judge(results[0]).kind == "too_large"


def test_only_the_beginning_of_a_long_error_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status decides: an outage with a long page is still an outage, and costs no row."""
    results: list[Reply | Fault] = []
    bomb = answer(gzip.compress(b" " * (32 << 20)), "503 No", "Content-Encoding: gzip")

    async def attempt() -> None:
        async with RawServer(says_and_waits(bomb)).listening() as base_url, opened(base_url, timeout_s=10) as client:
            results.append(await client.send(ask("one")))

    assert peak_bytes_of(attempt()) < 16 << 20
    assert judge(results[0]).kind == "overloaded"
    assert isinstance(results[0], Reply)
    assert len(results[0].body) == 1 << 20


def test_few_answers_at_a_time_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with connections times the longest answer; and all answers arrive."""
    monkeypatch.setattr(body_module, "MAX_ANSWER_BYTES", 16 << 20)
    size, connections = 10 << 20, 24
    sizes: list[int] = []

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer(b"", "200 OK", f"Content-Length: {size}"))
        for _ in range(size // len(SPACES)):
            await visit.say(SPACES)

    async def attempts() -> None:
        server = RawServer(behave)
        async with server.listening() as base_url, opened(base_url, connections=connections, timeout_s=30) as client:

            async def attempt() -> None:
                result = await client.send(ask("one"))
                assert isinstance(result, Reply), result
                sizes.append(len(result.body))

            await asyncio.gather(*(attempt() for _ in range(connections)))

    peak_bytes = peak_bytes_of(attempts())
    assert sizes == [size] * connections
    assert peak_bytes < (4 + 2) * size + connections * (2 << 20)  # without turns: more than 24 times the size


def test_an_answer_that_waits_in_vain_for_its_turn_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four endless answers delay the others for the timeout of an attempt, and no longer."""
    behave = says_for_ever(CHUNKED, chunk(SPACES), 0.001)

    async def main() -> list[Reply | Fault]:
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=8, timeout_s=0.5) as client:
            return await asyncio.gather(*(client.send(ask("one")) for _ in range(8)))

    monkeypatch.setattr(body_module, "_LARGE_BYTES", 65_536)
    assert {judge(result).kind for result in run(main())} <= {"timeout", "too_large"}


# Certificates.


_AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = optional
"""


def certificate(folder: Path, name: str, ends: date | None = None) -> ssl.SSLContext:
    """Return the server's TLS context, with a self-signed certificate that ends tomorrow or at the given time."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    (folder / "ca.cnf").write_text(_AUTHORITY)
    (folder / "index.txt").write_text("")
    ends = ends or datetime.now(UTC).date() + timedelta(days=1)
    times = ["-startdate", f"{ends - timedelta(days=2):%Y%m%d}000000Z", "-enddate", f"{ends:%Y%m%d}235959Z"]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"]
    for command in (
        ["req", "-new", *new_key, "-subj", "/CN=test", "-addext", f"subjectAltName={name}", "-out", "request.pem"],
        ["ca", "-batch", "-selfsign", "-config", "ca.cnf", "-keyfile", "key.pem", "-in", "request.pem", *times,
         "-notext", "-out", "cert.pem"],
    ):  # fmt: skip
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def trusting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client trust this certificate in addition to the system's."""
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)


def test_a_self_signed_certificate_gets_no_key(tmp_path: Path) -> None:
    """No request is sent, and the message says what is wrong."""
    server = RawServer(echo)

    async def main() -> Reply | Fault:
        tls = certificate(tmp_path, "IP:127.0.0.1")
        async with server.listening(tls) as base_url, opened(base_url, timeout_s=5) as client:
            return await client.send(ask("one"))

    result = run(main())
    assert isinstance(result, Fault)
    assert (result.kind, result.was_sent) == ("connection", False)
    assert "certificate is not accepted: self-signed certificate" in result.message
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "ends", "wrong"),
    [
        ("IP:127.0.0.1", None, None),
        ("DNS:other.example", None, "IP address mismatch"),
        ("IP:127.0.0.1", date(2020, 1, 1), "certificate has expired"),
    ],
)
def test_a_certificate_of_another_host_or_another_time_gets_no_key(
    name: str, ends: date | None, wrong: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it is trusted; with the right name and time the same certificate is accepted."""
    server = RawServer(echo)

    async def main() -> Reply | Fault:
        tls = certificate(tmp_path, name, ends)
        trusting(tmp_path, monkeypatch)
        async with server.listening(tls) as base_url, opened(base_url, timeout_s=5) as client:
            return await client.send(ask("one"))

    verdict = judge(run(main()))
    assert verdict.kind == (wrong and "connection")
    assert (wrong or "") in verdict.message
    assert len(server.requests) == (wrong is None)
