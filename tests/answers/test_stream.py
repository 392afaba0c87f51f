"""Joining the chunks of a streamed answer."""

import tracemalloc
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.chat import problem_of
from batchrun.answers.envelope import parse_completion
from batchrun.answers.stream import StreamAssembler
from batchrun.answers.usage import parse_usage
from batchrun.records import Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "index",
                    "content",
                    "tool_calls",
                    "function",
                    "arguments",
                    "id",
                    "logprobs",
                    "usage",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": list(choices), **more}


def piece(finish_reason: str | None = None, index: int = 0, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}


def sse(chunks: Iterable[Any], end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks) + end


def assembled(data: bytes) -> tuple[dict[str, Any], StreamAssembler]:
    stream = StreamAssembler()
    stream.feed(data)
    return orjson.loads(stream.result()), stream


def message_of(*deltas: dict[str, Any]) -> dict[str, Any]:
    result, _ = assembled(sse(chunk(delta) for delta in deltas))
    message: dict[str, Any] = result["choices"][0]["message"]
    return message


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = sse(
    [
        chunk(piece(role="assistant", content="")),
        chunk(piece(reasoning="h")),
        chunk(piece(reasoning="m")),
        chunk(piece(content="Grüße, ")),
        chunk(piece("stop", content="Welt")),
        chunk(usage=USAGE),
    ]
)


def test_openrouters_reasoning_details_are_put_together() -> None:
    """Each chunk has a list with the next piece of a block; the whole lists are kept."""
    pieces = [{"type": "reasoning.text", "text": text, "index": 0} for text in ("h", "m")]
    chunks = [chunk(piece(reasoning_details=[each])) for each in pieces]
    stream = StreamAssembler()
    stream.feed(sse([*chunks, chunk(piece("stop", content="yes"))]))
    assert orjson.loads(stream.result())["choices"][0]["message"]["reasoning_details"] == pieces
    completion = parse_completion(stream.result())
    assert (completion.response, completion.reasoning) == ("yes", "hm")


def test_a_streamed_answer_equals_the_answer_without_streaming() -> None:
    """Chunks become one chat completion with the last usage."""
    result, stream = assembled(ANSWER)
    assert result == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüße, Welt", "reasoning": "hm"},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
    assert problem_of(result) is None
    assert parse_usage(result) == Usage(3, 2, 5)
    assert parse_completion(stream.result())[:2] == ("Grüße, Welt", "hm")
    assert stream.done
    assert stream.is_complete


@given(st.lists(st.integers(0, len(ANSWER)), max_size=30), st.booleans())
def test_the_answer_does_not_depend_on_where_the_bytes_are_split(cuts: list[int], crlf: bool) -> None:
    """The network splits anywhere, even inside a character or a line break."""
    data = ANSWER.replace(b"\n", b"\r\n") if crlf else ANSWER
    stream = StreamAssembler()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        stream.feed(data[start:end])
    assert orjson.loads(stream.result()) == assembled(ANSWER)[0]
    assert stream.done


@pytest.mark.parametrize(
    "data",
    [
        ANSWER.replace(b"data: ", b"data:"),
        ANSWER.replace(b"\n", b"\r\n"),
        ANSWER.replace(b"data: {", b": ping\n\ndata: {"),
        ANSWER.replace(b"data: {", b"event: message\nid: 7\nretry: 10\ndata: {"),
        ANSWER.replace(b',"choices"', b',\ndata: "choices"'),
        b"\n\n" + ANSWER + b"data: {not read\n\n",
    ],
    ids=["no space", "crlf", "comments", "other fields", "several lines", "after the end"],
)
def test_server_sent_events_are_read_according_to_the_standard(data: bytes) -> None:
    """Servers write the same chunks in different valid ways."""
    assert assembled(data)[0] == assembled(ANSWER)[0]


def test_an_event_that_is_cut_off_is_not_read() -> None:
    """Half a chunk counts neither as a whole chunk nor as invalid JSON."""
    cut = ANSWER[: ANSWER.index(b"Welt") + 4]
    result, stream = assembled(cut)
    assert result["choices"][0]["message"]["content"] == "Grüße, "
    assert not stream.is_complete


