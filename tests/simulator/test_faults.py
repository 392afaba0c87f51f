import asyncio

import aiohttp
import pytest

from batchrun.simulator.faults import FAULTS, Shares, find

ERRORS = {name: fault for name, fault in FAULTS.items() if fault.problem}
BROKEN = {"cut": aiohttp.ServerDisconnectedError, "cut_body": aiohttp.ClientPayloadError}
# Copied by hand from the vendor's documentation, so that the table is not compared with itself.
DOCUMENTED = [
    ("401", 401, "Authentication failed"),
    ("401_old", 401, "Invalid Authentication"),
    ("402", 402, "You exceeded your current quota, please check your plan and billing details"),
    ("403", 403, "Country, region, or territory not supported"),
    ("403_gateway", 403, "inference gateway is not enabled for your organization"),
    ("404", 404, "model not found"),
    ("429", 429, "Concurrency limit reached for requests"),
    ("429_quota", 429, "You exceeded your current quota, please check your plan and billing details"),
    (
        "429_personal",
        429,
        "W&B Inference isn't available for personal accounts. Please switch to a non-personal account to access "
        "W&B Inference",
    ),
    ("500", 500, "The server had an error while processing your request"),
    ("503", 503, "The engine is currently overloaded, please try again later"),
]


async def outcome(client, prompt="Label this.", **body):
    """Return the reply, or the class of the exception."""
    try:
        return await asyncio.wait_for(client.ask(prompt, **body), 1.5)
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error)


def check(name, reply):
    """Assert that a reply is the fault with this name."""
    fault = FAULTS[name]
    if name == "silence":
        assert reply is TimeoutError
    elif name in BROKEN:
        assert reply is BROKEN[name]
    elif fault.problem:
        assert reply.status == fault.problem.status
        assert fault.problem.message in reply.body.decode()
    elif fault.canned:
        assert (reply.status, reply.body) == fault.canned[:2]
    else:
        assert reply.status == 200
        CHECKS[name](reply)


CHECKS = {
    "slow": lambda reply: _true(reply.content),
    "drip": lambda reply: _true(reply.content),
    "no_done": lambda reply: _true(reply.body.startswith(b'{"id"') and not reply.body.endswith(b"}")),
    "error_200": lambda reply: _true("error" in reply.json and "choices" not in reply.json),
    "no_usage": lambda reply: _true("usage" not in reply.json and reply.content),
    "empty_choices": lambda reply: _true(reply.json["choices"] == []),
    "null_content": lambda reply: _true(reply.content is None),
    "filtered": lambda reply: _true(reply.json["choices"][0]["finish_reason"] == "content_filter"),
    "off_schema": lambda reply: _true(reply.content == 'Sure! Here it is: {"unasked": '),
}


def _true(value):
    assert value


@pytest.mark.parametrize(("name", "status", "message"), DOCUMENTED)
def test_documented_errors_have_the_documented_text(name, status, message):
    """The simulator repeats the vendor's documentation word for word."""
    assert (FAULTS[name].problem.status, FAULTS[name].problem.message) == (status, message)


def test_a_marker_asks_for_each_fault(connect):
    """A prompt that names a fault gets it, and the next prompt is answered."""

    async def scenario():
        async with connect() as client:
            names = list(FAULTS)
            seconds = {"slow": " 0.01", "drip": " 0.05"}
            prompts = [f"[[simulate: {name}{seconds.get(name, '')}]]" for name in names]
            replies = await asyncio.gather(*(outcome(client, prompt) for prompt in prompts))
            for name, reply in zip(names, replies, strict=True):
                check(name, reply)
            assert (await client.ask()).status == 200
            assert client.server.stats.faults == dict.fromkeys(names, 1)
            assert client.server.stats.in_flight == 0

    asyncio.run(scenario())


def test_a_share_asks_for_each_fault(connect):
    """A share of 1 gives every request the fault."""

    async def scenario():
        async with connect(concurrency_limit=None) as client:
            for name in FAULTS.keys() - {"slow", "drip", "silence"}:
                client.server.change(error_shares={name: 1})
                check(name, await outcome(client))

    asyncio.run(scenario())


def test_shares_are_about_as_large_as_set(connect):
    """Each fault hits its share of many different requests."""

    async def scenario():
        async with connect(error_shares={"503": 0.2, "429": 0.1}, concurrency_limit=None) as client:
            replies = await asyncio.gather(*(client.ask(f"Prompt {number}") for number in range(500)))
            statuses = [reply.status for reply in replies]
            assert 65 < statuses.count(503) < 135
            assert 25 < statuses.count(429) < 80
            assert client.server.stats.by_status == {str(status): statuses.count(status) for status in set(statuses)}

    asyncio.run(scenario())


def test_the_same_seed_gives_the_same_faults_in_any_order(connect):
    """Seed, request and attempt decide the fault, not the requests before."""

    async def statuses(prompts, seed):
        async with connect(error_shares={"500": 0.5}, seed=seed) as client:
            replies = {prompt: [] for prompt in prompts}
            for prompt in [*prompts, *reversed(prompts)]:
                replies[prompt].append((await client.ask(prompt)).status)
            return replies

    async def scenario():
        prompts = [f"Prompt {number}" for number in range(20)]
        first = await statuses(prompts, 7)
        assert await statuses(prompts[::-1], 7) == first
        assert await statuses(prompts, 8) != first
        assert len({tuple(fates) for fates in first.values()}) > 2

    asyncio.run(scenario())


@pytest.mark.parametrize(("uniform", "name"), [(0.0, "429"), (0.24, "429"), (0.25, "503"), (0.74, "503"), (0.75, None)])
def test_a_number_selects_the_fault_whose_share_contains_it(uniform, name):
    """Shares follow each other on [0, 1), in the order given."""
    fault = Shares({"429": 0.25, "503": 0.5}).pick(uniform)
    assert (fault and fault.name) == name


def test_an_unknown_fault_is_refused_with_the_nearest_name():
    """After a typing error the message names the most similar fault."""
    with pytest.raises(ValueError, match="'silense'; the nearest is silence"):
        find("silense")


def test_a_fault_has_one_kind_and_is_documented():
    """Each entry of the table is an error, a canned reply, an edit, a delivery or a delay."""
    for fault in FAULTS.values():
        assert fault.doc
        kinds = [fault.problem, fault.canned, fault.edit, fault.delivery != "whole", fault.name == "slow"]
        assert sum(map(bool, kinds)) == 1, fault.name
