import asyncio
import time

import aiohttp
import orjson
import pytest

from batchrun.simulator.answers import complete
from batchrun.simulator.chat import parse_chat
from batchrun.simulator.delivery import chat_events, plan_body, plan_stream
from batchrun.simulator.settings import Settings

LABEL_TOOL = {
    "type": "function",
    "function": {"name": "label", "parameters": {"properties": {"label": {"enum": ["good"]}}, "required": ["label"]}},
}


def completion(**body):
    body = {"model": "m", "messages": [{"role": "user", "content": "Label this."}]} | body
    chat = parse_chat(orjson.dumps(body), image_tokens=100)
    return complete(chat, Settings(), cached_tokens=0, number=1, now_s=1.0)


def events(plan):
    lines = b"".join(plan.pieces).decode().split("\n\n")
    assert lines.pop() == ""
    return [line.removeprefix("data: ") for line in lines]


def streamed(answer, delivery="whole", *, usage=False):
    return plan_stream(chat_events(answer, usage), delivery, drip_s=1.0, tokens_per_s=None)


def gathered(chunks, index):
    """Join the deltas of one choice, as a client does."""
    message, finish_reason = {"content": "", "reasoning": "", "name": "", "arguments": ""}, None
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                delta = choice["delta"]
                finish_reason = choice["finish_reason"] or finish_reason
                message["content"] += delta.get("content") or ""
                message["reasoning"] += delta.get("reasoning") or ""
                for call in delta.get("tool_calls", ()):
                    message["name"] += call["function"].get("name", "")
                    message["arguments"] += call["function"]["arguments"]
    return message, finish_reason


def test_a_stream_adds_up_to_the_answer():
    """The interleaved pieces of each choice give its content and reasoning; [DONE] is last."""
    answer = completion(n=3, chat_template_kwargs={"enable_thinking": True})
    *lines, done = events(streamed(answer))
    chunks = [orjson.loads(line) for line in lines]
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["index"] for chunk in chunks[:4]] == [0, 1, 2, 0]
    for choice in answer["choices"]:
        message, finish_reason = gathered(chunks, choice["index"])
        assert message["content"] == choice["message"]["content"]
        assert message["reasoning"] == choice["message"]["reasoning"]
        assert finish_reason == choice["finish_reason"]


def test_tool_calls_are_streamed_in_pieces():
    """The first piece has the function's name, the others its arguments."""
    answer = completion(tools=[LABEL_TOOL], tool_choice="required")
    message, finish_reason = gathered([orjson.loads(line) for line in events(streamed(answer))[:-1]], 0)
    assert (message["name"], message["arguments"], finish_reason) == ("label", '{"label":"good"}', "tool_calls")


def test_usage_comes_last_and_only_on_request():
    """The last chunk before [DONE] has the usage and no choices."""
    answer = completion()
    last = orjson.loads(events(streamed(answer, usage=True))[-2])
    assert (last["choices"], last["usage"]) == ([], answer["usage"])
    assert all("usage" not in line for line in events(streamed(answer)))


def test_logprobs_are_sent_with_their_pieces():
    """Each content chunk has the logprob of its token."""
    chunks = [orjson.loads(line) for line in events(streamed(completion(logprobs=True)))[:-1]]
    choices = [chunk["choices"][0] for chunk in chunks if "content" in chunk["choices"][0]["delta"]]
    assert choices
    assert all(choice["logprobs"]["content"][0]["token"] == choice["delta"]["content"] for choice in choices)


@pytest.mark.parametrize("delivery", ["cut_body", "no_done", "error"])
def test_a_stream_that_breaks_off_has_no_end(delivery):
    """It has neither finish_reason nor the second half of the text; an error event has the reason."""
    answer = completion()
    plan = streamed(answer, delivery)
    lines = [line for line in events(plan) if line != "[DONE]"]
    message, finish_reason = gathered([orjson.loads(line) for line in lines if "error" not in line], 0)
    assert finish_reason is None
    assert message["content"]
    assert answer["choices"][0]["message"]["content"].startswith(message["content"])
    assert plan.cut is (delivery == "cut_body")
    assert any("error" in line for line in lines) is (delivery == "error")


def test_a_body_is_sent_whole_in_part_or_in_drips():
    """The Content-Length is that of the whole body, except for `no_done`, which looks complete."""
    answer = completion()
    body = orjson.dumps(answer)
    whole, cut, early, drip = (
        plan_body(answer, delivery, drip_s=2.0) for delivery in ("whole", "cut_body", "no_done", "drip")
    )
    assert (whole.pieces, whole.cut, whole.length) == ([body], False, len(body))
    assert (cut.pieces, cut.cut, cut.length) == ([body[: len(body) // 2]], True, len(body))
    assert (early.pieces, early.cut, early.length) == (cut.pieces, False, len(body) // 2)
    assert (b"".join(drip.pieces), drip.length) == (body, len(body))
    assert len(drip.pieces) * drip.wait_s == pytest.approx(2.0, rel=0.1)


def test_streams_reach_the_client(connect):
    """Over a socket a stream is text/event-stream in chunks and ends with usage and [DONE]."""

    async def scenario():
        async with connect() as client:
            reply = await client.ask(stream=True, stream_options={"include_usage": True})
            plain = await client.ask()
            assert reply.headers["Content-Type"] == "text/event-stream"
            assert reply.headers["Transfer-Encoding"] == "chunked"
            assert reply.events[-1] == "[DONE]"
            assert reply.events[-2]["usage"] == plain.json["usage"]
            assert gathered(reply.events[:-1], 0)[0]["content"] == plain.content

    asyncio.run(scenario())


def test_streams_break_off_over_a_socket(connect):
    """`cut_body` breaks the connection; `no_done` and `error_200` end early without an error."""

    async def scenario():
        async with connect() as client:
            with pytest.raises(aiohttp.ClientPayloadError):
                await client.ask("[[simulate: cut_body]]", stream=True)
            assert "[DONE]" not in (await client.ask("[[simulate: no_done]]", stream=True)).events
            failed = await client.ask("[[simulate: error_200]]", stream=True)
            assert failed.events[-2]["error"]["message"] == "The server had an error while processing your request"
            stats = client.server.stats
            assert (stats.answered, stats.billed_unreceived, stats.spoiled) == (3, 1, 2)

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"tokens_per_s": 100}, {"tokens_per_s": 100, "stream": True}])
def test_slow_answers_are_spread_over_time(connect, body):
    """A drip and a rate of tokens slow an answer down, streamed or not, and it arrives complete."""

    async def scenario():
        settings = {"tokens_per_s": body["tokens_per_s"]} if "tokens_per_s" in body else {}
        prompt = "Label this." if settings else "[[simulate: drip 0.2]]"
        async with connect(**settings) as client:
            started_s = time.monotonic()
            reply = await client.ask(prompt, stream=body.get("stream", False))
            assert 0.1 < time.monotonic() - started_s < 1.0
            assert reply.events[-1] == "[DONE]" if body.get("stream") else reply.content

    asyncio.run(scenario())
