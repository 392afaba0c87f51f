"""The answer to a bundle that its rows can share reads for each of them as the answer that it would have got alone."""

import base64
import struct
from typing import Any

import orjson
import pytest
from harness.checkpoints import vectors_reply
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.kinds.shape import input_usage
from batchrun.answers.parts import parts_of
from batchrun.answers.shared_vectors import SharedBodies, is_whole, shared_answer
from batchrun.records import SharedReply, Usage


def text_of(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def reply_of(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(vectors)]
    return orjson.dumps({"object": "list", "data": data} | more)


def bodies_of(body: bytes, sizes: list[int]) -> tuple[list[bytes], list[bytes]]:
    """Return the bodies of the rows as they are shared, and as `parts` makes them."""
    found = shared_answer(body, len(sizes))
    assert found is not None
    answer = orjson.loads(body)
    usage = input_usage(answer)
    assert input_usage(found.answer) == usage
    parts = parts_of(answer, "embeddings", sizes, usage)
    counts = {name: [getattr(each.usage, name) for each in parts] for name in Usage._fields}
    shared = SharedBodies([found.reply] * len(sizes), range(len(sizes)), counts)
    return list(shared), [each.body for each in parts]


@given(
    st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), min_size=1, max_size=9),
    st.sampled_from([{}, {"prompt_tokens": 40}, {"prompt_tokens": 40, "total_tokens": 40, "completion_tokens": 0}]),
    st.sampled_from([{}, {"id": "embd-1", "model": 'a "quoted" model'}]),
)
def test_each_row_reads_as_an_answer_of_its_own(
    vectors: list[list[float]], usage: dict[str, int], rest: dict[str, Any]
) -> None:
    """Byte for byte as if the answer had been taken apart."""
    body = reply_of(*(text_of(*each) for each in vectors), **rest, usage=usage)
    shared, parts = bodies_of(body, [10 + place for place in range(len(vectors))])
    assert shared == parts


@pytest.mark.parametrize("numbers", [1, 2, 3, 384])
@pytest.mark.parametrize("indent", [None, 1])
def test_vectors_of_any_length_in_any_layout_are_found(numbers: int, indent: int | None) -> None:
    """Base64 pads the last bytes where three do not divide their number; some servers indent their JSON."""
    answer = orjson.loads(vectors_reply(5, numbers))
    body = orjson.dumps(answer, option=orjson.OPT_INDENT_2 if indent else 0)
    found = shared_answer(body, 5)
    assert found is not None
    assert found.reply.vectors == b"".join(base64.b64decode(each["embedding"]) for each in answer["data"])
    assert found.reply.size == 4 * numbers


def test_items_without_an_index_are_in_order() -> None:
    body = orjson.dumps({"data": [{"embedding": text_of(1.0)}, {"embedding": text_of(2.0)}]})
    shared, parts = bodies_of(body, [1, 1])
    assert shared == parts


ONE, TWO = text_of(1.0, 2.0), text_of(3.0, 4.0)


@pytest.mark.parametrize(
    "body",
    [
        reply_of(ONE),
        reply_of(ONE, TWO, TWO),
        reply_of(ONE, text_of(1.0)),
        reply_of(ONE, ""),
        reply_of("", ""),
        reply_of(ONE, [3.0, 4.0]),
        reply_of(ONE, None),
        reply_of(ONE, "AA=="),
        reply_of(ONE, TWO[:-2] + "\\/"),
        reply_of(ONE, TWO[:-4] + "-_A="),
        reply_of(ONE, ONE[:-2] + "B="),  # a bit that no byte has
        reply_of(ONE, TWO + "AAAA"),
        reply_of(ONE, TWO, choices=[]),
        reply_of(ONE, TWO, extra={"embedding": ONE}),
        orjson.dumps({"data": [{"embedding": ONE, "index": 1}, {"embedding": TWO, "index": 0}]}),
        orjson.dumps({"data": [{"embedding": ONE, "index": 0}, {"embedding": TWO}]}),
        orjson.dumps({"data": [{"embedding": ONE, "index": 0, "more": 1}, {"embedding": TWO, "index": 1, "more": 1}]}),
        orjson.dumps({"data": [{"embedding": ONE, "object": "a"}, {"embedding": TWO, "object": "b"}]}),
        orjson.dumps({"embeddings": [{"embedding": ONE}, {"embedding": TWO}]}),
        orjson.dumps([{"embedding": ONE}, {"embedding": TWO}]),
        orjson.dumps({"data": [{"embedding": None, "AAAA": 1}, {"embedding": None, "AAAB": 1}]}),
        reply_of(ONE, TWO)[:-1],
        reply_of(ONE, TWO) + b"{",
        b'{"embedding":',
        b"",
    ],
)
def test_an_answer_of_another_form_is_left_to_be_taken_apart(body: bytes) -> None:
    assert shared_answer(body, 2) is None


def test_words_that_look_like_a_vector_are_none() -> None:
    """Quotes in a text have a backslash before them."""
    body = reply_of(ONE, TWO, model='"embedding":"AAAA"')
    shared, parts = bodies_of(body, [1, 1])
    assert shared == parts


def bodies_at(replies: list[SharedReply], places: list[int]) -> SharedBodies:
    return SharedBodies(replies, places, {name: [None] * len(places) for name in Usage._fields})


def shared_of(body: bytes, count: int) -> SharedReply:
    found = shared_answer(body, count)
    assert found is not None
    return found.reply


@pytest.mark.parametrize("places", [[0, 1, 2], [2], [1, 2], [0, 0, 2, 1], [2, 0, 1]])
def test_all_vectors_at_once_are_those_of_the_rows(places: list[int]) -> None:
    """Whether they follow one another or not, and over several replies."""
    one, other = shared_of(vectors_reply(3), 3), shared_of(vectors_reply(4), 4)
    bodies = bodies_at([one] * len(places) + [other] * 2, [*places, 3, 0])
    texts = [orjson.loads(each)["data"][0]["embedding"] for each in bodies]
    assert bodies.floats() == b"".join(map(base64.b64decode, texts))
    assert bodies.size == 12
    assert bodies[1:3] == [bodies[1], bodies[2]]
    assert len(bodies) == len(places) + 2


def test_vectors_of_two_lengths_have_no_common_one() -> None:
    assert bodies_at([shared_of(vectors_reply(3), 3), shared_of(vectors_reply(3, 4), 3)], [0, 0]).size is None


@pytest.mark.parametrize(("ids", "found"), [(("a", "b"), ["a", "b"]), ((None, "b"), [None, "b"]), ((1, "b"), None)])
def test_the_names_of_the_answers_are_known(ids: tuple[Any, ...], found: list[str | None] | None) -> None:
    replies = [shared_of(vectors_reply(1, **({} if its is None else {"id": its})), 1) for its in ids]
    assert bodies_at(replies, [0, 0]).response_ids() == found


@pytest.mark.parametrize(
    ("frame", "size"), [(b"{", 4), (b"[]", 4), (b"{}", 4), (b'{"data":[{"embedding":null}]}', 0), (b'{"data":[]}', 4)]
)
def test_what_is_not_a_shared_reply_is_not_taken_for_one(frame: bytes, size: int) -> None:
    """Of a damaged file."""
    assert not is_whole(SharedReply(frame, size, b"1234"))
    assert is_whole(SharedReply(b'{"data":[{"embedding":null}]}', 4, b"1234"))
