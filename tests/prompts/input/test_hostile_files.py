"""Files that nobody wrote by intent, or somebody did: each row is asked, is a broken row, or the input is refused.

And whatever the file, the input columns of the results are those of the row whose request stands beside them.
"""

import datetime
import gzip
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.prompts.input import columns, formats, lines
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.source import Source
from batchrun.records import BadRow

ROW = b'{"prompt": "%s"}\n'


@pytest.fixture
def asked(make_job):
    """Return what a file's rows ask, or what is wrong with each."""

    def asked(path: str | Path, user: str | None = None) -> list[str]:
        with Source(make_job(str(path), user=user)) as source:
            source.open()
            entries = [entry for batch in source.batches() for entry in batch]
        assert [entry.row for entry in entries] == list(range(len(entries)))
        return [
            entry.message if isinstance(entry, BadRow) else json.loads(entry.body)["messages"][-1]["content"]
            for entry in entries
        ]

    return asked


def kept(path: str | Path) -> list[dict[str, Any]]:
    """Return the input columns that the results have."""
    found = InputColumns(find_files([str(path)]))
    table = pa.Table.from_batches(found.batches(), found.schema)
    table.validate(full=True)
    return list(table.to_pylist())


def parquet(path: Path, content: pa.Table, **settings: Any) -> Path:
    pq.write_table(content, path, **settings)
    return path


# Encodings and line ends.


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", (ROW % b"a").decode().encode("utf-16"), "is UTF-16, not UTF-8; convert the file: iconv"),
        ("a.jsonl", (ROW % b"a").decode().encode("utf-16-le"), "is not JSON"),
        ("a.csv", "prompt,b\na,1\n".encode("utf-16"), "the header is not UTF-8"),
        ("a.csv", "prompt,b\na,1\n".encode("utf-16-be"), "the header is not UTF-8"),
        ("a.jsonl", ROW.replace(b"\n", b"\r") % b"a" * 2, "a line ends in CR alone; convert the file: tr"),
        ("a.csv", b"prompt,b\ra,1\r", "a line ends in CR alone; convert the file: tr"),
        ("a.csv", b'prompt,"b\n1,2\n', "the header is not CSV: a quote is not closed"),
        ("a.csv", b'prompt,"b"c\n1,2\n', "the header is not CSV"),
        ("a.csv", b"prompt,b\n", "holds no rows"),
        ("a.csv", b"\n\r\n\n", "holds no rows"),
        ("a.csv", b"", "holds no rows"),
        ("a.jsonl", b"\0" * 5000, "is not JSON"),
        ("a.jsonl", b"\x1f\x8b", "breaks off"),
        ("a.jsonl", b"\x28\xb5\x2f\xfd", "breaks off"),
        ("a.jsonl.gz", gzip.compress(b"\n" * 3_000_000), "holds no rows"),
        ("a.parquet", b"", "is no Parquet file"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_with_its_reason(
    asked, write, name: str, content: bytes, problem: str
) -> None:
    """With the cure where there is one; nothing of it is asked."""
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
    """A byte order mark, CRLF, NUL, pairs of surrogates; of twin keys the last. What is not UTF-8 breaks its row."""
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
        b'{"prompt": "a", "n": NaN}',
        b'{"prompt": "a", "n": 1e400}',
        b'{"prompt": "a", "n": -1e400}',
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
    """Its neighbours are asked, and their columns stand beside them."""
    path = write("a.jsonl", ROW % b"first" + line + b"\n" + ROW % b"last")
    first, broken, last = asked(path)
    assert (first, last) == ("first", "last")
    assert broken.startswith("a.jsonl:2: ")
    assert [kept(path)[row]["prompt"] for row in (0, 2)] == ["first", "last"]


# Numbers.

_LARGE = [2**64, -(2**63) - 1, 10**30, 123456789012345678901234567890]


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, -(2**63), *_LARGE])
def test_whole_numbers_keep_all_their_digits(asked, write, number: int) -> None:
    """In the prompt, deep inside a column, as a label, and in the results: also beyond 64 bits."""
    path = write("a.jsonl", [{"id": number, "v": {"x": [number]}, "text": "9" * 40}])
    assert asked(path, "{{ id }} {{ v.x[0] }} {{ v | tojson }} {{ text }}") == [
        f'{number} {number} {{"x": [{number}]}} ' + "9" * 40
    ]
    [row] = kept(path)
    assert int(row["id"]) == number
    assert (json.loads(row["v"]) if isinstance(row["v"], str) else row["v"]) == {"x": [number]}


