"""The JSON of replies, as servers really write it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.raw_json import (
    dumps_joined,
    has_twins,
    json_text,
    loads,
    loads_piece,
    object_at,
    place_of,
    repaired,
    with_value,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": "b"}', {"a": "b"}),
        ('{"a": "ü"}'.encode("utf-16"), {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-32"), {"a": "ü"}),
        (b'{"a": "b\xf0\x9fc"}', {"a": "b\ufffdc"}),
        (rb'{"a": "b\ud83dc"}', {"a": "b\ufffdc"}),
        (rb'{"a": "b\udc80c"}', {"a": "b\ufffdc"}),
        (rb'{"a": "\ud83d\ud83d\ude00"}', {"a": "\ufffd😀"}),
        (rb'{"a": "\\ud83d", "b": NaN}', {"a": "\\ud83d", "b": None}),
        (b'{"a": [NaN, Infinity, -Infinity, 1]}', {"a": [None, None, None, 1]}),
        (b'{"a": "b\nc\td\x00"}', {"a": "b\nc\td\0"}),
        (b'{"a": 1} trailing words', {"a": 1}),
        (b'{"a": 1}{"a": 2}', {"a": 1}),
        (b': PROCESSING\n\n: PROCESSING\n\n{"a": 1}', {"a": 1}),
        (b")]}'\n" + b'{"a": 1}', {"a": 1}),
        (b'{broken\n {"a": 1}', {"a": 1}),
    ],
)
def test_a_slip_of_the_server_does_not_make_a_reply_worthless(body: bytes, value: Any) -> None:
    """Everything that can be read is read; what cannot be written again is replaced."""
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    assert loads(body) == value
    orjson.dumps(loads(body))


@pytest.mark.parametrize(
    "body", [b"", b"<html>{</html>", b"{", b'{"a": "b', b"\xff\xfe\xfd", b"[" * 100_000, b'{"a":' * 100_000, b"{\n" * 9]
)
def test_a_body_without_json_is_refused(body: bytes) -> None:
    """Also one that is cut off: half an answer is not an answer."""
    with pytest.raises(ValueError, match=r"\w"):
        loads(body)


@given(VALUES)
def test_strict_json_is_read_as_it_is(value: Any) -> None:
    """By the tolerant reader too."""
    assert loads(orjson.dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps([value, float("nan")]).encode()) == [value, None]


@given(st.binary(max_size=80) | st.text(max_size=40).map(lambda text: f'{{"a": "{text}'.encode()))
def test_no_bytes_raise_anything_but_a_value_error(body: bytes) -> None:
    """Whatever comes out can be written again."""
    try:
        value = loads(body)
    except ValueError:
        return
    orjson.dumps(value)


@given(st.text(alphabet='aü€😀\\"\n', max_size=12), st.integers(0, 40), st.booleans())
def test_a_text_that_is_cut_inside_a_character_is_whole_again_when_it_is_joined(
    text: str, cut: int, escaped: bool
) -> None:
    """Whether the server cuts bytes or halves of a pair."""
    if escaped:
        units = text.encode("utf-16-be", "surrogatepass")
        ends = [
            units[: 2 * cut].decode("utf-16-be", "surrogatepass"),
            units[2 * cut :].decode("utf-16-be", "surrogatepass"),
        ]
        pieces = [json.dumps({"a": end}).encode() for end in ends]
    else:
        raw = text.replace("\\", "").replace('"', "").encode()
        text = raw.decode()
        pieces = [b'{"a": "' + end + b'"}' for end in (raw[:cut], raw[cut:])]
    joined = "".join(loads_piece(piece)["a"] for piece in pieces)
    assert orjson.loads(dumps_joined({"a": joined})) == {"a": text}


def test_json_that_nobody_can_write_is_left_out() -> None:
    """A part that is nested too deeply is None; a half of a pair is not a reason."""
    deep = orjson.loads(b"[" * 500 + b"]" * 500)
    assert json_text(deep) is None
    assert json_text({"a": "\ud83d"}) == '{"a": "\\ud83d"}'
    assert repaired('"\\ud83d"') == '"\\ufffd"'
    with pytest.raises(ValueError, match="nested too deeply"):
        dumps_joined(_nested(100_000))


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"a": {"b": { "c" : 1 } }}', b'{ "c" : 1 }'),
        (b'{"b": {"b": {}}, "a": {"x": {"b": {"no": 1}}, "b": {"yes": [{}]}}}', b'{"yes": [{}]}'),
        (b'{"x": "a", "y": ["a", {"a": {"b": {}}}], "a": {"b": {"t": "}\\"{"}}}', b'{"t": "}\\"{"}'),
        (b'{"\\u0061": {"b": {}}}', b"{}"),
        (b'{"a": {"b": null}}', None),
        (b'{"a": {"b": [{}]}}', None),
        (b'{"a": null, "b": {}}', None),
        (b'{"a": {"c": {"b": {}}}}', None),
        (b'{"a": {"c": 1}, "d": {"b": {}}}', None),
        (b'{"a": 1, "d": {"b": {}}}', None),
        (b"{}", None),
    ],
)
def test_an_object_inside_others_is_found_as_it_stands(data: bytes, found: bytes | None) -> None:
    assert object_at(data, "a", "b") == found


@pytest.mark.parametrize("value", [b'"t"', b"1.50", b"true", b"null", b"[1, [2]]", b'{"a": {}}', b'""'])
def test_a_value_of_any_kind_is_found_and_replaced_where_it_stands(value: bytes) -> None:
    """Nothing else changes."""
    data = b'{ "z": {"a": 0, "b": [{"a": 1}]}, "a" : %b , "b":"a" }'
    place = place_of(data % value, "a")
    assert place is not None
    assert (data % value)[place] == value
    assert with_value(data % value, "a", b"new") == data % b"new"
    assert with_value(b'{ "b":1}', "a", value) == b'{"a":%b, "b":1}' % value
    assert place_of(data % value, "a", "x") is None


@pytest.mark.parametrize(
    ("text", "are_twins"),
    [
        (b'{"a": ":", "b": [{"a": "\\"a\\":"}]}', False),
        (b'{"a": "\\u003a", "b": "\\\\u003a"}', False),
        (b'{"a": 1, "a": 1}', True),
        (b'{"b": [{"a": 1, "\\u0061": ":"}]}', True),
        (b'{"a": 1, "a": "\\u003a"}', True),
    ],
)
def test_a_key_that_stands_twice_is_found(text: bytes, are_twins: bool) -> None:
    """Colons in texts are not those of keys."""
    assert has_twins(text, orjson.loads(text)) is are_twins
