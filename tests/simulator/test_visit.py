import asyncio
import contextlib

import aiohttp
import pytest

from batchrun.simulator.stats import fingerprint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


async def settled(client):
    """Wait until the server has noticed that its clients have disconnected."""
    async with asyncio.timeout(5):
        while client.server.stats.in_flight:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
    return client.server.stats


async def abandon(client, prompt="Label this.", **body):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.ask(prompt, **body), 0.1)


@pytest.mark.parametrize("stream", [False, True])
def test_an_abandoned_answer_is_billed(connect, stream):
    """A client that disconnects frees its slot immediately and pays for the answer."""

    async def scenario():
        async with connect(concurrency_limit=1, latency_s=3, latency_sigma=0) as client:
            await abandon(client, stream=stream)
            stats = await settled(client)
            assert (stats.answered, stats.billed_unreceived, stats.clients_left) == (1, 1, 1)
            key = fingerprint(MODEL, "Label this.", None)
            assert stats.requests() == {"answered": {key: 1}, "wasted": {key: 1}}
            client.server.change(latency_s=0)
            assert (await client.ask()).status == 200

    asyncio.run(scenario())


def test_an_abandoned_answer_can_be_free(connect):
    """Without `bill_abandoned` the simulator behaves like an endpoint that stops generating."""

    async def scenario():
        async with connect(latency_s=3, latency_sigma=0, bill_abandoned=False) as client:
            await abandon(client)
            stats = await settled(client)
            assert (stats.answered, stats.billed_unreceived, stats.clients_left) == (0, 0, 1)

    asyncio.run(scenario())


def test_a_stream_that_is_left_is_billed_once(connect):
    """A client that leaves in the middle wastes the answer and frees the slot."""

    async def scenario():
        async with connect(tokens_per_s=10) as client:
            await abandon(client, stream=True)
            stats = await settled(client)
            assert (stats.answered, stats.billed_unreceived) == (1, 1)

    asyncio.run(scenario())


def test_silence_is_not_billed_and_ends_with_the_client(connect):
    """A request without a reply keeps its slot as long as its client waits."""

    async def scenario():
        async with connect(concurrency_limit=1) as client:
            waiting = asyncio.create_task(abandon(client, "[[simulate: silence]]"))
            await asyncio.sleep(0.05)
            assert (await client.ask()).status == 429
            await waiting
            assert (await settled(client)).answered == 0
            assert (await client.ask()).status == 200

    asyncio.run(scenario())


def test_lost_and_useless_answers_are_wasted(connect):
    """An answer that is cut or empty is billed and counted as wasted; an error is not billed."""

    async def scenario():
        async with connect() as client:
            for name in ("null_content", "empty_choices", "off_schema", "html", "not_json", "not_object", "redirect"):
                await client.ask(f"[[simulate: {name}]]")
            for name in ("cut", "cut_body"):
                with pytest.raises(aiohttp.ClientError):
                    await client.ask(f"[[simulate: {name}]]")
            stats = await settled(client)
            assert (stats.answered, stats.spoiled, stats.billed_unreceived, stats.clients_left) == (4, 3, 1, 0)
            assert sum(stats.wasted_by_request.values()) == 4

    asyncio.run(scenario())


def test_a_client_that_leaves_while_it_sends_does_no_harm(connect, caplog):
    """Half a request is dropped without a line in the log."""

    async def scenario():
        async with connect() as client:
            _, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n")
            writer.write(b"Content-Length: 100\r\n\r\n{")
            await writer.drain()
            await asyncio.sleep(0.05)
            assert client.server.stats.in_flight == 1
            writer.close()
            await writer.wait_closed()
            assert (await settled(client)).answered == 0

    asyncio.run(scenario())
    assert caplog.records == []
