"""The rows of JSON Lines."""

import pytest
from harness.input_files import read

from batchrun.errors import InputError
from batchrun.records import Row


def test_json_lines_are_read_with_their_physical_line_numbers(write) -> None:
    """BOM, CRLF, blank lines and a last line without newline are accepted; blank lines are not rows."""
    path = write("a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": "\xc3\xa9"}\n\n{"a": null}')
    assert read(path) == [
        Row(0, {"a": 1}, "a.jsonl:1"),
        Row(1, {"a": "é"}, "a.jsonl:4"),
        Row(2, {"a": None}, "a.jsonl:6"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1} {"a": 2}', "is not JSON"),
        (b'{"a\xff": 1}', "is not UTF-8 (byte 4)"),
        (b'{"\\ud800": 1}', "is not JSON"),
        (b'{"a": "\xff}', "is not UTF-8 (byte 8)"),
        (b"[" * 2000, "is not JSON"),
        (b"[1]", "is a list; must be a JSON object"),
        (b'"a"', "is a string; must be a JSON object"),
        (b"7", "is a number; must be a JSON object"),
        (b"null", "is null; must be a JSON object"),
    ],
)
def test_a_line_that_is_not_an_object_is_a_broken_row(write, line: bytes, problem: str) -> None:
    """The rows around it do not change and keep their numbers."""
    rows = read(write("a.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 2}\n'))
    assert [row.columns for row in rows] == [{"a": 1}, None, {"a": 2}]
    assert [row.number for row in rows] == [0, 1, 2]
    assert rows[1].source == "a.jsonl:2"
    assert rows[1].problem is not None
    assert problem in rows[1].problem


@pytest.mark.parametrize(
    "content", ['[\n  {"a": 1},\n  {"a": 2}\n]', '[{"a": 1}, {"a": 2}]', '\n[{"a": 1},\n', '{\n "a": 1}']
)
def test_one_json_document_is_refused_with_the_cure(write, content: str) -> None:
    """Every line of a pretty-printed file would be a broken row."""
    with pytest.raises(
        InputError,
        match=r"a\.jsonl: is (one JSON document, not JSON Lines: mv |JSON with objects of several lines, .*jq -c)",
    ):
        read(write("a.jsonl", content))