@pytest.mark.parametrize("number", _LARGE)
def test_a_parameter_beyond_64_bits_is_a_broken_row_and_not_another_number(asked, write, number: int) -> None:
    """Whether JSON Lines says it, or CSV in a text."""
    rows = [{"prompt": "a"}, {"prompt": "b", "params": {"seed": number}}]
    assert "a.jsonl:2: cannot be sent as JSON" in asked(write("a.jsonl", rows))[1]
    content = f'prompt;params\na;\nb;"{{""seed"":{number}}}"\n'
    assert "a.csv:3: cannot be sent as JSON" in asked(write("a.csv", content))[1]


def test_long_numbers_beside_short_ones_change_no_type(write) -> None:
    """Digits within texts and fractions are left as they are."""
    rows = [{"f": 0.12345678901234567, "t": "1" * 50, "n": 5}, {"f": 1e300, "t": "", "n": 1_700_000_000_000_000_000}]
    assert kept(write("a.jsonl", rows)) == rows


# Nesting.


@pytest.mark.parametrize("depth", [260, 1020])
@pytest.mark.parametrize("inner", ["[]", '{"a":}'])
def test_deep_nesting_costs_no_answer(asked, write, depth: int, inner: str) -> None:
    """In a column that is not asked for, in one that is, as a label, as a parameter: a text, or a broken row."""
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'prompt,b\na,1\n"b,2\nc,3\nd,"4"\ne,5\n',
            ["a", "a.csv:3: is not CSV: ',' expected after '\"'; it goes on to line 5", "e"],
        ),
        (
            b'prompt,b\na,1\nb,"2\nc,3\nd,4\n',
            ["a", "a.csv:3: is not CSV: a quote is not closed; it goes on to line 5"],
        ),
        (b'prompt,b\n5" screen,1\nc,3\n', ['5" screen', "c"]),
        (b'prompt,b\n"5" screen",1\nc,3\n', ["a.csv:2: is not CSV: ',' expected after '\"'", "c"]),
        (
            b"prompt,b\na\nb,2,3\n,\nc,4\n",
            ["a.csv:2: has 1 fields, the header has 2", "a.csv:3: has 3 fields, the header has 2", "", "c"],
        ),
        (
            b"prompt,b\na,1\nb,2\rc,3\r\nd,4\n",
            ["a", "a.csv:3: is not CSV: a line ends in CR alone; convert the file: tr '\\r' '\\n'", "d"],
        ),
    ],
)
def test_csv_that_is_out_of_joint_is_never_guessed_at(asked, write, content: bytes, expected: list[str]) -> None:
    """What a quote swallows is one broken row that says how far it reaches; the rows after it are right again."""
    path = write("a.csv", content)
    assert asked(path) == expected
    assert [row["prompt"] for row in kept(path)] == [None if "a.csv" in text else text for text in expected]


def test_a_csv_record_that_never_ends_is_given_up(asked, write, monkeypatch) -> None:
    """A forgotten quote holds no more than one record may."""
    monkeypatch.setattr(formats, "_CSV_RECORD_BYTES", 1000)
    path = write("a.csv", b"prompt,b\na,1\n" + b'b,"2\n' + b'","\n' * 400 + b"c,3\n")
    found = asked(path)
    assert found[0] == "a"
    assert "a.csv:3: is not CSV: longer than" in found[1]
    assert "a quote may not be closed" in found[1]
    assert found[-1] == "c"


def test_large_csv_rows_come_few_at_a_time(write) -> None:
    """No batch is larger than a block and a row, however many rows it might hold."""
    path = write("a.csv", b"prompt\n" + (b"x" * 600_000 + b"\n") * 20)
    assert max(len(rows) for rows in RowReader(find_files([path]))) <= 3


# Size.


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("ending", "head"), [("jsonl", b""), ("csv", b"prompt\n")])
def test_a_line_over_the_limit_is_a_broken_row(
    asked, write, monkeypatch, packed: bool, ending: str, head: bytes
) -> None:
    """It is not held in memory: a gzip of one endless line fills none."""
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
    """They are no rows, and take no time or memory to speak of."""
    path = write("a.jsonl.gz", gzip.compress(b"\n" * 20_000_000 + ROW % b"a"))
    began_s = time.process_time()
    assert asked(path) == ["a"]
    assert time.process_time() - began_s < 10


def test_rows_with_ever_new_keys_are_refused_as_columns_before_they_fill_the_memory(write, monkeypatch) -> None:
    """Each would be as wide as all together; those that are named are kept."""
    monkeypatch.setattr(columns, "_MOST_COLUMNS", 50)
    path = write("a.jsonl", [{"prompt": "a", f"key{number}": number} for number in range(2000)])
    with pytest.raises(InputError, match=r"a\.jsonl: its rows have more than 50 different columns; .* --keep"):
        InputColumns(find_files([path]))
    found = InputColumns(find_files([path]), keep=("prompt", "key7"))
    assert sum(batch.num_rows for batch in found.batches()) == 2000
    assert next(found.batches()).slice(7, 1).to_pylist() == [{"prompt": "a", "key7": 7}]


