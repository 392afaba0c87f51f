"""Servers that break the rules: each attempt ends in time, with one verdict, in bounded memory, and shows no key."""

import gzip
import time
import zlib

import pytest
from harness.hostile import (
    CHUNKED,
    EVENT,
    KEY,
    OK,
    STREAM,
    TIMEOUT_S,
    ask,
    chunk,
    half_closes,
    length,
    never_reads,
    opened,
    packed,
    reply_of,
    resets,
    run,
    says,
    says_and_waits,
    says_for_ever,
    text_of,
)
from harness.raw_servers import Behaviour, RawServer, Visit, answer, completion, echo

from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply

JSON_LENGTH = len(completion("first"))
HALF = completion("x")[:-9]
HTML = b"<!doctype html><html><body>Sign in</body></html>"

BROKEN: dict[str, tuple[Behaviour, str]] = {
    "cut in the status line": (says(b"HTTP/1.1 20"), "connection"),
    "cut in the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Type: appl"), "connection"),
    "cut after the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "connection"),
    "cut in the body": (says(OK[:-9]), "connection"),
    "cut in a chunk": (says(CHUNKED + b"ff\r\n{"), "connection"),
    "cut in the length of a chunk": (says(CHUNKED + chunk(HALF) + b"f"), "connection"),
    "cut before the last chunk": (says(CHUNKED + chunk(HALF)), "connection"),
    "cut in an event": (says(STREAM + chunk(EVENT + EVENT[:20])), "connection"),
    "a stream that ends in an event": (says(STREAM + chunk(EVENT + EVENT[:20]) + b"0\r\n\r\n"), "bad_reply"),
    "a stream that ends before its end": (says(STREAM + chunk(EVENT) + b"0\r\n\r\n"), "bad_reply"),
    "a stream of nothing": (says(STREAM + b"0\r\n\r\n"), "bad_reply"),
    "closed without a word": (says(b""), "connection"),
    "reset": (resets, "connection"),
    "half closed in the body": (half_closes, "connection"),
    "a length that is too long": (says(answer(HALF, "200 OK", f"Content-Length: {JSON_LENGTH}")), "connection"),
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
    "UTF-16": answer(completion("x").decode().encode("utf-16")),
    "Latin-1": answer(completion("x").replace(b"x", b"\xe9")),
    "HTTP/1.0": OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "cut after the answer": CHUNKED + chunk(completion("first")) + b"f",
    "a length that is too long": length(JSON_LENGTH + 5),
    "a length twice": length(JSON_LENGTH, JSON_LENGTH),
    "a list of equal lengths": length(f"{JSON_LENGTH}, {JSON_LENGTH}"),
    "an answer that ends with the connection": b"HTTP/1.0 200 OK\r\n\r\n" + completion("first"),
    "interim answers before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
    "no content type": OK.replace(b"Content-Type: application/json\r\n", b""),
    "a wrong content type": OK.replace(b"application/json", b"text/html; charset=utf-7"),
    "nonsense as content type": OK.replace(b"application/json", b';;"\xff=/'),
    "gzip": packed(gzip.compress(completion("first")), "gzip"),
    "deflate": packed(zlib.compress(completion("first")), "deflate"),
    "deflate without its frame": packed(zlib.compress(completion("first"))[2:-4], "deflate"),
    "gzip under the name of deflate": packed(gzip.compress(completion("first")), "deflate"),
    "nothing under the name of gzip": packed(completion("first"), "gzip"),
    "nothing under the name of deflate": packed(completion("first"), "deflate"),
    "nothing under the name of br": packed(completion("first"), "br"),
    "a stream without usage under the name of gzip": answer(
        EVENT.replace(b"}}]", b'}, "finish_reason": "stop"}]') + b"data: [DONE]\n\n",
        "200 OK",
        "Content-Type: text/event-stream",
        "Content-Encoding: gzip",
    ),
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
    "usage in fractions": answer(NULLS % (COUNTS % (b"1.5", b"2.5", b"1e-3"))),
    "usage in words": answer(NULLS % (COUNTS % (b'"one"', b'"two"', b"true"))),
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
