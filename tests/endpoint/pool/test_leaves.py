"""Texts that people read differ from codes by their form, not by their keys."""

from typing import Any

import pytest

from batchrun.endpoint.pool.leaves import Leaf, leaves_of, words_of

WORDS: list[tuple[Any, str]] = [
    ({"errors": ["top_k is out of range"]}, "top_k is out of range"),
    (
        {"summary": "Not accepted", "errors": {"seed": ["must be a whole number"]}},
        "Not accepted: seed: must be a whole number",
    ),
    ({"error": {"message": "Rejected", "explanation": "no images here"}}, "Rejected: no images here"),
    ({"message": "Rejected", "hint": "images"}, "Rejected: images"),
    ({"error": {"violations": [{"field": "stop", "text": "at most 4 items"}]}}, "stop: at most 4 items"),
    ({"payload": "out of service"}, "out of service"),
    ({"outcome": {"failure": {"why": "the seed is negative"}}}, "the seed is negative"),
    ({"failed": True, "because": "the seed is negative"}, "the seed is negative"),
    (["the seed is negative"], "the seed is negative"),
    ({"error": {"code": "seed_out_of_range"}}, "seed_out_of_range"),
    ({"error": {"code": "seed_out_of_range", "type": "invalid_request_error"}}, ""),
    ({"a": "Too many stops.", "b": "Too many stops.", "c": "many stops"}, "Too many stops."),
    ({"a": "no", "b": "nothing fits"}, "no: nothing fits"),
    ({"a": "Bad Request", "b": "Bad Request: no seed"}, "Bad Request: no seed"),
    ({"msg": "no", "request_id": "is this an id", "stack": "at f in g", "docs": "https://docs.example/e"}, "no"),
    (
        {"msg": "no such field", "input": "the prompt is too long", "loc": ["body", "top_k"]},
        "no such field: body: top_k",
    ),
    ({"raw": '{"error": {"message": "the seed is negative"}}'}, "the seed is negative"),
    (
        {"errors": {"temperature": ["Must be between 0 and 2."], "n": ["n is odd"]}},
        "temperature: Must be between 0 and 2. n is odd",
    ),
    ({"errors": {"message": "no seed", "code": "bad_seed"}}, "no seed"),
    ({"error": "内容敏感"}, "内容敏感"),
    ({"error": {"code": "1302", "message": "并发数过高，请降低并发"}}, "并发数过高，请降低并发"),
    (
        {"error": {"code": "bad", "message": "リクエストが大きすぎます。4096トークンです。"}},
        "リクエストが大きすぎます。4096トークンです。",
    ),
    ({"type": "error", "status": "failed", "info": "gone"}, "gone"),
    ({"loc": ["body"]}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("body", "words"), WORDS, ids=str)
def test_all_words_of_a_body_are_read_in_its_order_under_any_key(body: Any, words: str) -> None:
    """Each once; without codes, ids, addresses, traces and what the row itself sent."""
    assert words_of(leaves_of(body), 1_000) == words


CODES: list[tuple[str, Any, bool]] = [
    ("whatever", "seed_out_of_range", True),
    ("code", 1301, True),
    ("code", "1301", True),
    ("used", 1301, False),
    ("used", "1301", False),
    ("code", "two words", False),
    ("code", "x" * 101, False),
    ("param", "content_filter", False),
    ("model", "unknown_model", False),
    ("message", "余额不足，请充值", False),
]


@pytest.mark.parametrize(("key", "value", "is_code"), CODES)
def test_a_code_has_no_spaces_and_a_number_is_one_only_where_it_counts_nothing(
    key: str, value: Any, is_code: bool
) -> None:
    """And the name of what was sent is not a code."""
    assert Leaf(key, value).is_code is is_code


def test_a_body_of_any_size_has_few_leaves_and_few_words() -> None:
    """A deep or a broad one is read in no time."""
    broad: Any = [[[["a b"] * 90] * 90] * 90] * 90
    deep: Any = "a b"
    for _ in range(900):
        deep = {"error": deep}
    assert len(leaves_of(broad)) == 1_000
    assert leaves_of(deep) == []
    assert len(words_of(leaves_of({"a": "b " * 9_000, "c": "d e"}), 1_000)) <= 1_000
