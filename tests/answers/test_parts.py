"""The answer to a bundle, taken apart."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.kinds.table import SHAPES
from batchrun.answers.parts import parts_of, split_usage
from batchrun.records import Usage

SIZES = st.lists(st.integers(1, 9_000), min_size=1, max_size=70)
COUNT = st.none() | st.integers(0, 2**31 - 1)


@given(SIZES, st.data(), st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))
def test_the_parts_of_a_usage_add_up_exactly(prompts: list[int], data: Any, counts: Any) -> None:
    """Each count on its own, whatever is stated; a count that is not stated is in no part."""
    answers = data.draw(st.lists(st.integers(1, 900), min_size=len(prompts), max_size=len(prompts)))
    usage = Usage(*counts)
    parts = split_usage(usage, prompts, answers)
    assert len(parts) == len(prompts)
    for name, whole in usage._asdict().items():
        its = [getattr(part, name) for part in parts]
        assert its == [None] * len(parts) if whole is None else sum(its) == whole


@given(SIZES, st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_a_part_reads_as_the_answer_of_a_single_request(
    sizes: list[int], prompt: int, completion: int, cached: float, reasoning: float
) -> None:
    """What is stored states the same usage again, and no part has more cached or reasoning tokens than tokens."""
    prompt, completion = prompt + len(sizes), completion + len(sizes)
    usage = Usage(prompt, completion, prompt + completion, int(cached * prompt), int(reasoning * completion))
    choice = {"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop", "index": 3}
    answer = {"id": "a", "choices": [choice] * len(sizes), "usage": {"completion_tokens": 1}}
    for part in parts_of(answer, "chat", sizes, usage):
        answer_of_part = orjson.loads(part.body)
        assert SHAPES["chat"].usage_of(answer_of_part) == part.usage
        assert (part.usage.cached_tokens or 0) <= (part.usage.prompt_tokens or 0)
        assert (part.usage.reasoning_tokens or 0) <= (part.usage.completion_tokens or 0)
        assert answer_of_part["choices"] == [choice | {"index": 0}]


def test_tokens_are_shared_by_length() -> None:
    parts = split_usage(Usage(1_000, 0, 1_000), [100, 300], [1, 1])
    assert [part.prompt_tokens for part in parts] == [250, 750]
    assert [part.total_tokens for part in parts] == [250, 750]


def vector(index: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": [float(index or 0)]}


@pytest.mark.parametrize(
    ("indexes", "places"),
    [
        ([2, 0, 1], [0, 1, 2]),
        ([2, 0], [0, 2]),
        ([None, None, None], [0, 1, 2]),
        ([None, None], []),
        ([0, 0, 0], [0]),
        ([0, 3, 7], [0]),
        ([], []),
    ],
)
def test_vectors_find_their_rows_by_index(indexes: list[Any], places: list[int]) -> None:
    """Without indexes the order counts, if none is missing; a vector that may be another row's is given to none."""
    answer = {"object": "list", "data": [vector(index) for index in indexes], "usage": {"prompt_tokens": 9}}
    parts = parts_of(answer, "embeddings", [10, 10, 10], Usage(9, 0, 9))
    assert sorted(part.place for part in parts) == places
    found = [orjson.loads(part.body)["data"] for part in parts]
    assert all(len(each) == 1 for each in found)
    assert sum(part.usage.prompt_tokens or 0 for part in parts) == (9 if places else 0)
    if None not in indexes:
        assert [each[0]["embedding"] for each in found] == [[float(part.place)] for part in parts]


LIKE_OPENAI = {"object": "embedding", "index": 1, "embedding": "AACAPw=="}


@pytest.mark.parametrize(
    ("items", "rest"),
    [
        ([LIKE_OPENAI | {"index": 0}, LIKE_OPENAI], {"object": "list", "model": "m"}),
        ([{"index": 0, "embedding": [0.5]}, {"index": 1, "embedding": 'AA\n"=='}], {}),
        ([LIKE_OPENAI | {"index": 0, "object": "other"}, LIKE_OPENAI], {}),
        ([LIKE_OPENAI | {"index": 0}, LIKE_OPENAI | {"truncated": True}], {}),
        ([{"embedding": None}, {"embedding": None}], {}),
        ([LIKE_OPENAI | {"index": 0}, LIKE_OPENAI], {"first": {"embedding": None}}),
    ],
    ids=["alike", "no object", "two objects", "other fields", "null", "null elsewhere"],
)
@pytest.mark.parametrize("stated", [{"usage": {"prompt_tokens": 8, "total_tokens": 8}}, {}])
def test_a_part_has_all_that_the_answer_says(items: Any, rest: Any, stated: Any) -> None:
    """Whether the answers to all texts are alike, so that they are made together, changes nothing."""
    usage = Usage(8, 0, 8) if stated else Usage()
    half = {"usage": {"prompt_tokens": 4, "total_tokens": 4}} if stated else {}
    parts = parts_of(rest | {"data": items} | stated, "embeddings", [1, 1], usage)
    made = [orjson.loads(part.body) for part in parts]
    assert made == [rest | {"data": [item | {"index": 0}]} | half for item in items]


def test_choices_more_than_asked_for_are_left_out_and_paid() -> None:
    choices = [{"index": n, "message": {"content": "x" * n}, "finish_reason": "stop"} for n in range(3)]
    parts = parts_of({"choices": choices, "usage": {}}, "chat", [5, 5], Usage(10, 30, 40))
    assert [part.place for part in parts] == [0, 1]
    assert sum(part.usage.completion_tokens or 0 for part in parts) == 30


def test_a_usage_elsewhere_is_not_repeated_in_each_part() -> None:
    """The largest usage in an answer counts; each part has only its own."""
    answer = {"data": [vector(0), vector(1)], "usage_metadata": {"prompt_token_count": 50}, "usage": None}
    usage = SHAPES["embeddings"].usage_of({"usage": {"prompt_tokens": 50}})
    for part in parts_of(answer, "embeddings", [1, 1], usage):
        assert SHAPES["embeddings"].usage_of(orjson.loads(part.body)).prompt_tokens == 25
