"""An answer is found whatever is around it, and a part of one is never taken for the whole."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import NOTHING, problem_of
from batchrun.answers.envelope import parse_completion, read_reply

ANSWER: dict[str, Any] = {"id": "a", "choices": [{"message": {"content": "The ünit."}, "finish_reason": "stop"}]}
TEXT = json.dumps(ANSWER)
DEEP = "[" * 9_000 + "]" * 9_000


@pytest.mark.parametrize(
    "body",
    [
        TEXT,
        f"[{TEXT}]",
        f"[[1, {TEXT}], 2]",
        json.dumps({"status": 200, "data": ANSWER}),
        json.dumps({"result": {"outputs": [{"answer": ANSWER}]}}),
        json.dumps({"choices": [], "response": ANSWER}),
        json.dumps({"statusCode": 200, "body": TEXT}),
        json.dumps(TEXT),
        json.dumps(json.dumps(TEXT)),
        f"<html><style>p {{color: red}}</style><pre>{TEXT}</pre></html>",
        f"answer: {TEXT}",
        TEXT.replace('"id": "a"', f'"id": {DEEP}'),
        TEXT.replace('"id": "a"', f'"id": "a", "trace": [{DEEP}, "]]"]'),
        TEXT.replace('{"id"', f'{{"trace": {DEEP}, "id"'),
        f'{{"trace": {DEEP}, "data": {TEXT}}}',
        TEXT + TEXT.replace("ünit", "other"),
    ],
)
def test_a_whole_answer_is_found_wherever_the_body_has_it(body: str) -> None:
    """It is paid for."""
    assert parse_completion(body.encode()).response == "The ünit."


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"7", b'"text"', b"{}", b'{"data": {"choices": []}}', b"[" * 9_000])
def test_a_body_without_an_answer_has_none(body: bytes) -> None:
    """Whatever it is."""
    assert parse_completion(body) is NOTHING


def pieces(*texts: str, of: str = "delta", end: str | None = "stop") -> list[str]:
    choices = [{of: text if of == "text" else {"content": text}, "finish_reason": None} for text in texts]
    choices[-1]["finish_reason"] = end
    return [json.dumps({"id": "a", "choices": [choice]}) for choice in choices]


@pytest.mark.parametrize("between", ["\n", "\r\n", "", " ", "\n\n", "\n\x1e", ",\n"])
@pytest.mark.parametrize("of", ["delta", "text", "message"])
def test_pieces_one_after_the_other_are_one_answer(of: str, between: str) -> None:
    """Under whatever name and with whatever between them."""
    body = between.join(pieces("The", " üni", "t.", of=of)).encode()
    completion = parse_completion(body)
    assert (completion.response, completion.finish_reason) == ("The ünit.", "stop")


def test_pieces_that_repeat_what_came_before_count_once() -> None:
    """Some servers send the whole text so far with each piece."""
    assert parse_completion("\n".join(pieces("The", "The ünit", "The ünit.", of="message")).encode()).response == (
        "The ünit."
    )


@pytest.mark.parametrize("of", ["delta", "text", "message"])
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_pieces_without_their_end_are_not_an_answer(of: str, cut: int) -> None:
    """Neither all of them without a finish reason, nor those before a cut; nor a single one."""
    lines = pieces("The", " ünit", ".", of=of, end=None if not cut else "stop")
    body = "\n".join(lines)[: -cut or None].encode()
    with pytest.raises(ValueError, match="ends before the answer does"):
        read_reply(body)
    assert of != "delta" or problem_of(read_reply(lines[0].encode())) == "the answer is a piece of a stream"


@given(st.integers(0, len(TEXT) - 1), st.sampled_from(["%s", "[%s", '{"data": %s', '{"a": "%s', "<pre>%s</pre>"]))
def test_an_answer_that_is_cut_off_is_none(cut: int, around: str) -> None:
    """Whatever is around it."""
    assert parse_completion((around % TEXT[:cut]).encode()) is NOTHING


def test_a_huge_body_is_searched_in_no_time() -> None:
    """A few levels and a thousand values are looked at."""
    deep: Any = ANSWER
    for _ in range(50):
        deep = {"data": [deep]}
    broad = {"data": [{"a": [1, 2, 3]}] * 200_000}
    quoted = b'{"a": "' + b'\\"' * 500_000
    for body in (orjson.dumps(deep), orjson.dumps(broad), quoted, b"[" * 500_000 + quoted, b'{"choices": ' * 100_000):
        assert parse_completion(body) is NOTHING
