"""Vectors in a reply, as base64 and as numbers."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.kinds.embeddings import SHAPE, Vectors, length_of
from batchrun.records import Usage

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)


def reply(*embeddings: Any, **more: Any) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": each} for index, each in enumerate(embeddings)]} | more


@given(NUMBERS)
def test_both_encodings_say_the_same(numbers: list[float]) -> None:
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    encoded = reply(base64.b64encode(packed).decode())
    for each in (encoded, reply(numbers)):
        assert SHAPE.problem_of(each) is None
        assert SHAPE.completion_of(each).data.decoded == (packed,)


@given(
    st.text("AQgz+/=\n é", max_size=24).map(lambda text: text * 2)
    | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
)
def test_what_is_taken_for_a_vector_can_be_decoded(text: str) -> None:
    """It is decoded when the results are written, long after it was judged: to as many floats as it was taken for."""
    data = SHAPE.completion_of(reply(text)).data
    assert (data is None) == (SHAPE.problem_of(reply(text)) is not None)
    for vector in () if data is None else data.vectors:
        assert len(Vectors((vector,)).decoded[0]) == 4 * length_of(vector) > 0


def test_vectors_come_in_the_order_of_their_texts() -> None:
    """Whatever the order of the entries in the reply."""
    shuffled = reply([1.0], [2.0])
    shuffled["data"].reverse()
    assert SHAPE.completion_of(shuffled).data.decoded == (struct.pack("<f", 1.0), struct.pack("<f", 2.0))


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (reply("AAAA"), "not a list of numbers"),
        (reply("a"), "not a list of numbers"),
        (reply([]), "not a list of numbers"),
        (reply(["a"]), "not a list of numbers"),
        (reply([[1.0], [2.0]]), "vectors of the tokens"),
        (reply(None), "not a list of numbers"),
        ({"data": []}, "has no data"),
        ({"error": {"message": "busy"}}, "is an error: busy"),
        ([1], "is not a JSON object"),
    ],
)
def test_what_is_not_a_vector_is_a_problem(broken: Any, problem: str) -> None:
    """It is asked again; at an export it would be too late."""
    assert problem in (SHAPE.problem_of(broken) or "")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"usage": {"prompt_tokens": 5, "total_tokens": 5}}, Usage(5, 0, 5)),
        ({"usage": {"total_tokens": 5}}, Usage(5, 0, 5)),
        ({"usage": {"prompt_tokens": 0, "total_tokens": 0}}, Usage()),
        ({"meta": {"tokens": {"input_tokens": 7}, "billed_units": {"search_units": 1}}}, Usage(7, 0, 7)),
        ({}, Usage()),
    ],
)
def test_only_the_input_is_billed(usage: dict[str, Any], expected: Usage) -> None:
    assert SHAPE.usage_of(reply([1.0], **usage)) == expected
