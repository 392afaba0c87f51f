"""Malformed files, by accident or on purpose: each row is asked or is a broken row, or the input is refused.

For every file, the input columns in the results belong to the same row as the answer next to them.
"""

import gzip
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from harness.input_files import kept, parquet

from batchrun.errors import InputError
from batchrun.prompts.input import columns, lines
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.source import Source
from batchrun.records import BadRow

ROW = b'{"prompt": "%s"}\n'


# Encodings and line ends.


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", (ROW % b"a").decode().encode("utf-16"), "is UTF-16, not UTF-8; convert the file: iconv"),
        (
            "a.jsonl",
            (ROW % b"a").decode().encode("utf-16-le"),
            "is UTF-16, not UTF-8; convert the file: iconv -f UTF-16LE",
        ),
        (
            "a.csv",
            "prompt,b\na,1\n".encode("utf-16"),
            "is UTF-16, not UTF-8; convert the file: iconv -f UTF-16 -t UTF-8 < ",
        ),
        ("a.csv", "prompt,b\na,1\n".encode("utf-16-be"), "is UTF-16, not UTF-8; convert the file: iconv -f UTF-16BE"),
        ("a.jsonl", ROW.replace(b"\n", b"\r") % b"a" * 2, "CR alone; convert the file: tr '\\r' '\\n' < /"),
        ("a.csv", b"prompt,b\ra,1\r", "CR alone; convert the file: tr"),
        ("a.csv", b'prompt,"b\n1,2\n', "the header is not CSV: a quote is not closed"),
        ("a.csv", b'prompt,"b"c\n1,2\n', "the header is not CSV"),
        ("a.csv", b"prompt,b\n", "holds no rows"),
        ("a.csv", b"\n\r\n\n", "holds no rows"),
        ("a.csv", b"", "holds no rows"),
        ("a.jsonl", b"\0" * 5000, "is not JSON"),
        ("a.jsonl", b"\x1f\x8b", "ends too early"),
        ("a.jsonl", b"\x28\xb5\x2f\xfd", "ends too early"),
        ("a.jsonl.gz", gzip.compress(b"\n" * 3_000_000), "holds no rows"),
        ("a.parquet", b"", "is not a Parquet file"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_with_its_reason(
    asked, write, name: str, content: bytes, problem: str
) -> None:
    """With a cure where there is one; no row of it is sent."""
    with pytest.raises(InputError) as refused:
        asked(write(name, content))
    assert problem in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + ROW % b"\xc3\xa9", ["é"]),
        ("a.jsonl", ROW % b"a" + ROW % b"\xe9" + ROW % b"c", ["a", "a.jsonl:2: is not UTF-8 (byte 13)", "c"]),
        ("a.csv", b"prompt,b\na,1\n\xe9,2\nc,3\n", ["a", "a.csv:3: is not UTF-8", "c"]),
        ("a.jsonl", ROW % b"a" + b"\r\n\r\n" + ROW % b"b" + b"\r", ["a", "b"]),
        ("a.jsonl", ROW % b"a\\u0000b", ["a\0b"]),
        ("a.csv", b"prompt,b\na\0b,1\n", ["a\0b"]),
        ("a.jsonl", ROW % b"\\ud83d\\ude00", ["😀"]),
        ("a.jsonl", b'{"prompt": "a", "prompt": "b"}\n', ["b"]),
        ("a.jsonl", b'{"": 1, "prompt": "a"}\n', ["a"]),
    ],
)
def test_odd_but_readable_text_is_read(asked, write, name: str, content: bytes, expected: list[str]) -> None:
    """Byte order mark, CRLF, NUL, surrogate pairs; of equal keys the last. Invalid UTF-8 breaks its row."""
    path = write(name, content)
    assert asked(path) == expected
    assert [row["prompt"] or expected[index] for index, row in enumerate(kept(path))] == expected


@pytest.mark.parametrize(
    "line",
    [
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\\udc00\\ud800"}',
        b'{"prompt": "\xed\xa0\x80"}',
        b'{"prompt": "a\0"}',
        b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}",
        b'{"prompt": "a", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt": "a"}\r{"prompt": "b"}',
        b'{"prompt": 5}',
        b'{"prompt": null}',
        b'{"prompt": "a", "params": {"n": 2}}',
    ],
    ids=lambda line: line[:40].decode("utf-8", "replace"),
)
def test_a_line_that_cannot_be_asked_breaks_its_row_only(asked, write, line: bytes) -> None:
    """Its neighbours are asked, and their columns stay with them."""
    path = write("a.jsonl", ROW % b"first" + line + b"\n" + ROW % b"last")
    first, broken, last = asked(path)
    assert (first, last) == ("first", "last")
    assert broken.startswith("a.jsonl:2: ")
    assert [kept(path)[row]["prompt"] for row in (0, 2)] == ["first", "last"]


