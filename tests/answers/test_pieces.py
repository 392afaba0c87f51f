"""The pieces of one choice."""

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.pieces import StreamedChoice

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "tool_calls", "function", "arguments", "name", "id", "index", "role", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(["delta", "message", "text", "error", "finish_reason", "logprobs", "x"])


@given(st.lists(st.dictionaries(FIELDS, JSON), max_size=4))
def test_no_piece_breaks_the_assembly(pieces: list[dict[str, Any]]) -> None:
    """Any JSON may stand anywhere."""
    choice = StreamedChoice()
    for each in pieces:
        choice.read(each)
    assert choice.is_finished in (True, False)
    assert choice.assembled(0)["message"].keys() >= {"role", "content"}


def test_pieces_nested_beyond_reason_are_merged_without_an_error() -> None:
    """A server cannot exhaust the stack."""
    choice = StreamedChoice()
    for _ in range(2):
        deep: dict[str, Any] = {}
        for _ in range(900):
            deep = {"a": deep}
        choice.read({"delta": {"audio": deep}})
    assert "audio" in choice.assembled(0)["message"]


def test_a_call_of_many_pieces_takes_no_more_than_its_share_of_time() -> None:
    """Servers that give each piece an id make it necessary to look whether the arguments are whole."""
    choice = StreamedChoice()
    began_s = time.process_time()
    for number in range(20_000):
        function = {"arguments": '{"' if number == 0 else "x" * 20}
        choice.read({"delta": {"tool_calls": [{"index": 0, "id": str(number), "function": function}]}})
    (call,) = choice.assembled(0)["message"]["tool_calls"]
    assert len(call["function"]["arguments"]) == 2 + 20 * 19_999
    assert time.process_time() - began_s < 2