@pytest.mark.parametrize(
    ("chunks", "end", "complete"),
    [
        ([], b"", False),
        ([], b"data: [DONE]\n\n", True),
        ([chunk(piece(content="a"))], b"", False),
        ([chunk(piece("stop", content="a"))], b"", True),
        ([chunk(piece("stop"), piece(index=1))], b"", False),
        ([chunk(piece("stop"), piece(index=1)), chunk(piece("length", index=1))], b"", True),
        ([{"error": {"message": "no"}}], b"", True),
    ],
)
def test_a_stream_is_complete_when_the_server_has_sent_everything(
    chunks: list[Any], end: bytes, complete: bool
) -> None:
    """A complete stream has `[DONE]`, an error, or a finish reason for every choice."""
    _, stream = assembled(sse(chunks, end))
    assert stream.is_complete is complete


def test_tool_calls_are_merged_by_their_index() -> None:
    """Arguments arrive in pieces, and pieces of several calls alternate."""
    message = message_of(
        piece(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]),
        piece(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}]),
        piece(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ":1}"}}]),
        piece("tool_calls", tool_calls=[{"index": 1, "function": {"arguments": "{}"}}, None, {"index": 1}]),
    )
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_tool_calls_without_an_index_are_separated_by_their_id() -> None:
    """Some servers leave the index out."""
    message = message_of(
        piece(tool_calls=[{"function": {"name": "f", "arguments": "{"}}]),
        piece(tool_calls=[{"function": {"arguments": "}"}}]),
        piece(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": "[]"}}]),
    )
    functions = [call["function"] for call in message["tool_calls"]]
    assert functions == [{"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "[]"}]


def test_the_older_function_call_is_joined_too() -> None:
    """Servers that do not know tools stream a single call."""
    message = message_of(piece(function_call={"name": "f", "arguments": "{"}), piece(function_call={"arguments": "}"}))
    assert message["function_call"] == {"name": "f", "arguments": "{}"}


def test_each_text_field_is_joined_separately() -> None:
    """For example the reasoning of older servers, refusals, and content in parts. An unusual role is kept too."""
    message = message_of(
        piece(role="tool", reasoning_content="a", refusal="n"),
        piece(reasoning_content="b", refusal="o", content=[{"type": "text", "text": "c"}]),
    )
    assert message == {"role": "tool", "content": "c", "reasoning_content": "ab", "refusal": "no"}


def test_log_probabilities_are_joined() -> None:
    """The lists of all chunks become one list."""
    chunks = [chunk(piece(content=text, logprobs={"content": [{"token": text}], "refusal": None})) for text in "ab"]
    result, _ = assembled(sse(chunks))
    assert result["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_choices_are_ordered_by_their_index() -> None:
    """Their chunks may arrive in any order."""
    result, _ = assembled(
        sse([chunk(piece(index=1, content="b")), chunk(piece(content="a")), chunk(piece(content="a"))])
    )
    assert [(each["index"], each["message"]["content"]) for each in result["choices"]] == [(0, "aa"), (1, "b")]


def test_the_last_usage_counts() -> None:
    """Some servers send the usage so far with every chunk."""
    result, _ = assembled(sse([chunk(usage={"total_tokens": 1}), chunk(usage=None), chunk(usage=USAGE)]))
    assert result["usage"] == USAGE


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (sse([chunk(piece(content="a")), {"error": {"message": "gone"}}, chunk(piece(content="b"))]), "gone"),
        (sse([{"error": "gone"}, {"error": "later"}]), "gone"),
        (sse([{"object": "error", "message": "gone", "code": 400}]), "gone"),
        (sse([{"message": "gone", "code": 500}]), "gone"),
        (b'event: error\ndata: {"message": "gone"}\n\n', "gone"),
        (b'data: {"choices": []}\n\nerror: {"code": 500, "message": "gone"}\n\n', "gone"),
        (b"data: [DONE]\n\n", "the stream is empty"),
        (b"data: {broken\n\n", "the stream has an event that is not JSON"),
        (b"data: <html>\n\n", "the stream ended after an event that is not a chunk: <html>"),
        (sse([chunk(piece(content="a")), 7]), "the stream ended after an event that is not a chunk: 7"),
        (
            b'data: {"choices":[],"system_fingerprint":%s}\n\n' % (b"[" * 500 + b"]" * 500),
            "the stream is nested too deeply",
        ),
    ],
)
def test_an_error_in_the_stream_is_the_result(data: bytes, problem: str) -> None:
    """Text before the error is not an answer."""
    result, _ = assembled(data)
    assert problem_of(result) == f"the answer is an error: {problem}"


def test_an_error_after_a_piece_shows_that_the_answer_had_begun() -> None:
    """Then it costs a whole attempt, and the tokens so far count; the text before it says nothing of the reason."""
    error = {"error": {"message": "gone", "code": 503}}
    result, _ = assembled(sse([chunk(piece(content="a"), usage=USAGE), error]))
    assert result == {**error, "choices": [{}], "usage": USAGE}
    assert assembled(sse([error]))[0] == error


@given(st.lists(JSON, max_size=4))
def test_no_chunk_raises_an_error(chunks: list[Any]) -> None:
    """A stream may have any JSON value; the result is an error or has choices."""
    result, _ = assembled(sse(chunks))
    assert "error" in result or isinstance(result["choices"], list)


@pytest.mark.parametrize(
    "data",
    [
        ANSWER.replace(b"data: {", b"data:\n\ndata: {"),
        ANSWER.replace(b"data: {", b"data: \n\ndata: {"),
        ANSWER.replace(b"data: {", b"data: ping\n\ndata: {"),
        ANSWER.replace(b"data: {", b'event: ping\ndata: {"type": "ping"}\n\ndata: {'),
        ANSWER.replace(b"\n\n", b"\n"),
        ANSWER.replace(b"\n", b"\r"),
        ANSWER.replace(b"data: {", b"{"),
        ANSWER.removesuffix(b"\n\n"),
        ANSWER.removesuffix(b"data: [DONE]\n\n").removesuffix(b"\n\n"),
    ],
    ids=["empty", "blank", "ping", "named ping", "no empty lines", "cr", "json lines", "no end", "no end, not done"],
)
def test_a_stream_that_is_framed_in_its_own_way_is_read(data: bytes) -> None:
    """Heartbeats are not events, and what was sent whole counts."""
    stream = StreamAssembler()
    stream.feed(data)
    stream.close()
    assert stream.is_complete
    result = orjson.loads(stream.result())
    result.pop("type", None)  # of the ping: everything that a server sends is kept
    assert result == assembled(ANSWER)[0]


def test_a_character_that_is_cut_between_two_events_is_whole() -> None:
    """A server may cut bytes of UTF-8 or the halves of a pair; what stays half is replaced."""
    lines = [rb'"a\ud83d"', rb'"\ude00b"', b'"\xf0\x9f"', b'"\x98\x80c"', rb'"d\ud83d"']
    data = b"".join(b'data: {"choices":[{"delta":{"content":%s}}]}\n\n' % line for line in lines)
    assert assembled(data)[0]["choices"][0]["message"]["content"] == "a😀b😀cd\ufffd"


def test_an_error_inside_a_choice_stays_there() -> None:
    """The verdict finds it; half a text alone would look like the answer."""
    broken = piece(content="") | {"error": {"code": 502, "message": "gone"}}
    result, stream = assembled(sse([chunk(piece(content="hel")), chunk(broken)], b""))
    assert result["choices"][0]["error"] == {"code": 502, "message": "gone"}
    assert stream.is_complete


CALLS = [
    ("index 0 twice", [(0, "a", "f", '{"x":'), (0, None, None, "1}"), (0, "b", "g", "{}")]),
    ("a name twice", [(0, None, "f", '{"x":1}'), (0, None, "g", "{}")]),
    ("an id of its own for each piece", [(0, "a", "f", '{"x":'), (0, "q", None, "1}"), (1, "b", "g", "{}")]),
    ("no index, one id for each call", [(None, "a", "f", '{"x":'), (None, "a", None, "1}"), (None, "b", "g", "{}")]),
    ("arguments that are an object", [(0, "a", "f", {"x": 1}), (0, "b", "g", {})]),
]


@pytest.mark.parametrize(("name", "pieces"), CALLS)
def test_two_tool_calls_are_two_whatever_a_server_numbers_them(name: str, pieces: list[Any]) -> None:
    """None is glued to the other, and arguments are JSON."""
    message = message_of(
        *(
            piece(tool_calls=[{"index": index, "id": its_id, "function": {"name": called, "arguments": arguments}}])
            for index, its_id, called, arguments in pieces
        )
    )
    functions = [call["function"] for call in message["tool_calls"]]
    assert functions == [{"name": "f", "arguments": '{"x":1}'}, {"name": "g", "arguments": "{}"}], name


def test_nothing_that_a_server_sends_is_lost() -> None:
    """Fields that OpenAI's chunks do not have are joined, merged or kept."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"signature": "s"}}
    result, _ = assembled(
        sse(
            [
                chunk(piece(annotations=[1], audio={"id": "x", "data": "ab"}), x_groq={"id": "r"}, provider="p"),
                chunk(piece(annotations=[2], audio={"id": "x", "data": "cd"}), x_groq={"usage": USAGE}),
                chunk(piece(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}])),
                chunk(piece(content=[{"type": "image"}], tool_calls=[call])),
                chunk(piece("stop") | {"native_finish_reason": "end"}),
            ]
        )
    )
    (choice,) = result["choices"]
    message = choice["message"]
    assert (message["annotations"], message["audio"]) == ([1, 2], {"id": "x", "data": "abcd"})
    assert message["content"] == [{"type": "text", "text": "yes"}, {"type": "image"}]
    assert message["reasoning"] == "hm"
    assert message["tool_calls"][0]["extra_content"] == {"signature": "s"}
    assert choice["native_finish_reason"] == "end"
    assert (result["x_groq"], result["provider"]) == ({"id": "r", "usage": USAGE}, "p")
    assert parse_usage(result) == Usage(3, 2, 5)


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "yes"}, "finish_reason": "stop"},
        {"text": "yes", "finish_reason": "stop"},
        {"delta": {"content": "yes"}, "message": {"content": None}, "finish_reason": "stop"},
    ],
)
def test_a_whole_message_in_one_event_is_read(choice: dict[str, Any]) -> None:
    """Some servers stream a single event, or repeat the whole message in the last one."""
    events = [chunk(choice)] if "delta" not in choice else [chunk(choice), chunk({"message": {"content": "yes"}})]
    assert assembled(sse(events))[0]["choices"][0]["message"]["content"] == "yes"


def test_a_stray_event_before_the_end_is_not_an_error() -> None:
    """Only when nothing follows it may it explain why the answer ended."""
    stray = chunk(piece(content="a")), {"message": "busy"}, chunk(piece(content="b"))
    assert assembled(sse(stray))[0]["choices"][0]["message"]["content"] == "ab"


def test_an_event_that_cannot_be_read_and_is_not_a_piece_takes_nothing_from_the_answer() -> None:
    """But one that may have been a piece does, unless the answer was finished before it."""
    ends = (piece(content="a"), piece(content="b", finish_reason="stop"))
    first, last = (b"data: " + orjson.dumps(chunk(each)) + b"\n\n" for each in ends)
    for odd in (b"data: {keep-alive\n\n", b"data: {]\n\n"):
        assert assembled(first + odd + last)[0]["choices"][0]["message"]["content"] == "ab"
    for lost in (first[:40] + b"\n\n", b'data: {"x": "delta": {"content": "b"\n\n'):
        assert problem_of(assembled(first + lost + last)[0])
        assert assembled(first + last + lost)[0]["choices"][0]["message"]["content"] == "ab"


@pytest.mark.parametrize(
    ("messages", "text"),
    [(["a", "b", "c"], "abc"), (["a", "ab", "abc"], "abc"), (["abc"], "abc"), (["abc", "abc"], "abc")],
)
def test_messages_in_place_of_pieces_are_joined_or_repeat_each_other(messages: list[str], text: str) -> None:
    """Nothing of the text is lost, and nothing is doubled."""
    events = [chunk({"message": {"content": each}}) for each in messages]
    assert assembled(sse(events))[0]["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("word", ["null", "none", "not_finished"])
def test_a_finish_reason_that_names_no_end_is_none(word: str) -> None:
    """Some servers write it in every piece: a stream that is cut after one of them is not an answer."""
    begun = sse([chunk(piece(word, content="Half ")), chunk(piece(word, content="an "))], end=b"")
    assert not assembled(begun)[1].is_complete
    result, stream = assembled(begun + sse([chunk(piece("stop", content="answer"))], end=b""))
    assert stream.is_complete
    assert result["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("ping", [b'event: ping\ndata: {"type": "ping"}\n\n', b'data: {"type": "heartbeat"}\n\n'])
def test_an_event_that_keeps_the_connection_open_takes_nothing_from_the_answer(ping: bytes) -> None:
    """Also if it is the last one, and no finish reason came."""
    data = sse([chunk(piece(content="yes"))], end=b"") + ping
    assert assembled(data + b"data: [DONE]\n\n")[0]["choices"][0]["message"]["content"] == "yes"
    assert not assembled(data)[1].is_complete


def test_the_answer_of_a_stream_takes_no_more_memory_than_it_is_long() -> None:
    """Orjson makes its bytes in a buffer of up to sixteen times their size, which they would keep."""
    data = sse([chunk(piece(content="x" * 4_000)), chunk(piece("stop"))])
    tracemalloc.start()
    try:
        answers = [assembled_bytes(data) for _ in range(10)]
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes < 1.5 * sum(map(len, answers))


def assembled_bytes(data: bytes) -> bytes:
    stream = StreamAssembler()
    stream.feed(data)
    return stream.result()
