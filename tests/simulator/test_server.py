import asyncio
import contextlib
import resource
import time

import aiohttp
import orjson
import pytest

from batchrun.simulator import Settings, serve
from batchrun.simulator.stats import fingerprint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


async def settled(client):
    """Wait until the server has noticed that its clients are gone."""
    async with asyncio.timeout(5):
        while client.server.stats.in_flight:  # noqa: ASYNC110 - the server tells nobody when it has noticed
            await asyncio.sleep(0.01)
    return client.server.stats


async def abandon(client, prompt="Label this.", **body):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.ask(prompt, **body), 0.1)


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {"Authorization": "Bearer x"}, 200),
        ({}, {"Authorization": "Bearer "}, 401),
        ({}, {"Authorization": "Basic x"}, 401),
        ({}, {"Authorization": ""}, 401),
        ({"require_key": False}, {"Authorization": ""}, 200),
        ({"keys": ("good",)}, {"Authorization": "Bearer good"}, 200),
        ({"keys": ("good",)}, {"Authorization": "Bearer bad"}, 401),
        ({}, {"OpenAI-Project": "team/any"}, 200),
        ({"projects": ("team/one",)}, {}, 200),
        ({"projects": ("team/one",)}, {"OpenAI-Project": "team/one"}, 200),
        ({"projects": ("team/one",)}, {"OpenAI-Project": "team/two"}, 401),
    ],
)
def test_key_and_project_are_checked(connect, settings, headers, status):
    """A key that is not known, or a project that does not exist, is a 401 in the documented words."""

    async def scenario():
        async with connect(**settings) as client:
            reply = await client.ask(headers=headers)
            assert reply.status == status
            assert status == 200 or reply.message == "Authentication failed"

    asyncio.run(scenario())


def test_models_are_listed_for_those_with_a_key(connect):
    """`GET /v1/models` has every model served, and checks the key as well."""

    async def scenario():
        async with connect() as client:
            reply = await client.get("/v1/models", headers={"Authorization": "Bearer x"})
            assert [model["id"] for model in reply.json["data"]] == list(client.server.settings.models)
            assert (await client.get("/v1/models")).status == 401

    asyncio.run(scenario())


def test_only_served_models_answer(connect):
    """An unknown model is a 404; a fine-tuned one is known by its form; with no list all are."""

    async def scenario():
        async with connect() as client:
            reply = await client.ask(model="no/such-model")
            assert (reply.status, reply.message) == (404, "model not found")
            assert (await client.ask(model="wandb-artifact:///team/project/name:v1")).status == 200
            client.server.change(models=[])
            assert (await client.ask(model="no/such-model")).status == 200

    asyncio.run(scenario())


def test_a_prompt_that_is_too_long_is_refused(connect):
    """Longer than the context window is a 400 with its code, longer than 64 MiB a 413."""

    async def scenario():
        async with connect(context_tokens=100) as client:
            reply = await client.ask("word " * 100)
            assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")
            assert reply.message.startswith("This model's maximum context length is 100 tokens.")
            assert (await client.ask("word " * (14 * 2**20))).status == 413
            assert (await client.ask()).status == 200

    asyncio.run(scenario())


def test_images_are_accepted(connect):
    """A list of text and image parts is answered, and each image is counted."""

    async def scenario():
        async with connect(image_tokens=1000) as client:
            image = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
            content = [{"type": "text", "text": "What is it?"}, image, image]
            reply = await client.ask(messages=[{"role": "user", "content": content}])
            assert reply.json["usage"]["prompt_tokens"] == 2006

    asyncio.run(scenario())


def test_a_repeated_system_prompt_is_cached(connect):
    """The second request with the same system prompt has its tokens cached, under another salt it has not."""

    async def scenario():
        async with connect() as client:
            messages = [{"role": "system", "content": "x" * 400}, {"role": "user", "content": "Hi"}]
            replies = [await client.ask(messages=messages, cache_salt=salt) for salt in ("a", "a", "b")]
            cached = [reply.json["usage"]["prompt_tokens_details"]["cached_tokens"] for reply in replies]
            assert cached == [0, 96, 0]

    asyncio.run(scenario())