def test_parquet_rows_of_very_different_size_come_few_at_a_time(tmp_path: Path) -> None:
    """The mean says little: the large ones may stand all in one place."""
    texts = ["x"] * 20_000 + ["y" * 1_000_000 + str(number) for number in range(60)]
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": texts}), use_dictionary=False)
    sizes = [sum(len(row.columns["prompt"]) for row in rows) for rows in RowReader(find_files([str(path)]))]
    assert max(sizes) < 9_000_000
    assert sum(sizes) == sum(map(len, texts))


# Parquet.


def test_parquet_without_rows_or_without_columns_is_refused(asked, tmp_path: Path) -> None:
    """It holds no rows; beside files that do, it is passed over."""
    parquet(tmp_path / "a.parquet", pa.table({"prompt": pa.array([], pa.string())}))
    parquet(tmp_path / "b.parquet", pa.table({}))
    for name in ("a.parquet", "b.parquet"):
        with pytest.raises(InputError, match="holds no rows"):
            asked(tmp_path / name)
    parquet(tmp_path / "c.parquet", pa.table({"prompt": ["c"]}))
    assert asked(tmp_path) == ["c"]
    assert kept(tmp_path) == [{"prompt": "c"}]


def test_row_groups_without_rows_move_no_row(asked, tmp_path: Path) -> None:
    """Before, between and after the others."""
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("prompt", pa.string())])) as file:
        for texts in ([], ["a"], [], [], ["b", "c"], []):
            file.write_table(pa.table({"prompt": pa.array(texts, pa.string())}))
    assert asked(path) == ["a", "b", "c"]
    assert kept(path) == [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]


def test_a_damaged_parquet_file_is_refused_wherever_it_is_damaged(asked, tmp_path: Path) -> None:
    """Or it reads to its end, where the damage shows nowhere; each row beside its own columns."""
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": [f"p{n}" for n in range(500)]}), row_group_size=100)
    whole = path.read_bytes()
    refused = 0
    for place in range(4, len(whole) - 4, 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert len(asked(path)) == len(kept(path))
        except InputError as problem:
            refused += 1
            assert "a.parquet" in str(problem)  # noqa: PT017  # it may be raised, and need not
    assert refused > 10
    path.write_bytes(whole[:-50])
    with pytest.raises(InputError, match="was not written to its end"):
        asked(path)


_TZ = "America/Nowhere"
_DAY_S = 86_400

COLUMNS: dict[str, tuple[pa.Array, str]] = {
    "struct": (pa.array([{"a": 1, "b": {"c": "x"}}, None]), "{'a': 1, 'b': {'c': 'x'}}"),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), "[('k', 1)]"),
    "list": (pa.array([[1, None], None]), "[1, None]"),
    "fixed list": (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), "[1, 2]"),
    "large list": (pa.array([[1], None], pa.large_list(pa.int8())), "[1]"),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), "a"),
    "decimal": (pa.array([1, None], pa.decimal128(20, 0)).cast(pa.decimal128(22, 2)), "1.00"),
    "duration": (pa.array([_DAY_S, None], pa.duration("s")), "1 day, 0:00:00"),
    "duration in ns": (pa.array([1001, None], pa.duration("ns")), "0:00:00.000001"),
    "time in ns": (pa.array([1001, None], pa.time64("ns")), "00:00:00.000001"),
    "timestamp in ns": (pa.array([1001, None], pa.timestamp("ns")), "1970-01-01 00:00:00.000001"),
    "ns in a struct": (
        pa.array([{"t": 1001}, None], pa.struct([("t", pa.timestamp("ns"))])),
        str({"t": datetime.datetime(1970, 1, 1, 0, 0, 0, 1)}),
    ),
    "ns in a list": (
        pa.array([[1001], None], pa.large_list(pa.list_(pa.duration("ns")).value_type)),
        str([datetime.timedelta(microseconds=1)]),
    ),
    "unknown time zone": (pa.array([0, None], pa.timestamp("us", _TZ)), "cannot be read"),
    "date beyond the years": (pa.array([2**31 - 1, None], pa.date32()), "cannot be read"),
    "binary": (pa.array([b"\xff", None]), "b'\\xff'"),
    "not UTF-8": (pa.array([b"\xff", None]).view(pa.string()), "cannot be read"),
    "float": (pa.array([float("nan"), None]), "nan"),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), str(2**64 - 1)),
    "null": (pa.nulls(2), ""),
    "extension": (
        pa.FixedShapeTensorArray.from_storage(
            pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[1, 2], None], pa.list_(pa.int8(), 2))
        ),
        "[1, 2]",
    ),
}


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_type_of_parquet_is_asked_or_breaks_its_row(asked, tmp_path: Path, name: str) -> None:
    """Null renders as nothing; a column that is not asked for breaks no row."""
    column, expected = COLUMNS[name]
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": ["a", "b"], "v": column}))
    assert asked(path) == ["a", "b"]
    first, second = asked(path, "{{ v }}")
    assert expected in first
    assert second == ""
    assert first == expected or "a.parquet: row 0: " in first


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_type_of_parquet_goes_into_the_results_alone_and_beside_texts(
    asked, tmp_path: Path, write, name: str
) -> None:
    """Its own type where it stands alone, text where a JSON file has a text there; null only what cannot be read."""
    column, _ = COLUMNS[name]
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": ["a", "b"], "v": column}))
    found = InputColumns(find_files([str(path)]))
    [batch] = found.batches()
    batch.validate(full=True)
    assert batch.num_rows == 2
    assert batch.column("prompt").to_pylist() == ["a", "b"]
    write("b.jsonl", [{"prompt": "c", "v": "text"}, {"prompt": "d", "v": {"a": "x"}}])
    rows = kept(tmp_path)
    assert [row["prompt"] for row in rows] == asked(tmp_path) == ["a", "b", "c", "d"]
    assert [row["v"] for row in rows[2:]] == ["text", '{"a":"x"}']
    assert (rows[0]["v"] is None) == (name in ("null", "not UTF-8", "unknown time zone"))
    assert rows[1]["v"] is None


