import asyncio
import resource
import time

import aiohttp
import orjson
import pytest

from batchrun.simulator import Settings, serve
from batchrun.simulator.stats import fingerprint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


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
    """An unknown key or project gets a 401 with the documented message."""

    async def scenario():
        async with connect(**settings) as client:
            reply = await client.ask(headers=headers)
            assert reply.status == status
            assert status == 200 or reply.message == "Authentication failed"

    asyncio.run(scenario())


def test_models_are_listed_for_callers_with_a_key(connect):
    """`GET /v1/models` has every served model, and checks the key too."""

    async def scenario():
        async with connect() as client:
            reply = await client.get("/v1/models", headers={"Authorization": "Bearer x"})
            assert [model["id"] for model in reply.json["data"]] == list(client.server.settings.models)
            assert (await client.get("/v1/models")).status == 401

    asyncio.run(scenario())


def test_only_served_models_answer(connect):
    """An unknown model gets a 404; fine-tuned models are known by their form; without a list every model is served."""

    async def scenario():
        async with connect() as client:
            reply = await client.ask(model="no/such-model")
            assert (reply.status, reply.message) == (404, "model not found")
            assert (await client.ask(model="wandb-artifact:///team/project/name:v1")).status == 200
            client.server.change(models=[])
            assert (await client.ask(model="no/such-model")).status == 200

    asyncio.run(scenario())


def test_a_prompt_that_is_too_long_is_refused(connect):
    """Above the context window it gets a 400 with its code, above 64 MiB a 413."""

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
    """The second request with the same system prompt has its tokens cached, but not with another salt."""

    async def scenario():
        async with connect() as client:
            messages = [{"role": "system", "content": "x" * 400}, {"role": "user", "content": "Hi"}]
            replies = [await client.ask(messages=messages, cache_salt=salt) for salt in ("a", "a", "b")]
            cached = [reply.json["usage"]["prompt_tokens_details"]["cached_tokens"] for reply in replies]
            assert cached == [0, 96, 0]

    asyncio.run(scenario())


def test_the_counts_are_right(connect):
    """Requests, answers and tokens in `/stats` are the ones that the client saw."""

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


def test_latency_has_the_median_that_is_set(connect, monkeypatch):
    """Half of the answers wait less than the median. The test checks the drawn waits, not the real ones."""
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
    """`slow 0.1` answers after that time, and an error can be delayed too."""

    async def scenario():
        async with connect(error_latency_s=0.1) as client:
            for prompt in ("[[simulate: slow 0.1]]", "[[simulate: 500]]", "[[simulate: 503 0.1]]"):
                started_s = time.monotonic()
                await client.ask(prompt)
                assert 0.1 <= time.monotonic() - started_s < 1

    asyncio.run(scenario())


def test_two_thousand_requests_can_be_in_flight():
    """All of 2,000 concurrent requests are in flight, and all are answered."""
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


def test_a_port_in_use_is_an_error(connect):
    """A second server on the same port raises an error."""

    async def scenario():
        async with connect() as client:
            with pytest.raises(OSError, match="address already in use"):
                async with serve(port=client.server.port):
                    pass

    asyncio.run(scenario())