def test_the_books_are_right(connect):
    """Requests, answers and tokens in `/stats` are those that the client has seen."""

    async def scenario():
        async with connect() as client:
            replies = [await client.ask(f"Prompt {number % 3}", seed=number % 2) for number in range(12)]
            replies += [await client.ask("[[simulate: 500]]"), await client.ask(model="no/such-model")]
            usages = [reply.json["usage"] for reply in replies if reply.status == 200]
            stats = (await client.get("/stats")).json
            assert (stats["received"], stats["answered"], stats["in_flight"]) == (14, 12, 0)
            assert stats["by_status"] == {"200": 12, "500": 1, "404": 1}
            assert stats["billed_tokens"] == {
                kind: sum(usage[f"{kind}_tokens"] for usage in usages) for kind in ("prompt", "completion")
            }
            counts = (await client.get("/stats/requests")).json
            assert counts["answered"] == {
                fingerprint(MODEL, f"Prompt {number}", seed): 2 for number in range(3) for seed in range(2)
            }
            assert counts["wasted"] == {}

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_nobody_waited_for_is_billed(connect, stream):
    """A client that leaves frees its slot at once, and pays for what the model was already at."""

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


def test_an_abandoned_answer_may_be_free(connect):
    """With `bill_abandoned` off, an endpoint that stops generating is acted out."""

    async def scenario():
        async with connect(latency_s=3, latency_sigma=0, bill_abandoned=False) as client:
            await abandon(client)
            stats = await settled(client)
            assert (stats.answered, stats.billed_unreceived, stats.clients_left) == (0, 0, 1)

    asyncio.run(scenario())


def test_a_stream_that_is_left_is_billed_once(connect):
    """Leaving in mid-stream wastes the answer, and frees the slot."""

    async def scenario():
        async with connect(tokens_per_s=10) as client:
            await abandon(client, stream=True)
            stats = await settled(client)
            assert (stats.answered, stats.billed_unreceived) == (1, 1)

    asyncio.run(scenario())


def test_silence_is_not_billed_and_ends_with_the_client(connect):
    """A request that is never answered holds its slot as long as its client waits."""

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
    """An answer that is cut, or has nothing in it, is billed and marked; an error is not billed."""

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
    """Half a request is forgotten, without a word in the log."""

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


def test_latency_has_the_median_that_is_set(connect, monkeypatch):
    """Half of the answers wait less than the median, half of them more; how long each really takes is the machine's."""
    waits_s = []

    async def wait(seconds):
        waits_s.append(seconds)

    async def scenario():
        async with connect(latency_s=0.1, latency_sigma=0.3, concurrency_limit=None) as client:
            await asyncio.gather(*(client.ask(f"Prompt {number}") for number in range(100)))

    monkeypatch.setattr("batchrun.simulator.server._sleep", wait)
    asyncio.run(scenario())
    latencies = sorted(waits_s)[-100:]
    assert 0.08 < latencies[50] < 0.125
    assert latencies[90] > 1.2 * latencies[10]


def test_seconds_in_a_marker_are_a_wait(connect):
    """`slow 0.1` answers after that time, and an error can be late as well."""

    async def scenario():
        async with connect(error_latency_s=0.1) as client:
            for prompt in ("[[simulate: slow 0.1]]", "[[simulate: 500]]", "[[simulate: 503 0.1]]"):
                started_s = time.monotonic()
                await client.ask(prompt)
                assert 0.1 <= time.monotonic() - started_s < 1

    asyncio.run(scenario())


def test_two_thousand_requests_are_held_at_once():
    """Each of 2,000 concurrent requests is held in flight and answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "[[simulate: slow 2]]"}]})

    async def scenario():
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": "Bearer x"}
        async with (
            serve(Settings(concurrency_limit=2000)) as server,
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
        ):

            async def ask():
                async with session.post(f"{server.base_url}/chat/completions", data=body) as reply:
                    await reply.read()
                    return reply.status

            statuses = await asyncio.gather(*(ask() for _ in range(2000)))
            assert set(statuses) == {200}
            assert server.stats.peak_in_flight == 2000
            assert server.stats.in_flight == 0

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_an_error(connect):
    """Two servers cannot have one port, and the second says so."""

    async def scenario():
        async with connect() as client:
            with pytest.raises(OSError, match="address already in use"):
                async with serve(port=client.server.port):
                    pass

    asyncio.run(scenario())
