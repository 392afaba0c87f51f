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
def test_an_object_is_found_in_what_models_write_around_it(text: str) -> None:
    """Fences, prose with braces of its own, thoughts, trailing commas, comments, a format that was repeated."""
    assert find_objects(text).objects == [{"label": 'a{b}"}'}]


def test_only_outermost_objects_are_found_in_their_order() -> None:
    """What lies inside is a part of an answer."""
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
def test_a_broken_object_is_none_and_neither_are_its_parts(text: str, problem: str) -> None:
    """Mending would be a guess, and a part may by chance look like the whole."""
    found = find_objects(text)
    assert found.objects == []
    assert problem in (found.problem or "")


@pytest.mark.parametrize("text", ["", "no", "42", '"{}', "[1]", "f{x}", "{ }x{", "null"])
def test_a_text_without_objects_has_no_problem_of_one(text: str) -> None:
    """Braces of prose are none; `{ }` is an object, and one without properties."""
    assert find_objects(text).problem is None or text == '"{}'
    assert find_objects(text).objects in ([], [{}])


def test_line_breaks_in_strings_are_kept() -> None:
    """Also the characters that look like a comment or a trailing comma."""
    text = '{"a": "one\n\ttwo // three,}", "b": "http://x.example/,]",}'
    assert find_objects(text).objects == [{"a": "one\n\ttwo // three,}", "b": "http://x.example/,]"}]


def test_a_list_of_very_many_objects_is_no_answer() -> None:
    """Each would have to be checked."""
    assert len(find_objects('{"a": 1} ' * 99).objects) == 99
    found = find_objects('{"a": 1} ' * 100)
    assert found.objects == []
    assert "100 JSON objects" in (found.problem or "")


@given(PROSE, OBJECTS, PROSE)
def test_every_object_is_found_in_every_prose(before: str, value: dict[str, Any], after: str) -> None:
    """Whatever is in it and around it, but for the tag that ends a thought: what stands before it is no answer."""
    assume("</think>" not in before + str(value) + after)
    assert find_objects(before + orjson.dumps(value).decode() + after).objects == [value]


@given(OBJECTS.filter(bool), st.data())
def test_an_answer_cut_off_gives_no_object(value: dict[str, Any], data: st.DataObject) -> None:
    """Wherever it was cut."""
    text = orjson.dumps(value).decode()
    assert find_objects(text[: data.draw(st.integers(0, len(text) - 1))]).objects == []


@given(st.text(st.sampled_from('{}[]",:/\\ \n1a'), max_size=40))
def test_no_text_makes_it_raise(text: str) -> None:
    """Everything it finds is an object."""
    assert all(type(each) is dict for each in find_objects(text).objects)


@pytest.mark.parametrize("part", ['{"a":', '{"', '{"\\"', "{ ", '{"a",} ', '{"a":1,//', '"', "{}", '[{"x":"\\\\'])
def test_a_hostile_text_is_read_in_linear_time(part: str) -> None:
    """Quadratic would be minutes, and the test's own limit would end it."""
    find_objects(part * (2**18 // len(part)))
    find_objects('{"' + part * (2**18 // len(part)) + "}")
