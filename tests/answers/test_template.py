"""Chunks that differ in their text only are read at once, and give what they give one by one."""

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers import stream as stream_module
from batchrun.answers.stream import StreamAssembler
from batchrun.answers.template import Template

DATA = b'{"id": "c", "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": null}]}'


def template() -> Template:
    found = Template.of(DATA, 0, "content")
    assert found is not None
    return found


def events(*texts: bytes) -> bytes:
    return b"".join(b"data: " + DATA.replace(b" word", text) + b"\n\n" for text in texts)


def test_texts_are_put_together_and_the_rest_is_left() -> None:
    """A part of an event, another event, and bytes that are not an event at all."""
    assert template().take(events(b"a", b"", rb"\n\"", b"\xc3\xa9") + b"data: [DONE]\n\n") == (
        'a\n"é',
        b"data: [DONE]\n\n",
    )
    assert template().take(events(b"a", b"b")[:-1]) == ("a", events(b"b")[:-1])
    ping = b": ping\n\n"
    assert template().take(events(b"a", b"b") + ping + events(b"c")) == ("ab", ping + events(b"c"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"data: ",
        events(b"a")[:-1],
        b"data: [DONE]\n\n",
        b"event: x\n" + events(b"a"),
        events(b'a", "role": "b'),
        events(b"a\\", b"b"),
        events(rb"a\\"),  # whole, but it takes a second look to see that
        events(b"\\ud83d"),
        events(b"\xc3"),
        events(b"a\tb"),
    ],
)
def test_what_is_not_plainly_a_text_in_the_template_is_left(data: bytes) -> None:
    """It is read as an event of its own then."""
    assert template().take(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices": [{"delta": {"reasoning": "content"}}]}',
        b'{"content": "a", "choices": [{"delta": {"content": "b"}}]}',
        b'{"choices": [{"delta":\n{"content": "b"}}]}',
        b'{"choices": [{"delta": {"content": null}}]}',
    ],
)
def test_a_chunk_whose_text_is_not_in_one_clear_place_makes_no_template(data: bytes) -> None:
    """The text of a template is found by the name of its field."""
    assert Template.of(data, 0, "content") is None


def test_the_name_of_the_field_inside_its_text_is_a_part_of_the_text() -> None:
    """Quotes inside a text are escaped."""
    data = DATA.replace(b" word", rb"\"content\": \"x\"")
    found = Template.of(data, 0, "content")
    assert found is not None
    assert found.take(b"data: " + data + b"\n\n") == ('"content": "x"', b"")


DELTAS = st.one_of(
    *(
        st.fixed_dictionaries({field: st.text(max_size=4)})
        for field in ("content", "reasoning", "reasoning_content", "id")
    ),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.text(max_size=4)}),
    st.fixed_dictionaries({"content": st.none(), "reasoning": st.text(max_size=4)}),
    st.fixed_dictionaries({"content": st.text(max_size=2), "reasoning": st.text(max_size=2)}),
)
CHOICES = st.fixed_dictionaries(
    {"index": st.integers(0, 1), "delta": DELTAS, "finish_reason": st.sampled_from([None, None, None, "stop"])},
    optional={"logprobs": st.sampled_from([None, {"content": [1]}]), "other": st.integers(0, 2)},
)
CHUNKS = st.fixed_dictionaries(
    {"id": st.just("c"), "object": st.just("chat.completion.chunk"), "created": st.integers(1, 2)},
    optional={"usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}])},
)


@given(
    st.lists(st.tuples(CHUNKS, st.lists(CHOICES, min_size=1, max_size=2), st.integers(1, 4)), max_size=6),
    st.lists(st.integers(0, 4_000), max_size=5),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_stream_reads_the_same_with_and_without_templates(
    parts: list[tuple[dict[str, Any], list[dict[str, Any]], int]], cuts: list[int], line: bytes
) -> None:
    """Whatever repeats itself in it, and wherever it is cut."""
    chunks = [{**head, "choices": choices} for head, choices, times in parts for _ in range(times)]
    data = b"".join(b"data: " + orjson.dumps(chunk) + line * 2 for chunk in chunks) + b"data: [DONE]" + line * 2
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    results = []
    for most in (stream_module._MOST_TEMPLATES, 0):
        stream = StreamAssembler()
        stream._templates_left = most
        for begin, end in itertools.pairwise(ends):
            stream.feed(data[begin:end])
        stream.close()
        results.append((stream.result(), stream.is_complete))
    assert results[0] == results[1]


def test_most_chunks_of_a_stream_are_not_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that bring something new, and one after each of these."""
    parsed = []
    loads = orjson.loads
    monkeypatch.setattr(stream_module.orjson, "loads", lambda data: parsed.append(data) or loads(data))
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    pieces = [{"index": 0, "delta": {"content": f" {number}"}, "finish_reason": None} for number in range(1_000)]
    stream = StreamAssembler()
    for number in range(0, 1_000, 50):
        stream.feed(
            b"".join(
                b"data: " + orjson.dumps({**chunk, "choices": [piece]}) + b"\n\n"
                for piece in pieces[number : number + 50]
            )
        )
    result = loads(stream.result())
    assert result["choices"][0]["message"]["content"] == "".join(f" {number}" for number in range(1_000))
    assert len(parsed) < 60


def test_a_stream_whose_chunks_all_differ_is_not_compared_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI pads each chunk with random letters."""
    made = []
    of = Template.of
    monkeypatch.setattr(Template, "of", lambda *arguments: made.append(arguments) or of(*arguments))
    stream = StreamAssembler()
    for number in range(500):
        head = {"id": f"c{number}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        piece = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
        stream.feed(b"data: " + orjson.dumps({**head, "choices": [piece]}) + b"\n\n")
    assert orjson.loads(stream.result())["choices"][0]["message"]["content"] == "a" * 500
    assert len(made) == stream_module._MOST_TEMPLATES
