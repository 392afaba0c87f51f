"""Kept connections that the server closes: how long they are kept, and what a break shows."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.hostile import ask, opened, run, text_of
from harness.raw_servers import RawServer, Visit, answer, completion, echo, prompt_of

from batchrun.endpoint.http import client as client_module
from batchrun.records import Fault, Reply

Break = Callable[[Visit], Awaitable[None]]


async def _closes(visit: Visit) -> None:
    await visit.reader.readexactly(1)
    visit.writer.close()


async def _resets(visit: Visit) -> None:
    await visit.reader.readexactly(1)
    visit.writer.transport.abort()


async def _reads_all_and_closes(visit: Visit) -> None:
    await visit.request()
    visit.writer.close()


async def _cuts_the_head(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\nContent-")
    visit.writer.close()


async def _cuts_the_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(answer(completion("x")[:-9], "200 OK", "Content-Length: 5000"))
    visit.writer.close()


async def _closes_late(visit: Visit) -> None:
    await visit.request()
    await asyncio.sleep(0.2)
    visit.writer.close()


BREAKS = [
    (_closes, True),
    (_resets, True),
    (_reads_all_and_closes, True),
    (_cuts_the_head, False),
    (_cuts_the_body, False),
    (_closes_late, False),
]


@pytest.mark.parametrize(("breaks", "is_stale"), BREAKS)
@pytest.mark.parametrize("was_used", [True, False])
def test_only_a_used_connection_that_breaks_soon_and_without_a_byte_is_stale(
    breaks: Break, is_stale: bool, was_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new connection, or after a part of an answer, it may be the request that breaks it."""
    monkeypatch.setattr(client_module, "_STALE_S", 0.1)

    async def behave(visit: Visit) -> None:
        if was_used:
            await visit.say(answer(completion(prompt_of(await visit.request()))))
        await breaks(visit)

    async def main() -> Reply | Fault:
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=1) as client:
            if was_used:
                assert text_of(await client.send(ask("one"))) == "one"
            return await client.send(ask("two"))

    result = run(main())
    assert isinstance(result, Fault)
    assert (result.kind, result.is_stale, result.was_sent) == ("connection", is_stale and was_used, True)


def test_connections_are_kept_for_less_time_than_servers_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unused one is closed by the client: the server never meets a request on a connection that it closes."""
    assert 1 <= client_module.MAX_CONNECTIONS_KEPT_S < 5
    monkeypatch.setattr(client_module, "MAX_CONNECTIONS_KEPT_S", 0.1)
    server = RawServer(echo)

    async def main() -> list[int]:
        counts = []
        async with server.listening() as base_url, opened(base_url) as client:
            for wait_s in (0.0, 0.02, 0.2):
                await asyncio.sleep(wait_s)
                assert isinstance(await client.send(ask("one")), Reply)
                counts.append(server.connections)
        return counts

    assert run(main()) == [1, 1, 2]


def test_under_load_no_connection_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty requests at a time, each longer than a connection is kept, need twenty connections."""
    monkeypatch.setattr(client_module, "MAX_CONNECTIONS_KEPT_S", 0.05)

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            await asyncio.sleep(0.1)
            await visit.say(answer(completion(prompt)))

    server = RawServer(behave)

    async def main() -> None:
        async with server.listening() as base_url, opened(base_url, connections=20) as client:

            async def worker() -> None:
                for number in range(5):
                    assert text_of(await client.send(ask(str(number)))) == str(number)

            await asyncio.gather(*(worker() for _ in range(20)))

    run(main())
    assert (server.connections, len(server.requests)) == (20, 100)


def test_a_silent_attempt_is_given_up_and_a_stream_that_sends_is_not() -> None:
    """The attempt ends like one that was too late."""

    async def behave(visit: Visit) -> None:
        prompt = prompt_of(await visit.request())
        if prompt == "stream":
            await visit.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for _ in range(20):
                await visit.say(b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n')
                await asyncio.sleep(0.02)
            await visit.say(
                b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
            )
        else:
            await visit.reader.read()

    async def main() -> list[Reply | Fault]:
        async with RawServer(behave).listening() as base_url, opened(base_url, timeout_s=30) as client:
            tasks = [asyncio.create_task(client.send(ask(each))) for each in ("stream", "silent")]
            await asyncio.sleep(0.3)
            given_up = [client.give_up(task, 0.2) for task in tasks]  # type: ignore[arg-type]
            assert given_up == [False, True]
            return list(await asyncio.gather(*tasks))

    streamed, silent = run(main())
    assert text_of(streamed) == "x" * 20
    assert isinstance(silent, Fault)
    assert (silent.kind, silent.message, silent.was_sent) == ("timeout", "no answer in time", True)
    assert silent.latency_s < 5


def test_requests_that_wait_for_a_connection_get_one_that_becomes_free() -> None:
    """More are sent at once than connections may be open."""
    server = RawServer(echo)

    async def main() -> list[Reply | Fault]:
        async with server.listening() as base_url, opened(base_url, connections=2) as client:
            return list(await asyncio.gather(*(client.send(ask(str(number))) for number in range(10))))

    assert [text_of(each) for each in run(main())] == [str(number) for number in range(10)]
    assert server.connections == 2


def test_a_kept_connection_that_the_server_has_closed_leaves_room_for_a_new_one() -> None:
    """Whether the client has seen it or not, it is not in use any more."""

    async def behave(visit: Visit) -> None:
        await visit.say(answer(completion(prompt_of(await visit.request()))))

    async def main() -> None:
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=1) as client:
            for number in range(5):
                assert text_of(await client.send(ask(str(number)))) == str(number)
                await asyncio.sleep(0.02)

    run(main())
