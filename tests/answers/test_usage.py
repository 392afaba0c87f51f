"""The token counts of a reply, wherever its server puts them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.usage import larger_usage, parse_usage, usage_in
from batchrun.records import Usage

COUNTS = st.none() | st.integers(-3, 60) | st.sampled_from([2**31 - 1, 2**31, 1.5, 7.0, True, "7"])
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "input_tokens"]
USAGES = st.dictionaries(
    st.sampled_from([*NAMES, "cache_read_input_tokens", "completion_tokens_details"]),
    COUNTS | st.dictionaries(st.sampled_from(NAMES), COUNTS),
)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (2**31 - 1, 2**31 - 1),
        ("7", 7),
        *[(value, None) for value in (2**31, -1, True, 1.5, "-7", "7.5", "", "9" * 11, None, [7])],
    ],
)
def test_a_token_count_is_an_integer_or_unknown(value: Any, count: int | None) -> None:
    """A value that the server did not state as a count stays null and is never guessed."""
    usage = {
        "prompt_tokens": value,
        "completion_tokens": value,
        "total_tokens": value,
        "prompt_tokens_details": {"cached_tokens": value},
        "completion_tokens_details": {"reasoning_tokens": value},
    }
    assert parse_usage({"usage": usage}) == Usage(*[count] * 5)


@pytest.mark.parametrize(
    "reply",
    [{}, {"usage": None}, {"usage": []}, {"usage": "many"}, {"usage": {}}]
    + [{"usage": {"prompt_tokens_details": garbage}} for garbage in (None, 3, "x", [1])],
)
def test_usage_that_is_absent_or_garbage_is_unknown(reply: dict[str, Any]) -> None:
    """Every count is null when there is nothing to read it from."""
    assert parse_usage(reply) == Usage()


def with_answer(message: Any, *counts: Any, finish_reason: str = "stop") -> dict[str, Any]:
    usage = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"), counts, strict=False))
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}


@pytest.mark.parametrize(
    ("reply", "usage"),
    [
        (with_answer({"content": "yes"}, 0, 0, 0), Usage()),
        (with_answer({"content": "yes"}, "0", 0.0), Usage()),
        (with_answer({"content": "yes"}, 0, 0, 0, 0), Usage()),
        (with_answer({"content": "yes"}, 9, 0, 9), Usage(9)),
        (with_answer({"content": "yes"}, 0, 9, 9), Usage(None, 9)),
        (with_answer({"content": "yes"}, 9, 0, 29), Usage(9, 20, 29)),
        (with_answer({"tool_calls": [{"id": "a"}]}, 0, 0, 0), Usage()),
        (with_answer({"content": "", "reasoning": "hm"}, 0, 0, 0), Usage()),
        (with_answer({"content": ""}, 9, 0, 9), Usage(9, 0, 9)),
        (with_answer({"content": ""}, 0, 0, 0), Usage(0, 0, 0)),
        (with_answer({"content": "yes"}, 9, 3, 12, 0), Usage(9, 3, 12, 0)),
    ],
)
def test_no_tokens_next_to_an_answer_are_not_stated(reply: dict[str, Any], usage: Usage) -> None:
    """A server that does not count says 0; an empty answer may have cost nothing."""
    assert parse_usage(reply) == usage


OPENAI = {
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


@pytest.mark.parametrize(
    "reply",
    [
        {"usage": OPENAI},
        {"usage": None, "x_groq": {"id": "r", "usage": OPENAI}},
        {"choices": [{"usage": OPENAI}]},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "choices": [7, {"usage": OPENAI}]},
        {"usage": OPENAI | {"queue_time": 0.1, "service_tier": "x", "prompt_tokens_details": {"cached_tokens": 4.0}}},
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 20,
                "total_tokens": 30,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 5},
            }
        },
        {
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 20,
                "total_tokens": 30,
                "prompt_cache_hit_tokens": 4,
                "prompt_cache_miss_tokens": 6,
                "reasoning_tokens": 5,
            }
        },
        {
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 15,
                "thoughtsTokenCount": 5,
                "cachedContentTokenCount": 4,
                "totalTokenCount": 30,
            }
        },
    ],
)
def test_each_count_is_read_wherever_its_server_puts_it(reply: dict[str, Any]) -> None:
    """At the top, in Groq's own field, in the choice; under the names of OpenAI, DeepSeek, Anthropic and Google."""
    assert parse_usage(reply) == Usage(10, 20, 30, 4, 5)


@pytest.mark.parametrize(
    ("usage", "prompt", "completion"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 1020, "reasoning_tokens": 1000}, 10, 1010),
        ({"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 500}, 10, 490),
        ({"prompt_tokens": 10, "completion_tokens": 10, "reasoning_tokens": 1000}, 10, 1010),
        ({"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20, "reasoning_tokens": 50}, 10, 60),
        ({"prompt_tokens": 10, "completion_tokens": 10, "reasoning_tokens": 9}, 10, 10),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 915, "cache_read_input_tokens": 900}, 910, 5),
        ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 900}, 910, 5),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 900,
            },
            910,
            5,
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 9}, 10, 5),
        ({"prompt_tokens": 10, "total_tokens": 30}, 10, 20),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3}, 10, 5),
        ({"completion_tokens": 5, "total_tokens": 30}, None, 5),
        ({"total_tokens": 30}, None, None),
    ],
)
def test_tokens_that_stand_next_to_the_others_are_counted(
    usage: dict[str, Any], prompt: int | None, completion: int | None
) -> None:
    """What the total holds more than its parts was billed: as output, unless it is just what came from the cache."""
    assert parse_usage({"usage": usage})[:2] == (prompt, completion)


@given(USAGES)
def test_counts_are_never_negative_nor_below_what_the_reply_states(usage: dict[str, Any]) -> None:
    """So no sum can go down, and a cap that counts them is not passed."""
    counts = parse_usage({"usage": usage})
    assert all(count is None or (type(count) is int and 0 <= count < 2**31) for count in counts)
    if counts.prompt_tokens is not None and counts.completion_tokens is not None:
        billed = counts.prompt_tokens + counts.completion_tokens
        assert billed >= (counts.total_tokens or 0)
        assert billed >= (counts.reasoning_tokens or 0)


def test_a_stream_that_states_its_usage_in_parts_loses_none_of_them() -> None:
    """The later value counts, unless it is absent or smaller."""
    first = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 3}}
    last = {"prompt_tokens": 0, "completion_tokens": 5, "prompt_tokens_details": None}
    assert larger_usage(None, first) is first
    assert larger_usage(first, last) == {**first, "completion_tokens": 5}
    assert larger_usage({"completion_tokens": 1}, {"completion_tokens": 5}) == {"completion_tokens": 5}


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (orjson.dumps({"error": "gone", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}), Usage(3, 4)),
        (b"<html>tokens", Usage()),
        (b"[1, 2]", Usage()),
        (b'["tokens"]', Usage()),
        (b"", Usage()),
    ],
)
def test_the_usage_of_an_error_is_read_too(body: bytes, usage: Usage) -> None:
    """An answer that failed halfway may have been billed."""
    assert usage_in(body) == usage