@pytest.mark.parametrize(
    ("value", "reason", "kept_value"),
    [
        (b"NaN", "is not JSON: NaN is not a number of JSON", "nan"),
        (b"-Infinity", "is not JSON: Infinity is not a number of JSON", "-inf"),
        (b"1e400", "is not JSON", "inf"),
        (b'"\\ud83d"', "is not JSON", "None"),
        (b'"\xff"', "is not UTF-8 (byte ", "None"),
        (b'{"x": ["\xff", 1]}', "is not UTF-8 (byte ", "{'x': [None, 1]}"),
    ],
)
def test_a_value_that_json_cannot_express_costs_only_a_row_that_needs_it(
    asked, write, value: bytes, reason: str, kept_value: str
) -> None:
    """In a column that nobody asks for it is kept as far as it can be; where it is needed, its row is broken."""
    path = write("a.jsonl", b'{"id": "x", "prompt": "a", "v": %b}\n{"id": "y", "prompt": %b}\n' % (value, value))
    first, second = asked(path)
    assert first == "a"
    assert second.startswith(f"a.jsonl:2: {reason}")
    assert str(kept(path)[0]["v"]) == kept_value
    params = write("b.jsonl", ROW % b"a" + b'{"prompt": "a", "params": {"v": %b}}\n' % value)
    assert asked(params)[1].startswith(f"b.jsonl:2: {reason}")


def test_text_that_is_not_utf_8_costs_only_a_row_that_needs_it(asked, write) -> None:
    """In CSV too; a label is what is left of it."""
    path = write("a.csv", b"id,prompt,note\n1,a,\xe9\n2,\xe9,b\n\xe9,c,\n")
    assert asked(path) == ["a", "a.csv:3: is not UTF-8", "c"]
    assert [row["note"] for row in kept(path)] == [None, "b", ""]
    assert asked(path, "{{ note }}") == ["a.csv:2: is not UTF-8", "b", ""]


# Numbers.

_LARGE = [2**64, -(2**63) - 1, 10**30, 123456789012345678901234567890]


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, -(2**63), *_LARGE])
def test_whole_numbers_keep_all_their_digits(asked, write, number: int) -> None:
    """In the prompt, deep inside a column, as a label and in the results; also beyond 64 bits."""
    path = write("a.jsonl", [{"id": number, "v": {"x": [number]}, "text": "9" * 40}])
    assert asked(path, "{{ id }} {{ v.x[0] }} {{ v | tojson }} {{ text }}") == [
        f'{number} {number} {{"x": [{number}]}} ' + "9" * 40
    ]
    [row] = kept(path)
    assert int(row["id"]) == number
    assert (json.loads(row["v"]) if isinstance(row["v"], str) else row["v"]) == {"x": [number]}


@pytest.mark.parametrize("number", _LARGE)
def test_a_parameter_beyond_64_bits_is_a_broken_row_and_not_another_number(asked, write, number: int) -> None:
    """In JSON Lines and in the text of CSV."""
    rows = [{"prompt": "a"}, {"prompt": "b", "params": {"seed": number}}]
    assert "a.jsonl:2: cannot be sent as JSON" in asked(write("a.jsonl", rows))[1]
    content = f'prompt;params\na;\nb;"{{""seed"":{number}}}"\n'
    assert "a.csv:3: cannot be sent as JSON" in asked(write("a.csv", content))[1]


def test_long_numbers_next_to_short_ones_change_no_type(write) -> None:
    """Digits in texts and fractions are not changed."""
    rows = [{"f": 0.12345678901234567, "t": "1" * 50, "n": 5}, {"f": 1e300, "t": "", "n": 1_700_000_000_000_000_000}]
    assert kept(write("a.jsonl", rows)) == rows


# Nesting.


