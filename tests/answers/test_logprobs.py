from typing import Any

import orjson
import pytest

from batchrun.answers.logprobs import LOGPROBS, has_logprobs, logprobs_array


def body(logprobs: Any) -> bytes:
    choice = {"index": 0, "message": {"content": "ab"}, "finish_reason": "stop", "logprobs": logprobs}
    return orjson.dumps({"id": "1", "choices": [choice]})


def read(logprobs: Any) -> Any:
    [value] = logprobs_array([body(logprobs)]).to_pylist()
    return value


def test_tokens_keep_their_order_and_their_alternatives() -> None:
    """As OpenAI and vLLM send them; their bytes are left out."""
    top = [{"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "x", "logprob": -2, "bytes": None}]
    content = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": top}, {"token": "b", "logprob": -1}]
    assert read({"content": content, "refusal": None}) == [
        {
            "token": "a",
            "logprob": -0.5,
            "top_logprobs": [{"token": "a", "logprob": -0.5}, {"token": "x", "logprob": -2.0}],
        },
        {"token": "b", "logprob": -1.0, "top_logprobs": None},
    ]


def test_the_lists_of_older_servers_are_read() -> None:
    lists = {"tokens": ["a", "b"], "token_logprobs": [None, -1.5], "top_logprobs": [None, {"b": -1.5, "c": -3}]}
    assert read(lists) == [
        {"token": "a", "logprob": None, "top_logprobs": None},
        {
            "token": "b",
            "logprob": -1.5,
            "top_logprobs": [{"token": "b", "logprob": -1.5}, {"token": "c", "logprob": -3.0}],
        },
    ]


@pytest.mark.parametrize(
    "logprobs",
    [None, [], "x", {}, {"content": None}, {"content": "x"}, {"tokens": "x"}, {"content": [7, None]}],
)
def test_values_of_other_types_give_nothing(logprobs: Any) -> None:
    assert not read(logprobs)


def test_wrong_values_in_a_token_are_null() -> None:
    content = [{"token": 7, "logprob": "x", "top_logprobs": [5, {"token": "a", "logprob": True}]}]
    assert read({"content": content}) == [
        {"token": None, "logprob": None, "top_logprobs": [{"token": "a", "logprob": None}]}
    ]


def test_the_column_always_has_its_type() -> None:
    """Also without answers, or with bodies that are not answers."""
    array = logprobs_array([None, b"<html>logprobs</html>", b'{"logprobs": {"content": []}}'])
    assert array.type == LOGPROBS
    assert array.to_pylist() == [None, None, None]


def test_answers_show_whether_they_have_log_probabilities() -> None:
    assert has_logprobs([None, body(None), body({"content": []})])
    assert not has_logprobs([None, body(None), b'{"choices": [{"message": {"content": "\\"logprobs\\": {"}}]}'])
