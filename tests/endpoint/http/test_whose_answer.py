"""No answer is taken for the answer to another request, whatever a connection carries."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.hostile import (
    TIMEOUT_S,
    answers_first,
    ask,
    opened,
    reply_of,
    run,
    text_of,
)
from harness.raw_servers import RawServer, Visit, answer, completion, echo, prompt_of

from batchrun.endpoint.pool.replies import judge
from batchrun.records import Fault, Reply

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
    is_sent = asyncio.Event()

    async def behave(visit: Visit) -> None:
        while True:
            prompt = prompt_of(await visit.request())
            await twice(visit, answer(completion(prompt)))
            is_sent.set()

    async def main() -> list[str]:
        texts = []
        async with RawServer(behave).listening() as base_url, opened(base_url, connections=1) as client:
            for number in range(4):
                texts.append(text_of(await client.send(ask(str(number)))))
                await is_sent.wait()
                is_sent.clear()
                await asyncio.sleep(0.01)  # the second answer arrives while the connection is idle
        return texts

    assert run(main()) == ["0", "1", "2", "3"]


def test_a_timeout_notice_on_an_idle_connection_is_not_the_answer_of_a_row() -> None:
    """HAProxy and others send 408 before they close a connection that was idle for too long."""
    was_sent = asyncio.Event()

    async def behave(visit: Visit) -> None:
        await visit.say(answer(completion(prompt_of(await visit.request()))))
        await asyncio.sleep(0.01)
        await visit.say(answer(b"", "408 Request Timeout"))
        was_sent.set()
        await echo(visit)

    async def main() -> tuple[Reply | Fault, Reply | Fault]:
        async with RawServer(behave).listening() as base_url, opened(base_url) as client:
            one = await client.send(ask("one"))
            await was_sent.wait()  # not for a fixed time: a busy machine may send it later
            await asyncio.sleep(0.04)
            return one, await client.send(ask("two"))

    assert [text_of(each) for each in run(main())] == ["one", "two"]


def test_a_late_answer_to_a_request_that_timed_out_is_not_the_answer_of_another() -> None:
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
    assert isinstance(cut, Fault)
    assert (cut.is_stale, cut.was_sent) == (True, True)
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
