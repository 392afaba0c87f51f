"""Answers of any length are read in bounded memory and in time."""

import asyncio
import gc
import gzip
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable

import pytest
from harness.hostile import (
    CHUNKED,
    EVENT,
    STREAM,
    ask,
    chunk,
    opened,
    packed,
    run,
    says_and_waits,
    says_for_ever,
)
from harness.raw_servers import Behaviour, RawServer, Visit, answer

from batchrun.endpoint.http import body as body_module
from batchrun.endpoint.http import receiver as receiver_module
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply


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


WORDS = b'data: {"choices": [{"index": 0, "delta": {"content": "some words "}}]}\n\n' * 600
LAST = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
SENT_ALONE = {
    "an answer": answer(b'{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}'),
    "a stream": STREAM + b"".join(map(chunk, (EVENT, WORDS, LAST, b""))),
    "an error": answer(b'{"error": {"message": "no"}}', "500 No"),
    "a compressed answer": packed(gzip.compress(b'{"choices": []}'), "gzip"),
}


@pytest.mark.parametrize("name", SENT_ALONE)
def test_an_answer_leaves_nothing_that_only_the_search_for_cycles_frees(name: str) -> None:
    """It is rare: tens of thousands of streamed answers would wait for it in memory."""

    async def behave(visit: Visit) -> None:
        while await visit.request():
            await visit.say(SENT_ALONE[name])

    async def left() -> int:
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=1, timeout_s=10) as client:
            for _ in range(3):  # what is made once is made by now
                await client.send(ask("one"))
            before = len(gc.get_objects())
            for _ in range(20):
                await client.send(ask("one"))
            return len(gc.get_objects()) - before

    gc.collect()
    gc.disable()
    try:
        assert run(left()) < 20
    finally:
        gc.enable()


def test_a_stream_that_waits_does_not_hold_the_bytes_that_it_has_read() -> None:
    """A thousand streams wait at the same time, and each reads 16 kB at once."""
    streams = 16

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.say(STREAM + chunk(EVENT))
        await asyncio.sleep(0.1)
        await visit.say(chunk(WORDS))
        await visit.reader.read()

    async def held_bytes() -> int:
        server = RawServer(behave)
        async with server.listening() as base_url, opened(base_url, connections=streams, timeout_s=30) as client:
            tasks = [asyncio.create_task(client.send(ask("one"))) for _ in range(streams)]
            await asyncio.sleep(2)  # all is read soon after a stream falls silent
            taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, receiver_module.__file__)])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return sum(each.size for each in taken.traces)

    tracemalloc.start()
    try:
        assert run(held_bytes()) < streams * len(WORDS) / 8
    finally:
        tracemalloc.stop()
