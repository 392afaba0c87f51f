"""The JSON objects in a text, as models write them."""

from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchrun.answers.objects import find_objects

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), max_size=30)


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "a{b}\\"}"}',
        '```json\n{"label": "a{b}\\"}"}\n```',
        'Sure! Here it is:\n{"label": "a{b}\\"}"}\nAnything else?',
        'The set {x} in \\frac{1}{2} has {"label": "a{b}\\"}"}',
        '[{"label": "a{b}\\"}"}]',
        '{"label": "a{b}\\"}",}',
        '{"label": "a{b}\\"}", // the label\n}',
        '{ // what it is: "a" or "b"\n"label": "a{b}\\"}"}',
        'perhaps {"label": "z"}\n</think>\n\n{"label": "a{b}\\"}"}',
        '{"label": "positive" | "negative"} is asked for: {"label": "a{b}\\"}"}',
    ],
)
def test_an_object_is_found_in_the_text_around_it(text: str) -> None:
    """Despite fences, prose with braces, thoughts, trailing commas, comments, and a repeated schema."""
    assert find_objects(text).objects == [{"label": 'a{b}"}'}]


def test_only_outermost_objects_are_found_and_in_order() -> None:
    """An object inside another one is a part of it."""
    found = find_objects('{"a": {"b": 1}} and {"c": [{"d": 2}]} and {}')
    assert found.objects == [{"a": {"b": 1}}, {"c": [{"d": 2}]}, {}]
    assert found.problem is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": {"label": "b"}, "c": "cut o', "has no end"),
        ('{"a": {"label": "b"}, "c": [1, 2', "has no end"),
        ('{"a": 1,, "b": {"label": "b"}}', "cannot be read"),
        ('{"a": {"label": "b"}, "c": "x" "y"}', "cannot be read"),
        ('{"a": NaN, "b": {"label": "b"}}', "cannot be read"),
        ('{"a": "break\\\nhere", "b": {}}', "cannot be read"),
        ('{"a": "b" "c": 2}', "cannot be read"),
    ],
)
def test_a_broken_object_and_its_parts_are_not_found(text: str, problem: str) -> None:
    """Repairing it would be a guess, and a part of it may look like a whole answer."""
    found = find_objects(text)
    assert found.objects == []
    assert problem in (found.problem or "")


@pytest.mark.parametrize("text", ["", "no", "42", '"{}', "[1]", "f{x}", "{ }x{", "null"])
def test_a_text_without_objects_reports_no_broken_object(text: str) -> None:
    """Braces in prose are not objects; `{ }` is an object without properties."""
    assert find_objects(text).problem is None or text == '"{}'
    assert find_objects(text).objects in ([], [{}])


def test_line_breaks_in_strings_are_kept() -> None:
    """So are characters that look like a comment or a trailing comma."""
    text = '{"a": "one\n\ttwo // three,}", "b": "http://x.example/,]",}'
    assert find_objects(text).objects == [{"a": "one\n\ttwo // three,}", "b": "http://x.example/,]"}]


def test_a_list_of_100_objects_is_not_an_answer() -> None:
    """The limit exists because each object would have to be checked."""
    assert len(find_objects('{"a": 1} ' * 99).objects) == 99
    found = find_objects('{"a": 1} ' * 100)
    assert found.objects == []
    assert "100 JSON objects" in (found.problem or "")


@given(PROSE, OBJECTS, PROSE)
def test_every_object_is_found_in_every_prose(before: str, value: dict[str, Any], after: str) -> None:
    """The exception is a `</think>` tag: the text before it is not a part of the answer."""
    assume("</think>" not in before + str(value) + after)
    assert find_objects(before + orjson.dumps(value).decode() + after).objects == [value]


@given(OBJECTS.filter(bool), st.data())
def test_an_answer_that_is_cut_off_gives_no_object(value: dict[str, Any], data: st.DataObject) -> None:
    """The place of the cut does not matter."""
    text = orjson.dumps(value).decode()
    assert find_objects(text[: data.draw(st.integers(0, len(text) - 1))]).objects == []


@given(st.text(st.sampled_from('{}[]",:/\\ \n1a'), max_size=40))
def test_no_text_raises_an_error(text: str) -> None:
    """Everything that is found is an object."""
    assert all(type(each) is dict for each in find_objects(text).objects)


@pytest.mark.parametrize("part", ['{"a":', '{"', '{"\\"', "{ ", '{"a",} ', '{"a":1,//', '"', "{}", '[{"x":"\\\\'])
def test_a_hostile_text_is_read_in_linear_time(part: str) -> None:
    """In quadratic time it would take minutes and exceed the timeout of the test."""
    find_objects(part * (2**18 // len(part)))
    find_objects('{"' + part * (2**18 // len(part)) + "}")
