"""The rows of plain text."""

import gzip

import pytest
from harness.input_files import kept, read

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def test_every_line_is_a_prompt(write, asked) -> None:
    """With its number as an editor counts it; blank lines are not rows, spaces and commas are part of a prompt."""
    path = write("a.txt", b"\xef\xbb\xbfWhat is a map?\r\n\r\n  Name 3 rivers, please \n\t\n[INST] {x} [/INST]")
    prompts = ["What is a map?", "  Name 3 rivers, please ", "[INST] {x} [/INST]"]
    assert read(path) == [
        Row(number, {"prompt": prompt}, f"a.txt:{line}")
        for number, (prompt, line) in enumerate(zip(prompts, (1, 3, 5), strict=True))
    ]
    assert asked(path) == prompts
    assert asked(path, "Answer: {{ prompt }}")[0] == "Answer: What is a map?"
    assert kept(path) == [{"prompt": prompt} for prompt in prompts]


def test_a_line_that_is_not_utf_8_is_one_broken_row(asked, write) -> None:
    """The others are asked."""
    assert asked(write("a.txt", b"a\ncaf\xe9\nb\n")) == ["a", "a.txt:2: is not UTF-8 (byte 4)", "b"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"prompt": "a"}\n{"prompt": "b"}\n', "holds JSON Lines, not a prompt in each line: mv "),
        ('[\n "a",\n "b"\n]\n', "is one JSON document, not JSON Lines: mv "),
        ('{"data": [{"prompt": "a"}]}', "is one JSON document, not JSON Lines; .*jq -c"),
        ("prompt\tlabel\na\t1\nb\t2\n", "holds values separated by tabs, not a prompt in each line: mv "),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_that_are_not_prompts_are_refused(asked, write, content: str, what: str, pack) -> None:
    """They would be sent as they stand, and paid for."""
    with pytest.raises(InputError, match=rf"a\.txt: {what}"):
        asked(write("a.txt", pack(content.encode())))


@pytest.mark.parametrize("content", ["a, b\nc, d\n", "{a} b\n{c} d\n", "[1] a\n[2] b\n", "a\tb\n", '"a"\n"b"\n'])
def test_prompts_that_only_look_like_data_are_asked(asked, write, content: str) -> None:
    """A comma in every line does not make a table."""
    assert asked(write("a.txt", content)) == content.splitlines()


def test_reading_may_begin_at_any_line(write) -> None:
    """Without the rows before it."""
    files = find_files([write("a.txt", "a\n\nb\n" * 5000)])
    rows = [row for batch in RowReader(files) for row in batch]
    assert [row.number for row in rows] == list(range(10_000))
    for first in (1, 255, 256, 9_999, 10_000):
        assert [row for batch in RowReader(files, first=first) for row in batch] == rows[first:]
