"""Any reply of any server is judged, priced, read and written, without an exception and without a wrong answer."""

import time
from typing import Any

import orjson
import pyarrow as pa
import pytest
from harness.checkpoints import columns_of
from harness.priced import priced
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.answers.envelope import parse_completion
from batchrun.answers.stream import StreamAssembler
from batchrun.answers.usage import parse_usage
from batchrun.endpoint.pool.reason import read_reason
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.catalogue import cost_usd
from batchrun.job.sections import Price
from batchrun.prompts.size import worst_usage
from batchrun.records import Outcome, Reply
from batchrun.results.arrays import outcome_arrays
from batchrun.results.columns import COLUMNS

PRICE = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0, cached_input_usd_per_mtok=0.1)

SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 42, 2**31, 2**63, 2**64 - 1, -(2**63), 1e300, 0.5])
    | st.text(max_size=5)
    | st.sampled_from(["stop", "length", "<think>a", "429", "per minute", "\0", "context length"])
)
OF_USAGE = ["usage", "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens"]
OF_CHOICES = ["choices", "message", "content", "delta", "index", "finish_reason", "tool_calls", "function", "arguments"]
OF_ERRORS = ["error", "detail", "type", "code", "object", "id", "role", "text", "reasoning"]
NAMES = st.sampled_from(OF_USAGE + OF_CHOICES + OF_ERRORS)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=15
)
MESSAGES = st.fixed_dictionaries({}, optional={"content": JSON, "reasoning": JSON, "tool_calls": JSON, "role": JSON})
CHOICES = st.fixed_dictionaries({"message": MESSAGES}, optional={"finish_reason": JSON, "index": JSON})
REPLIES = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=2)}, optional={"usage": JSON, "id": JSON, "error": JSON}
)
BODIES = st.binary(max_size=60) | (REPLIES | JSON).map(orjson.dumps)


def outcome(body: bytes, kind: str | None) -> Outcome:
    usage = judge(Reply(200, {}, body, 0.1)).usage
    return Outcome(0, "m", 0, b"k", None, kind, None, 200, 1, 0.1, 0, body, usage)


@settings(max_examples=300)
@given(BODIES, st.integers(100, 599), st.dictionaries(st.sampled_from(["location", "rate_limit_type"]), st.text()))
def test_every_reply_has_a_verdict_of_the_table(body: bytes, status: int, headers: dict[str, str]) -> None:
    """Whatever its status, headers and body; and its message is short."""
    verdict = judge(Reply(status, headers, body, 0.1))
    assert verdict.kind is None or verdict.kind in EFFECTS
    assert (verdict.kind is None) <= (200 <= status < 300)
    assert len(verdict.message) <= 700
    verdict.message.encode()


@settings(max_examples=300)
@given(BODIES)
def test_every_reply_can_be_priced_and_written(body: bytes) -> None:
    """A completion shows its text, no cost is negative, and every count fits its column."""
    verdict = judge(Reply(200, {}, body, 0.1))
    cost = cost_usd(verdict.usage, PRICE)
    assert cost is None or 0 <= cost < 1e5
    arrays = outcome_arrays(columns_of([outcome(body, verdict.kind)]), priced(m=PRICE))
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in COLUMNS])
    batch.validate(full=True)
    if verdict.kind is None:
        choice = orjson.loads(body)["choices"][0]
        found = [choice[name] for name in ("message", "delta", "text") if isinstance(choice.get(name), dict | str)]
        content = found[0].get("content") if isinstance(found[0], dict) else found[0]
        (shown,) = batch.column(5).to_pylist()
        if isinstance(content, str) and "think>" not in content:
            assert shown == content
        assert content is None or isinstance(content, list) or shown is not None


@pytest.mark.parametrize("content", [42, 0, True, 1.5, {}, {"label": "yes"}])
def test_an_answer_whose_content_is_not_text_is_its_json_and_not_an_empty_answer(content: Any) -> None:
    """It was paid for. Some servers parse the JSON that a model wrote."""
    reply = {"choices": [{"message": {"content": content}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    body = orjson.dumps(reply)
    assert judge(Reply(200, {}, body, 0.1)).kind is None
    assert orjson.loads(parse_completion(body).response or "") == content
    stream = StreamAssembler()
    for piece in ("a", content):
        stream.feed(b"data: " + orjson.dumps({"choices": [{"delta": {"content": piece}}]}) + b"\n\n")
    assert parse_completion(stream.result()).response == "a" + orjson.dumps(content).decode()


@settings(max_examples=200)
@given(st.lists(JSON | st.just({"choices": [{"delta": {"content": "a"}}]}), max_size=6), st.binary(max_size=20))
def test_every_stream_has_a_verdict(chunks: list[Any], rest: bytes) -> None:
    """Events of any JSON, and bytes that are not an event, are an answer or a bad reply."""
    stream = StreamAssembler()
    for each in chunks:
        stream.feed(b"data: " + orjson.dumps(each) + b"\n\n")
    stream.feed(rest)
    verdict = judge(Reply(200, {}, stream.result(), 0.1))
    assert verdict.kind is None or verdict.kind in EFFECTS
    parse_completion(stream.result())


def test_a_stream_may_begin_with_a_byte_order_mark() -> None:
    """Otherwise its first piece would be lost without notice."""
    stream = StreamAssembler()
    stream.feed(b'\xef\xbb\xbfdata: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')
    assert parse_completion(stream.result()).response == "a"


@given(JSON)
def test_no_usage_gives_a_negative_or_absurd_cost(usage: Any) -> None:
    """Negative, fractional, boolean and enormous counts are treated as absent."""
    counts = parse_usage({"usage": usage})
    assert all(count is None or (type(count) is int and 0 <= count < 2**31) for count in counts)
    assert (cost_usd(counts, PRICE) or 0.0) >= 0


@given(SCALARS, SCALARS)
def test_the_most_that_a_request_can_cost_is_never_below_the_cost_of_its_prompt(most: Any, most_too: Any) -> None:
    """Whatever max_tokens a row sets: for some servers -1 means no bound."""
    body = orjson.dumps({"messages": [], "max_tokens": most, "max_completion_tokens": most_too})
    usage = worst_usage("m", body)
    assert (cost_usd(usage, PRICE) or 0.0) >= len(body) / 1e6
    if most == -1 and not most_too:
        assert (usage.completion_tokens or 0) > 100_000


@pytest.mark.parametrize(
    "page",
    [
        b"<script>" * 1_000_000,
        b"<" * 1_000_000,
        b"<style" * 1_000_000,
        b"model " * 1_000_000,
        b'{"error":{"message":"' + b"model not " * 100_000 + b'"}}',
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b"[" * 1_000_000,
        b"\xff" * 1_000_000,
        b"{" + b" " * 10_000_000,
    ],
    ids=range(9),
)
def test_no_error_page_takes_long_to_judge(page: bytes) -> None:
    """All other rows wait meanwhile. A megabyte of unclosed tags is read like a megabyte of words."""
    words = b'{"error":{"message":"' + b"some words " * 100_000 + b'"}}'
    assert _judged_s(page) < 3 * _judged_s(words)


def _judged_s(page: bytes) -> float:
    """Return the CPU seconds that the judgements of a page take."""
    began_s = time.process_time()
    for status in (200, 400, 429, 500):
        assert judge(Reply(status, {}, page, 0.1)).kind in EFFECTS
    read_reason(page)
    return time.process_time() - began_s
