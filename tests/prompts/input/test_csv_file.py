"""The rows of CSV."""

import gzip

import pytest
from harness.input_files import kept, read

from batchrun.errors import InputError
from batchrun.prompts.input import csv_file
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.records import Row


def test_csv_values_are_unchanged_strings(write) -> None:
    """BOM, CRLF, quoted newlines, commas and blank lines are accepted; a source names the row's first line."""
    content = b'\xef\xbb\xbfid,text\r\n1,"a\r\nb, ""c"""\r\n\r\n 02 ,\n'
    assert read(write("a.csv", content)) == [
        Row(0, {"id": "1", "text": 'a\r\nb, "c"'}, "a.csv:2"),
        Row(1, {"id": " 02 ", "text": ""}, "a.csv:5"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_separated_by_semicolon_or_tab(write, delimiter: str) -> None:
    """A header without a comma decides it."""
    path = write("a.csv", f"\nid{delimiter}text\n1{delimiter}b\n")
    assert read(path) == [Row(0, {"id": "1", "text": "b"}, "a.csv:3")]


def test_tsv_is_separated_by_tabs_whatever_its_header_has(write, asked) -> None:
    """Commas and semicolons are part of a name; quotes are those of CSV."""
    path = write("a.tsv", 'id\tname, first\tprompt\r\n1\ta,b\t"say ""x\ty"""\r\n2\tc\td;e\r\n')
    assert [row.columns for row in read(path)] == [
        {"id": "1", "name, first": "a,b", "prompt": 'say "x\ty"'},
        {"id": "2", "name, first": "c", "prompt": "d;e"},
    ]
    assert asked(path) == ['say "x\ty"', "d;e"]
    assert kept(path)[1] == {"id": "2", "name, first": "c", "prompt": "d;e"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('id\tprompt\n1\t"Yes" she wrote\n2\tb\n', ['"Yes" she wrote', "b"]),
        ('id\tprompt\n1\t"never closed\n2\tb\n3\tc"\n', ['"never closed', "b", 'c"']),
        ('id\tprompt\n1\t"all quoted"\n2\t"two\nlines"\n', ["all quoted", "two\nlines"]),
        ('id\tprompt\n1\t"a\tb"\n2\tc\n', ["a\tb", "c"]),
        ('id\tprompt\n1\t5" screen\n', ['5" screen']),
        ('prompt\n"two\nlines"\n', ["two\nlines"]),
        ('prompt\n"Yes" she wrote\n', ['"Yes" she wrote']),
    ],
)
def test_quotes_of_tsv_are_letters_where_csv_would_misread_them(
    asked, write, content: str, expected: list[str]
) -> None:
    """Data sets of language are written so; spreadsheets quote. A stray quote swallows no rows."""
    assert asked(write("a.tsv", content)) == expected
    assert asked(write("a.tsv.gz", gzip.compress(content.replace("\n", "\r\n").encode()))) == [
        text.replace("\n", "\r\n") for text in expected
    ]


def test_broken_csv_rows_leave_the_others_alone(write) -> None:
    """Too few fields, too many, invalid UTF-8, a carriage return inside: each breaks one row."""
    rows = read(write("a.csv", b"a,b\n1\n1,2,3\n\xff,2\n1,x\ry\n5,6\n"))
    assert [row.problem for row in rows[:3]] == [
        "has 1 field, the header has 2",
        "has 3 fields, the header has 2",
        "is not UTF-8",
    ]
    assert rows[3].problem is not None
    assert rows[3].problem.startswith("is not CSV")
    assert rows[4] == Row(4, {"a": "5", "b": "6"}, "a.csv:6")


def test_a_long_csv_field_is_accepted(write) -> None:
    """The csv module's limit of 128 KiB does not apply."""
    [row] = read(write("a.csv", "a\n" + "x" * 1_000_000 + "\n"))
    assert row.columns == {"a": "x" * 1_000_000}


@pytest.mark.parametrize(("content", "message"), [(b"a,a\n1,2\n", "twice"), (b"\xff,b\n1,2\n", "not UTF-8")])
def test_a_csv_header_with_empty_or_repeated_names_is_refused(write, content: bytes, message: str) -> None:
    """Each column needs a name that is not used twice."""
    with pytest.raises(InputError, match=message):
        read(write("a.csv", content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'prompt,b\na,1\n"b,2\nc,3\nd,"4"\ne,5\n',
            ["a", "a.csv:3: is not CSV: ',' expected after '\"'; the record ends at line 5", "e"],
        ),
        (
            b'prompt,b\na,1\nb,"2\nc,3\nd,4\n',
            ["a", "a.csv:3: is not CSV: a quote is not closed; the record ends at line 5"],
        ),
        (b'prompt,b\n5" screen,1\nc,3\n', ['5" screen', "c"]),
        (b'prompt,b\n"5" screen",1\nc,3\n', ["a.csv:2: is not CSV: ',' expected after '\"'", "c"]),
        (
            b"prompt,b\na\nb,2,3\n,\nc,4\n",
            ["a.csv:2: has 1 field, the header has 2", "a.csv:3: has 3 fields, the header has 2", "", "c"],
        ),
        (
            b"prompt,b\na,1\nb,2\rc,3\r\nd,4\n",
            ["a", "a.csv:3: is not CSV: a line ends in CR alone", "d"],
        ),
    ],
)
def test_the_meaning_of_malformed_csv_is_never_guessed(asked, write, content: bytes, expected: list[str]) -> None:
    """Lines inside a stray quote are one broken row that names the last of them; later rows are correct."""
    path = write("a.csv", content)
    assert asked(path) == expected
    assert [row["prompt"] for row in kept(path)] == [None if "a.csv" in text else text for text in expected]


def test_a_csv_record_that_never_ends_is_cut_off(asked, write, monkeypatch) -> None:
    """A missing quote keeps no more in memory than the limit for one record."""
    monkeypatch.setattr(csv_file, "_CSV_RECORD_BYTES", 1000)
    path = write("a.csv", b"prompt,b\na,1\n" + b'b,"2\n' + b'","\n' * 400 + b"c,3\n")
    found = asked(path)
    assert found[0] == "a"
    assert "a.csv:3: is not CSV: longer than" in found[1]
    assert "a quote may not be closed" in found[1]
    assert found[-1] == "c"


def test_large_csv_rows_come_in_small_batches(write) -> None:
    """No batch is larger than one block plus one row."""
    path = write("a.csv", b"prompt\n" + (b"x" * 600_000 + b"\n") * 20)
    assert max(len(rows) for rows in RowReader(find_files([path]))) <= 3


@pytest.mark.parametrize("content", ["sep=;\nid;prompt\n1;q\n\n2;r,s\n", "id|prompt\n1|q\n2|r,s\n"])
def test_separators_of_excel_and_bars_are_read(write, asked, content: str) -> None:
    """What separates is in the header, or in the line before it."""
    assert asked(write("a.csv", content)) == ["q", "r,s"]


def test_a_broken_row_after_a_line_of_excel_has_its_own_line(write, asked) -> None:
    """As an editor counts it."""
    assert asked(write("a.csv", "sep=;\nid;prompt\n1;q\n2\n"))[1].startswith("a.csv:4: ")
