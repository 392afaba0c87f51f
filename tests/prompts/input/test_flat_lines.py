import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns, LateSchema
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.flat_lines import FlatLines, line_lists
from batchrun.prompts.sample import within

TYPES = {"t": pa.string(), "i": pa.int64(), "f": pa.float64(), "b": pa.bool_(), "n": pa.null()}
SCHEMA = pa.schema([(name, pa.string() if kind == pa.null() else kind) for name, kind in TYPES.items()])


def flat(types: dict[str, pa.DataType | None] = TYPES, others: tuple[str, ...] = ()) -> FlatLines | None:
    return FlatLines.of(types, others, SCHEMA)


def read(*lines: bytes) -> list[list[object]] | None:
    lines_of = flat()
    assert lines_of is not None
    arrays = lines_of.arrays(lines)
    return None if arrays is None else [array.to_pylist() for array in arrays]


def test_texts_and_numbers_become_columns() -> None:
    """Of the types of the schema, null where a line does not have the column."""
    first = b'{"t": "\\u00e4\\ud83d\\ude00", "i": -3, "f": 2, "b": true, "n": null}'
    assert read(first, b"{}", b'{"n": "x"}') == [
        ["ä😀", None, None],
        [-3, None, None],
        [2.0, None, None],
        [True, None, None],
        [None, None, "x"],
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b" ", b"[]", b"null", b'"t"', b"{", b'{"t": "x"} {}', b'{"x": 1}', b"{'t': 'x'}"),
        *(b'{"t": 1}', b'{"i": 1.0}', b'{"i": "1"}', b'{"b": 1}', b'{"f": true}', b'{"n": []}', b'{"f": NaN}'),
        *(b'{"i": 9007199254740993}', b'{"f": 9007199254740993}', b'{"f": -1e16}', b'{"f": 1e400}'),
        *(b'{"t": "\xff"}', b'{"t": "\\ud800"}', b'{"t": "\x01"}', b'{"t": ' + b"[" * 5_000),
    ],
)
def test_lines_of_any_other_form_are_left_to_others(line: bytes) -> None:
    """Among lines that fit, too."""
    assert read(b'{"t": "x"}', line) is None


@pytest.mark.parametrize(
    "types",
    [{"a": pa.list_(pa.string())}, {"a": pa.decimal256(19, 0)}, {"a": None}, {'"': pa.string()}],
)
def test_other_columns_are_left_to_others(types: dict[str, pa.DataType | None]) -> None:
    """Nested ones, long numbers, several types, and names that JSON escapes."""
    assert FlatLines.of(types, (), pa.schema([(name, pa.string()) for name in types])) is None


def test_lines_come_in_lists_of_bounded_length(tmp_path: Path) -> None:
    """Blank ones make no list; a file that is gone is an error that names it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n3\n" + b"\n" * 5 + b"4")
    [file] = find_files([str(path)])
    assert list(line_lists(file, 2)) == [[b"1", b"2"], [b"3", b""], [b"4"]]
    path.unlink()
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be read"):
        list(line_lists(file, 2))


STRINGS = ['"x"', '"\\u0041\\n"', '"ä"', '"']
TEXTS = st.sampled_from([*STRINGS, "null", "1", "-0", "2.5", "1e3", "true", "9007199254740993", "[]", "{}", "1e999"])
LINES = st.one_of(
    st.dictionaries(st.sampled_from("abc"), TEXTS, max_size=3).map(
        lambda row: "{" + ", ".join(f'"{name}": {text}' for name, text in row.items()) + "}"
    ),
    st.sampled_from(["", " ", "[1]", "no", '{"a": "x", "a": "y"}', '{"a": "\\ud800"}', ' {"a":"x"}\r']),
)


def found(columns: Callable[[], InputColumns]) -> tuple[pa.Schema, list[object]] | str:
    try:
        its = columns()
        return its.schema, pa.Table.from_batches(its.batches(), its.schema).to_pylist()
    except (LateSchema, InputError) as problem:
        return f"{type(problem).__name__}: {problem}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
@given(
    st.lists(st.sampled_from(['{"a": "x"}', '{"a": "y", "b": 1}', '{"a": null, "b": 2}']), min_size=1, max_size=2),
    st.lists(LINES, max_size=4),
    st.sampled_from([1, None]),
    st.sampled_from([None, ("a",), ("b", "a")]),
    st.sampled_from([None, 3]),
)
def test_what_is_found_is_what_a_reading_of_each_row_finds(
    tmp_path: Path,
    head: list[str],
    lines: list[str],
    look_rows: int | None,
    keep: tuple[str, ...] | None,
    limit: int | None,
) -> None:
    """Types, values, broken rows and late columns. Rows that are found by their numbers are read one by one."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*head, *lines]), encoding="utf-8")
    files, numbers = find_files([str(path)]), within(range(len(head) + len(lines)))
    quick = found(lambda: InputColumns(files, keep, limit, look_rows=look_rows))
    assert quick == found(lambda: InputColumns(files, keep, limit, look_rows=look_rows, numbers=numbers))


def test_rows_beyond_the_first_chunk_are_read_too(tmp_path: Path) -> None:
    """Lines that stand on the border of two reads are whole."""
    path = tmp_path / "a.jsonl"
    rows = [{"a": f"{number} " + "x" * 700, "b": number} for number in range(4_000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = InputColumns(find_files([str(path)]), look_rows=10)
    assert [row for batch in columns.batches() for row in batch.to_pylist()] == rows
