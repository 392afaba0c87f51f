"""Any bytes under any name give rows, broken rows or a refusal, and every row keeps its own columns."""

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.endpoint.key import find_project
from batchrun.errors import InputError, JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.settings import header_text
from batchrun.prompts.input import json_array, lines
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.digits import exact, has_long_number
from batchrun.prompts.input.files import find_files
from batchrun.prompts.source import Source
from batchrun.records import BadRow

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)

PIECES = st.sampled_from(
    [
        b'{"prompt": "a", "n": ',
        b'{"prompt": ',
        b'"',
        b"'",
        b"}",
        b"]",
        b"[",
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"1e400",
        b"NaN",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"null",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"prompt",
        b"id",
        b"params",
        b"messages",
        b'[{"role": "user", "content": "x"}]',
        b'{"prompt": "whole"}\n',
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfd",
        b"PAR1",
    ]
)
TEXTS = st.lists(PIECES | st.binary(max_size=6), max_size=40).map(b"".join)

NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def entries_of(make_job: Any, path: str, user: str | None) -> list[Any]:
    with Source(make_job(path, user=user)) as source:
        source.open()
        return [entry for batch in source.batches() for entry in batch]


@FUZZ
@given(
    TEXTS,
    st.sampled_from(["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.zst", "a.json", "a.txt", "a.tsv.gz"]),
    st.booleans(),
    st.sampled_from([None, "{{ row }}", "{{ prompt }}{{ n }}"]),
)
def test_any_bytes_are_rows_or_refused(tmp_path: Path, make_job, content, name: str, packs: bool, user) -> None:
    """The results have as many rows as were asked or broken, numbered without a gap; only our own errors occur."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if packs else content)
    try:
        entries = entries_of(make_job, str(path), user)
    except InputError:
        return
    assert [entry.row for entry in entries] == list(range(len(entries)))
    assert all(json.loads(entry.body)["messages"] for entry in entries if not isinstance(entry, BadRow))
    columns = InputColumns(find_files([str(path)]))
    table = pa.Table.from_batches(columns.batches(), columns.schema)
    table.validate(full=True)
    assert table.num_rows == len(entries)


@FUZZ
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "row", "response", "input_row", "", "ä b"]), VALUES), max_size=6
    ),
    st.lists(st.sampled_from([b"", b"  ", b"\r", b"nonsense", b"[1]", b"\xff"]), max_size=6),
)
def test_columns_stay_with_their_row(tmp_path: Path, make_job, rows, others) -> None:
    """Whatever is between the rows: blank lines are not rows, broken rows are null."""
    numbered = [json.dumps({**row, "nr": nr}).encode() for nr, row in enumerate(rows)]
    content = [line for pair in zip(numbered, [*others, *[b""] * len(rows)], strict=False) for line in pair]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(content) + b"\n")
    if not numbered:
        return
    entries = entries_of(make_job, str(path), "{{ nr }}")
    asked = [
        None if isinstance(entry, BadRow) else int(json.loads(entry.body)["messages"][0]["content"])
        for entry in entries
    ]
    assert [nr for nr in asked if nr is not None] == list(range(len(rows)))
    columns = InputColumns(find_files([str(path)]))
    table = pa.Table.from_batches(columns.batches(), columns.schema)
    assert table["nr"].to_pylist() == asked
    pq.write_table(table, tmp_path / "out.parquet")


@given(VALUES)
def test_json_is_read_exactly(value: Any) -> None:
    """Reading returns what was written, including whole numbers of any length."""
    assert exact(json.dumps(value)) == value


@given(st.integers(2**63 + 1, 10**40), st.booleans(), st.binary(max_size=30), st.binary(max_size=30))
def test_no_long_number_is_overlooked(number: int, is_negative: bool, before: bytes, after: bytes) -> None:
    """At any place in the document."""
    digits = str(number).encode()
    assert has_long_number(before + b"-" * is_negative + digits + after) or len(digits) < 19


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 20))
def test_lines_over_the_limit_are_marked_and_the_others_are_whole(content: list[bytes], limit: int) -> None:
    """However the bytes are divided into chunks."""
    whole = b"\n".join(content)
    if whole.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf")) or whole[1:4] == b"\x2a\x4d\x18":
        return

    class Trickle:
        def __init__(self) -> None:
            self.left = whole

        def read(self, size: int) -> bytes:
            chunk, self.left = self.left[:7], self.left[7:]
            return chunk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_LINE_BYTES", limit)
        patch.setattr(lines, "_HEAD_BYTES", 7)
        found = [line for block in lines.blocks(Trickle()) for line in block.lines]
    expected = whole.split(b"\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other or (one is lines.TOO_LONG and len(other) > limit)


@settings(max_examples=300)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.integers(1, 9), st.booleans())
def test_the_elements_of_an_array_are_cut_out_wherever_its_bytes_are_divided(
    elements: list[Any], indent: int | None, size: int, is_ascii: bool
) -> None:
    """Each as the parser of the whole array finds it, with the line on which it begins."""
    content = json.dumps(elements, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    cutter, found = json_array._Cutter(), []
    for start in range(0, len(content), size):
        found += list(cutter.elements(content[start : start + size]))
    assert cutter.is_at_end
    assert not cutter.problem
    assert [json.loads(each.content) for each in found] == elements
    if elements and indent:
        places = [
            line for line, text in enumerate(content.split(b"\n"), 1) if text[:1] == b" " and text[1:2] not in b" ]}"
        ]
        assert [each.line for each in found] == places


# Files that were whole, and were damaged or written by others.

ROWS = [
    {
        "custom_id": "é",
        "prompt": "a\u2028",
        "v": 2**60,
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"a": None}],
    },
    {"custom_id": None, "prompt": "b", "v": None, "messages": None, "tools": []},
    {"custom_id": "z", "prompt": "c", "v": 1, "messages": [{"role": "user", "content": None}], "tools": None},
]
LINES = [
    {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": ROWS[0]["messages"], "n": None},
    },
    {"custom_id": "b", "params": {"model": "m", "messages": ROWS[0]["messages"]}},
    {"prompt": float("nan"), "conversations": [{"from": "human", "value": "x"}]},
]


def parquet_file(**how: Any) -> bytes:
    out = io.BytesIO()
    table = pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]})
    extra = {
        "bytes": pa.array([b"\xff", b"text", None]),
        "at": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.timestamp("ns"))),
    }
    for name, column in extra.items():
        table = table.append_column(name, column)
    pq.write_table(table, out, **how)
    return out.getvalue()


JSON_LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
BATCH_LINES = "".join(json.dumps(row) + "\n" for row in LINES).encode()
CSV = b"custom_id;prompt;messages\r\n1;a;\r\n2;\"b;\r\n\";\"[{'role': 'user'}]\"\r\n"
WHOLE = [
    ("a.jsonl", JSON_LINES),
    ("a.jsonl", BATCH_LINES),
    ("a.jsonl", JSON_LINES.decode().encode("utf-16")),
    ("a.csv", CSV),
    ("a.csv", b"sep=|\n" + CSV.replace(b";", b"|")),
    ("a.csv", CSV.decode().encode("utf-32")),
    ("a.jsonl.gz", gzip.compress(BATCH_LINES * 3, mtime=0)),
    ("a.csv.zst", pa.compress(CSV * 3, "zstd", asbytes=True)),
    ("a.parquet", parquet_file()),
    ("a.parquet", parquet_file(compression="none", store_schema=False, row_group_size=1)),
    ("a.json", json.dumps({"data": ROWS}).encode()),
    ("a.json", json.dumps(ROWS, indent=1, ensure_ascii=False).encode()),
    ("a.json", json.dumps([*LINES, "text", 5, [], '\\"']).encode()),
    ("a.txt", "a\u2028\r\n\r\nb é\n".encode()),
    ("a.tsv", CSV.replace(b";", b"\t")),
]


@st.composite
def damaged(draw: Any) -> tuple[str, bytes]:
    """A whole file with some bytes changed, cut out, doubled or replaced by those of another."""
    name, content = draw(st.sampled_from(WHOLE))
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        # The last 600 bytes of Parquet are its footer: there most damage can be done.
        place = draw(st.integers(0, len(data)) | st.integers(max(0, len(data) - 600), len(data)))
        match draw(st.sampled_from(["flip", "set", "cut", "double", "splice", "end"])):
            case "flip" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "set" if place < len(data):
                data[place] = draw(st.sampled_from([0, 1, 0x22, 0x7F, 0x80, 0xFE, 0xFF]))
            case "cut":
                del data[place : place + draw(st.integers(1, 9))]
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 40))]
            case "splice":
                other = draw(st.sampled_from(WHOLE))[1]
                begin = draw(st.integers(0, len(other)))
                data[place:place] = other[begin : begin + draw(st.integers(1, 60))]
            case "end":
                del data[place:]
    return name, bytes(data)


@settings(FUZZ, max_examples=int(os.environ.get("FUZZ_FILES", "400")))
@given(damaged(), st.sampled_from([None, "{{ row | tojson }}", "{{ prompt }}", "{prompt}"]), st.booleans())
def test_a_damaged_file_is_read_as_far_as_it_goes_or_refused(tmp_path: Path, make_job, file, user, keeps: bool) -> None:
    """Nothing but an error of ours, from reading, asking and keeping columns; what is asked is JSON and UTF-8."""
    name, content = file
    path = tmp_path / name
    path.write_bytes(content)
    try:
        entries = entries_of(make_job, str(path), user)
        columns = InputColumns(find_files([str(path)])) if keeps else None
        table = None if columns is None else pa.Table.from_batches(columns.batches(), columns.schema)
    except (InputError, JobError):
        return
    assert [entry.row for entry in entries] == list(range(len(entries)))
    for entry in entries:
        (entry.custom_id or "").encode()
        if isinstance(entry, BadRow):
            entry.message.encode()
        else:
            assert b"b'" not in entry.body
            json.loads(entry.body.decode())
    if table is not None:
        table.validate(full=True)
        assert table.num_rows == len(entries)


@given(st.text(st.characters(codec=None), max_size=12) | st.binary(max_size=8).map(os.fsdecode))
def test_any_letters_of_a_project_are_a_header_or_an_error_of_the_job(letters: str) -> None:
    """From the job file, a flag, or the environment."""
    try:
        assert header_text(letters).encode("ascii").decode().isprintable()
    except ValueError as problem:
        str(problem).encode()
    try:
        project = find_project(Endpoint(), {"WANDB_ENTITY": letters, "WANDB_PROJECT": "p"})
    except JobError as problem:
        str(problem).encode()
    else:
        assert project is None or project.encode("ascii").decode().isprintable()
