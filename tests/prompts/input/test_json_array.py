"""The rows of one JSON array."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from harness.input_files import kept, read

from batchrun.errors import InputError
from batchrun.prompts.input import json_array, lines
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row

ELEMENTS: list[Any] = [{"prompt": 'a "b" [c] {d}, \\', "n": [[1], [2, 3]]}, "text, with [", {"prompt": "é", "n": None}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda text: pa.compress(text, "zstd", asbytes=True)])
def test_the_elements_of_an_array_are_rows(write, asked, indent: int | None, pack) -> None:
    """Objects as they are, strings as prompts; on one line or on many, packed or not."""
    path = write("a.json", pack(b"\xef\xbb\xbf \n" + json.dumps(ELEMENTS, indent=indent).encode() + b" \n"))
    places = (2, 2, 2) if indent is None else (3, 15, 16)
    assert read(path) == [
        Row(number, {"prompt": each} if isinstance(each, str) else each, f"a.json: element {number} (line {line})")
        for number, (each, line) in enumerate(zip(ELEMENTS, places, strict=True))
    ]
    assert asked(path) == ['a "b" [c] {d}, \\', "text, with [", "é"]
    assert kept(path)[0] == ELEMENTS[0]


def test_an_array_asks_what_the_same_json_lines_ask(write, asked) -> None:
    """Also values that JSON cannot express, where no request needs them."""
    rows = [b'{"prompt": "a", "x": NaN}', b'{"prompt": "b", "n": 123456789012345678901234567890}']
    array, json_lines = write("a.json", b"[" + b",\n".join(rows) + b"]"), write("b.jsonl", b"\n".join(rows))
    assert asked(array) == asked(json_lines) == ["a", "b"]
    assert str(kept(array)) == str(kept(json_lines))


def test_json_lines_in_a_file_that_ends_in_json_are_read(write, asked) -> None:
    """Many programs write them so; a single object in one line is one row."""
    assert asked(write("a.json", [{"prompt": "a"}, {"prompt": "b"}])) == ["a", "b"]
    assert asked(write("b.json", [{"prompt": "a"}])) == ["a"]
    assert asked(write("c.json", b'{"prompt": "a"}\nbroken\n'))[1].startswith("c.json:2: is not JSON")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"prompt": "a"}, 5, {"prompt": "c"}]', "element 1 (line 1): is a number; must be an object or a string"),
        (b'["a", null, "c"]', "element 1 (line 1): is null; must be"),
        (b'["a", [1, 2], "c"]', "element 1 (line 1): is a list; must be"),
        (b'["a",, "c"]', "element 1 (line 1): is missing: nothing stands before its comma"),
        (
            b'["a",\n {"prompt" "b"},\n "c"]',
            "element 1 (line 2): is not JSON: .*(line 2, column 12)",
        ),
        (b'["a", {\n"x":\n oops},\n "c"]', "element 1 (line 1): is not JSON: .*(line 3, column 2)"),
        (b'["a", {"prompt": "caf\xe9"}, "c"]', "element 1 (line 1): is not UTF-8 (byte 16)"),
        (b"['a', {'prompt': 'b'}, 'c']", None),
        (b'["a", "line\nbreak", "c"]', "element 1 (line 1): is not JSON: "),
        (b'["a", "\\ud800", "c"]', "element 1 (line 1): is not JSON"),
    ],
)
def test_a_broken_element_is_one_broken_row_with_its_place(asked, write, content: bytes, expected: str | None) -> None:
    """Line and column of the file, as an editor counts them."""
    if expected is None:
        with pytest.raises(InputError, match="none of the first 3 rows can be used"):
            asked(write("a.json", content))
        return
    first, broken, last = asked(write("a.json", content))
    assert (first, last) == ("a", "c")
    head, _, tail = expected.partition(".*")
    assert broken.startswith(f"a.json: {head}")
    assert broken.endswith(tail)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "a.json: holds no rows"),
        ("", "holds no rows"),
        (" \n", "holds no rows"),
        ('["a",\n "b",\n {"prompt": "c', "a.json: ends too early, after 2 elements of its array (line 3); download or"),
        ('["a",\n "b"', "a.json: ends too early, after 1 element of its array (line 2)"),
        ('["a"]\n["b"]', "a.json: something follows the end of its array (line 2); write one array, or JSON Lines"),
        ('["a"],\n["b"]', "a.json: something follows the end of its array (line 1)"),
        ('["a", {"prompt": "b"}}, "c"]', "a.json: a } has no partner (line 1)"),
        ('{"data": [{"a": 1}]}', "a.json: is one JSON document, not JSON Lines; write one object per line: jq -c"),
        ('{\n"a": 1\n}', "a.json: is JSON with objects of several lines, not JSON Lines"),
        ('"a"', "a.json: is a JSON document"),
        ("a\nb\n", "a.json: is not whole JSON: Expecting value (line 1, column 1)"),
    ],
)
def test_a_file_that_is_not_one_array_is_refused(asked, write, content: str, problem: str) -> None:
    """With the place where that shows."""
    with pytest.raises(InputError) as refused:
        asked(write("a.json", content))
    assert problem in str(refused.value)


def test_the_rows_before_a_break_are_returned(write) -> None:
    """As of every other format; of a small file nothing is sent."""
    for count, returned in ((1000, 0), (120_000, 120_000)):
        reader = RowReader(find_files([write("a.json", "[" + '{"a": 1},\n' * count + '{"a": ')]))
        seen: list[Row] = []
        with pytest.raises(InputError, match=rf"after {count:,} elements of its array \(line {count + 1}\)"):
            seen.extend(row for rows in reader for row in rows)
        assert len(seen) == returned


def test_a_comma_after_the_last_element_is_not_a_row(write, asked) -> None:
    """People write it, and it can mean nothing else."""
    assert asked(write("a.json", '["a", "b",\n]')) == ["a", "b"]


def test_an_element_over_the_limit_is_a_broken_row(asked, write, monkeypatch) -> None:
    """The others keep their places."""
    monkeypatch.setattr(json_array, "MAX_LINE_BYTES", 3_000_000)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 3_000_000)
    content = json.dumps(["a", {"prompt": "x" * 9_000_000}, "c"], indent=1)
    first, broken, last = asked(write("a.json", content))
    assert (first, last) == ("a", "c")
    assert broken.startswith("a.json: element 1 (line 3): is longer than ")


@pytest.mark.parametrize("first", [0, 1, 255, 256, 700, 2999, 3000])
def test_reading_may_begin_at_any_element(write, first: int) -> None:
    """The elements before are cut out, but not parsed."""
    files = find_files([write("a.json", json.dumps([{"n": number} for number in range(3000)]))])
    rows = [row for batch in RowReader(files) for row in batch]
    assert [row.columns for row in rows] == [{"n": number} for number in range(3000)]
    assert [row for batch in RowReader(files, first=first) for row in batch] == rows[first:]


def test_the_types_of_columns_are_those_of_json(write) -> None:
    """Found like those of JSON Lines."""
    path = write("a.json", json.dumps([{"prompt": "a", "n": 1, "l": [1.5]}, "b"]))
    assert (
        str(InputColumns(find_files([path])).schema)
        == "prompt: string\nn: int64\nl: list<item: double>\n  child 0, item: double"
    )
    assert kept(path)[1] == {"prompt": "b", "n": None, "l": None}


@pytest.mark.parametrize("indent", [None, 1])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, indent: int | None) -> None:
    """25 MB are read in a few."""
    element = json.dumps({"a": "x" * 2000, "b": ["y" * 2000]}, indent=indent)
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write("[" + element)
        for _ in range(6_249):
            file.write(",\n" + element)
        file.write("]")
    tracemalloc.start()
    try:
        count = sum(len(rows) for rows in RowReader(find_files([str(path)])))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 6_250
    assert peak < 16_000_000