def test_names_with_dots_and_empty_names_are_columns_like_others(asked, tmp_path: Path) -> None:
    """Arrow takes `a.b` for a way into a struct as well."""
    table = pa.table({"a": [{"b": 1}], "a.b": [5], "": [7], "prompt": ["x"]})
    path = parquet(tmp_path / "a.parquet", table)
    assert asked(path, '{{ a }} {{ row["a.b"] }} {{ row[""] }}') == ["{'b': 1} 5 7"]
    assert kept(path) == [{"a": {"b": 1}, "a.b": 5, "": 7, "prompt": "x"}]


# Packing.


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_damaged_packed_file_is_refused_wherever_it_is_damaged(asked, write, pack) -> None:
    """Never a row that was not there; zstd without a checksum, as here, cannot tell each flipped byte."""
    whole = pack(b"".join(ROW % b"%d" % number for number in range(300)))
    for place in range(0, len(whole), 29):
        path = write("a.jsonl", whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = asked(path)
        except InputError:
            continue
        assert pack is zstd or found == [str(number) for number in range(300)]
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"garbage"):
        with pytest.raises(InputError, match=r"a\.jsonl: (breaks off|cannot be read)"):
            asked(write("a.jsonl", content))


def test_a_zstd_file_may_begin_with_a_frame_to_skip(asked, write) -> None:
    """As parallel packers write it."""
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    assert asked(write("a.jsonl.zst", skipped + zstd(ROW % b"a") + skipped + zstd(ROW % b"b"))) == ["a", "b"]


# Folders and links.


def test_a_folder_of_everything_is_read_in_order(asked, tmp_path: Path, write) -> None:
    """Formats mix; a folder may be called like a file; a pipe is passed over."""
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
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: is no regular file; pipe it in and name -"):
        asked(tmp_path / "a.jsonl")


def test_a_link_to_nothing_is_refused_alone_and_in_a_folder(asked, tmp_path: Path, write) -> None:
    """Rows that are missing are not passed over in silence."""
    write("a.jsonl", ROW % b"a")
    (tmp_path / "b.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(InputError, match=r"b\.jsonl: is a link to gone\.jsonl, which does not exist"):
        asked(tmp_path / "b.jsonl")
    for path in (tmp_path, tmp_path / "*.jsonl"):
        with pytest.raises(InputError, match=r"b\.jsonl: cannot be read: No such file"):
            asked(path)


def test_a_link_that_leads_in_circles_gives_each_row_once(asked, tmp_path: Path, write) -> None:
    """A glob follows it forty times."""
    write("in/a.jsonl", ROW % b"a")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert asked(tmp_path / "in") == ["a"]
    assert asked(tmp_path / "in" / "**" / "*.jsonl") == ["a"]


def test_a_folder_that_may_not_be_looked_into_is_refused(tmp_path: Path, write, monkeypatch) -> None:
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
    """What was read of it may stand beside answers that it does not belong to."""
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


def test_a_file_that_shrinks_while_it_is_asked_ends_there_and_makes_no_row_up(make_job, write) -> None:
    """At most the last row is broken, and says so."""
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