@pytest.mark.parametrize("depth", [260, 1020])
@pytest.mark.parametrize("inner", ["[]", '{"a":}'])
def test_deep_nesting_costs_no_answer(asked, write, depth: int, inner: str) -> None:
    """In a column that is kept or not, as a label, as a parameter: it becomes a text or a broken row."""
    half = len(inner) // 2 if inner == "[]" else 5
    deep = inner[:half] * depth + ("1" if inner != "[]" else "") + inner[half:] * depth
    for row in (
        f'{{"prompt": "x", "v": {deep}}}',
        f'{{"prompt": "x", "id": {deep}}}',
        f'{{"prompt": "x", "params": {{"z": {deep}}}}}',
        f'{{"messages": [{{"role": "user", "content": {deep}}}]}}',
    ):
        path = write("a.jsonl", '{"prompt": "first"}\n' + row + "\n")
        assert asked(path)[0] == "first"
        assert len(asked(path)) == len(kept(path)) == 2
    path = write("a.jsonl", f'{{"v": 1}}\n{{"v": {deep}}}\n')
    for template in ("{{ v }}", "{{ v | tojson }}", "{{ row }}"):
        assert len(asked(path, template)) == 2


# CSV.


# Size.


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("ending", "head"), [("jsonl", b""), ("csv", b"prompt\n")])
def test_a_line_over_the_limit_is_a_broken_row(
    asked, write, monkeypatch, packed: bool, ending: str, head: bytes
) -> None:
    """It is not kept in memory: a gzip file of one endless line fills none."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 3_000_000)
    row = b'{"prompt": "%s"}\n' if ending == "jsonl" else b"%s\n"
    content = head + row % b"a" + row % (b"x" * 20_000_000) + row % b"c" + (row % (b"x" * 4_000_000))[:-3]
    path = write(f"a.{ending}" + ".gz" * packed, gzip.compress(content, 1) if packed else content)
    tracemalloc.start()
    try:
        found = asked(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found[0], found[2]) == ("a", "c")
    assert "is longer than" in found[1]
    assert "is longer than" in found[3]
    assert len(found) == 4
    assert peak < 14_000_000


def test_a_line_of_100_mb_is_a_broken_row_among_others(asked, tmp_path: Path) -> None:
    """More than a request may hold, less than a line may."""
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(ROW % b"a" + b'{"prompt": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + ROW % b"c")
    first, large, last = asked(path)
    assert (first, last) == ("a", "c")
    assert "a.jsonl:2: makes a request of 95 MiB; at most 64 MiB can be sent" in large


def test_millions_of_blank_lines_in_a_few_kilobytes_are_read_past(asked, write) -> None:
    """They are not rows, and take hardly any time or memory."""
    path = write("a.jsonl.gz", gzip.compress(b"\n" * 20_000_000 + ROW % b"a"))
    began_s = time.process_time()
    assert asked(path) == ["a"]
    assert time.process_time() - began_s < 10


def test_rows_with_more_and_more_keys_are_refused_before_they_fill_the_memory(write, monkeypatch) -> None:
    """Each row would be as wide as all keys together; keys that the job names are kept."""
    monkeypatch.setattr(columns, "_MOST_COLUMNS", 50)
    path = write("a.jsonl", [{"prompt": "a", f"key{number}": number} for number in range(2000)])
    with pytest.raises(InputError, match=r"a\.jsonl: its rows have more than 50 different columns; .* --keep"):
        InputColumns(find_files([path]))
    found = InputColumns(find_files([path]), keep=("prompt", "key7"))
    assert sum(batch.num_rows for batch in found.batches()) == 2000
    assert next(found.batches()).slice(7, 1).to_pylist() == [{"prompt": "a", "key7": 7}]


# Parquet.


# Packing.


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_damaged_packed_file_is_refused_wherever_it_is_damaged(asked, write, pack) -> None:
    """It never yields a row that was not there; zstd without a checksum, as here, cannot find every flipped byte."""
    whole = pack(b"".join(ROW % b"%d" % number for number in range(300)))
    for place in range(0, len(whole), 29):
        path = write("a.jsonl", whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = asked(path)
        except InputError:
            continue
        assert pack is zstd or found == [str(number) for number in range(300)]
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"garbage"):
        with pytest.raises(InputError, match=r"a\.jsonl: (ends too early|cannot be read)"):
            asked(write("a.jsonl", content))


def test_a_zstd_file_may_begin_with_a_frame_to_skip(asked, write) -> None:
    """Parallel compressors write such files."""
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    assert asked(write("a.jsonl.zst", skipped + zstd(ROW % b"a") + skipped + zstd(ROW % b"b"))) == ["a", "b"]


# Folders and links.


def test_a_folder_of_everything_is_read_in_order(asked, tmp_path: Path, write) -> None:
    """Formats mix; a folder may have the name of a file; a pipe is skipped."""
    parquet(tmp_path / "a.parquet", pa.table({"prompt": ["a"], "x": [1]}))
    write("b.csv", b"prompt,x\nb,2\n")
    write("c.jsonl/inner.jsonl.gz", gzip.compress(ROW % b"c"))
    write("d.jsonl", b'{"prompt": "d", "x": [3]}\n')
    write("e.txt", b"no input")
    os.mkfifo(tmp_path / "f.jsonl")
    assert asked(tmp_path) == ["a", "b", "c", "d"]
    assert kept(tmp_path) == [
        {"prompt": "a", "x": "1"},
        {"prompt": "b", "x": "2"},
        {"prompt": "c", "x": None},
        {"prompt": "d", "x": "[3]"},
    ]


def test_a_pipe_with_a_name_is_refused_and_not_waited_for(asked, tmp_path: Path) -> None:
    """Perhaps no program ever writes to it."""
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: is not a regular file; pipe its content to standard input"):
        asked(tmp_path / "a.jsonl")


def test_a_broken_link_is_refused_alone_and_in_a_folder(asked, tmp_path: Path, write) -> None:
    """Missing rows are not skipped silently."""
    write("a.jsonl", ROW % b"a")
    (tmp_path / "b.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(InputError, match=r"b\.jsonl: is a link to gone\.jsonl, which does not exist"):
        asked(tmp_path / "b.jsonl")
    for path in (tmp_path, tmp_path / "*.jsonl"):
        with pytest.raises(InputError, match=r"b\.jsonl: cannot be read: No such file"):
            asked(path)


def test_a_link_that_leads_in_circles_gives_each_row_once(asked, tmp_path: Path, write) -> None:
    """A glob would follow it forty times."""
    write("in/a.jsonl", ROW % b"a")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert asked(tmp_path / "in") == ["a"]
    assert asked(tmp_path / "in" / "**" / "*.jsonl") == ["a"]


def test_a_folder_without_read_permission_is_refused(tmp_path: Path, write, monkeypatch) -> None:
    """Its rows would be missing."""
    write("in/a.jsonl", ROW % b"a")
    write("in/closed/b.jsonl", ROW % b"b")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="closed: cannot be read: Permission denied"):
        find_files([str(tmp_path / "in")])


# Files that change.


@pytest.mark.parametrize("change", ["grows", "shrinks", "is replaced"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_file_that_changes_while_its_columns_are_read_is_refused(write, change: str, ending: str) -> None:
    """Its columns could end up next to the answers of other rows."""
    head, row = (b"", b'{"a": "%06d"}\n') if ending == "jsonl" else (b"a\n", b"%06d\n")
    content = head + b"".join(row % number for number in range(5000))
    path = Path(write(f"a.{ending}", content))
    found = InputColumns(find_files([str(path)])).batches()
    assert next(found).column("a")[0].as_py() == "000000"
    if change == "grows":
        path.write_bytes(content + row % 5000)
    elif change == "shrinks":
        path.write_bytes(content[: len(content) // 2])
    else:
        other = path.with_name("other")
        other.write_bytes(content.replace(b"0", b"1"))
        os.utime(other, ns=(0, 0))
        other.replace(path)
    with pytest.raises(InputError, match="has changed while it was read"):
        list(found)


def test_a_file_that_shrinks_during_a_run_ends_early_and_adds_no_row(make_job, write) -> None:
    """At most the last row is broken, with that reason."""
    path = Path(write("a.jsonl", b"".join(ROW % b"%d" % number for number in range(200_000))))
    with Source(make_job(str(path))) as source:
        source.open()
        batches = source.batches()
        entries = list(next(batches))
        path.write_bytes(path.read_bytes()[:2_000_000])
        entries += [entry for batch in batches for entry in batch]
    *sound, last = entries
    assert [json.loads(entry.body)["messages"][0]["content"] for entry in sound] == [
        str(number) for number in range(len(sound))
    ]
    assert 10_000 < len(sound) < 200_000
    assert isinstance(last, BadRow)
