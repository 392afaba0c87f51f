import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns, LateSchema
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.sample import within


def table(*paths: str, keep: tuple[str, ...] | None = None, limit: int | None = None) -> pa.Table:
    columns = InputColumns(find_files(paths), keep, limit)
    return pa.Table.from_batches(columns.batches(), columns.schema)


def parquet(path: Path, content: pa.Table) -> str:
    pq.write_table(content, path)
    return str(path)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["a", None], pa.string()),
        ([None, None], pa.string()),
        ([[], ["a"]], pa.list_(pa.string())),
        ([[], []], pa.list_(pa.string())),
        ([{"a": 1}, {"b": ["x"]}], pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])),
        ([{"a": None}], pa.struct([("a", pa.string())])),
    ],
)
def test_json_columns_have_the_type_of_their_values(
    tmp_path: Path, write, values: list[Any], kind: pa.DataType
) -> None:
    """Nested columns too; a column that is always null is text; and Parquet can hold the type."""
    found = table(write("a.jsonl", [{"x": value} for value in values]))
    assert found.schema == pa.schema([("x", kind)])
    pq.write_table(found, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(found)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["a", 1, None, {"b": [True]}], ["a", "1", None, '{"b":[true]}']),
        ([True, 1], ["true", "1"]),
        ([2**63, 1], ["9223372036854775808", "1"]),
        ([1.5, 2**53 + 1], ["1.5", "9007199254740993"]),
        ([2**60, 3, 0.25], ["1152921504606846976", "3", "0.25"]),
        ([{"a": [-(2**53) - 1]}, {"a": [0.5]}], ['{"a":[-9007199254740993]}', '{"a":[0.5]}']),
        ([{"a": 1}, {"a": "x"}], ['{"a":1}', '{"a":"x"}']),
        ([{}, None], ["{}", None]),
        ([[{}]], ["[{}]"]),
        (
            [{f"k{number}": 1 for number in range(300)}],
            [json.dumps({f"k{n}": 1 for n in range(300)}, separators=(",", ":"))],
        ),
        ([json.loads("[" * 40 + "]" * 40)], ["[" * 40 + "]" * 40]),
    ],
)
@pytest.mark.parametrize("distance", [0, 3000])
def test_a_column_of_several_types_becomes_text(
    write, values: list[Any], texts: list[str | None], distance: int
) -> None:
    """Strings unchanged, everything else as JSON; also when the second type first occurs thousands of rows later."""
    rows = [{"x": value} for value in values]
    found = table(write("a.jsonl", [rows[0], *[{"x": None}] * distance, *rows[1:]]))
    assert found.schema == pa.schema([("x", pa.string())])
    assert found["x"].to_pylist() == [texts[0], *[None] * distance, *texts[1:]]


def test_a_type_that_first_occurs_late_applies_from_the_first_row(write) -> None:
    """A new column, a fraction, a new key: the schema is fixed before the first batch."""
    late = {"a": 0.5, "b": {"y": "z"}, "c": "new"}
    found = table(write("a.jsonl", [*[{"a": 2**53, "b": {"x": 1}}] * 3000, late]))
    kind = pa.struct([("x", pa.int64()), ("y", pa.string())])
    assert found.schema == pa.schema([("a", pa.float64()), ("b", kind), ("c", pa.string())])
    assert found.slice(2999).to_pylist() == [
        {"a": float(2**53), "b": {"x": 1, "y": None}, "c": None},
        {"a": 0.5, "b": {"x": None, "y": "z"}, "c": "new"},
    ]


def test_whole_numbers_deep_inside_become_fractions_where_others_are(write) -> None:
    """The type that holds both; where fractions could not hold every digit the column is text."""
    rows = [{"a": [{"b": 2**53}]}, *[{}] * 3000, {"a": [{"b": 0.5}]}]
    assert table(write("a.jsonl", rows))["a"][0].as_py() == [{"b": float(2**53)}]


def test_long_whole_numbers_that_first_occur_late_need_no_other_schema(write) -> None:
    """Only a fraction next to them does."""
    files = find_files([write("a.jsonl", [{"a": 1}] * 3000 + [{"a": 2**60}])])
    columns = InputColumns(files, look_rows=10)
    assert pa.Table.from_batches(columns.batches(), columns.schema)["a"][3000].as_py() == 2**60
    files = find_files([write("b.jsonl", [{"a": 0.5}] * 3000 + [{"a": 2**60}])])
    with pytest.raises(LateSchema):
        list(InputColumns(files, look_rows=10).batches())


@pytest.mark.parametrize("statistics", [True, False])
def test_whole_numbers_of_parquet_keep_their_digits_next_to_fractions_of_another_file(
    tmp_path: Path, statistics: bool
) -> None:
    """Small ones become fractions where the file states that they are small."""
    pq.write_table(pa.table({"x": [2**60 + 1], "y": [[3]]}), tmp_path / "1.parquet", write_statistics=statistics)
    two = parquet(tmp_path / "2.parquet", pa.table({"x": [1.5], "y": [[0.5]]}))
    found = table(str(tmp_path / "1.parquet"), two)
    assert found["x"].to_pylist() == ["1152921504606846977", "1.5"]
    assert found["y"].to_pylist() == ([[3.0], [0.5]] if statistics else ["[3]", "[0.5]"])
    alone = table(str(tmp_path / "1.parquet"))
    assert alone.schema == pa.schema([("x", pa.int64()), ("y", pa.list_(pa.field("element", pa.int64())))])


def test_broken_rows_are_null_and_keep_the_count(write) -> None:
    """One Arrow row per input row, numbered as the requests are."""
    path = write("a.jsonl", b'{"a": 1}\n\nno json\n[1]\n{"a": 2}\n')
    assert table(path)["a"].to_pylist() == [1, None, None, 2]
    path = write("a.csv", b"a,b\n1,2\n3\n\n5,6\n")
    assert table(path).to_pylist() == [{"a": "1", "b": "2"}, {"a": None, "b": None}, {"a": "5", "b": "6"}]


def test_rows_without_columns_are_counted(write) -> None:
    """The count is right even when no column is kept."""
    columns = InputColumns(find_files([write("a.jsonl", [{}] * 5)]))
    assert columns.schema == pa.schema([])
    assert [batch.num_rows for batch in columns.batches()] == [5]


def test_parquet_keeps_its_types_exactly(tmp_path: Path) -> None:
    """Small integers, times with their zones, dictionaries, decimals, maps, large strings, wide structs."""
    content = pa.table(
        {
            "int8": pa.array([1, None], pa.int8()),
            "at": pa.array([1, 2], pa.timestamp("ns", "Europe/Berlin")),
            "word": pa.array(["a", "b"]).dictionary_encode(),
            "money": pa.array([datetime.date(2026, 1, 1), None], pa.date32()),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "large": pa.array(["x", "y"], pa.large_string()),
            "wide": pa.array([{f"k{number}": number for number in range(300)}] * 2),
            "half": pa.array([0.5, 1.5], pa.float32()),
            "raw": pa.array([b"\xff", b""], pa.binary()),
            "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
            "must": pa.array([{"a": 1}, {"a": 2}], pa.struct([pa.field("a", pa.int64(), nullable=False)])),
        }
    )
    found = table(parquet(tmp_path / "a.parquet", content))
    assert found.schema == content.schema
    assert found.equals(content)


def test_files_with_different_schemas_are_unified(tmp_path: Path) -> None:
    """The wider type where there is one, text where there is none, null where a column is missing."""
    one = parquet(
        tmp_path / "1.parquet",
        pa.table(
            {
                "n": pa.array([1], pa.int32()),
                "x": [1.5],
                "mix": [7],
                "only": ["a"],
                "big": pa.array([2**63], pa.uint64()),
            }
        ),
    )
    two = parquet(
        tmp_path / "2.parquet",
        pa.table({"n": [2**40], "x": [2**53], "mix": ["seven"], "deep": [[1]], "big": [-1]}),
    )
    three = parquet(tmp_path / "3.parquet", pa.table({"mix": [[{"a": 1}]], "deep": [["x"]]}))
    found = table(one, two, three)
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("n", "int64"),
        ("x", "double"),
        ("mix", "string"),
        ("only", "string"),
        ("big", "string"),
        ("deep", "string"),
    ]
    assert found.to_pylist() == [
        {"n": 1, "x": 1.5, "mix": "7", "only": "a", "big": "9223372036854775808", "deep": None},
        {"n": 2**40, "x": float(2**53), "mix": "seven", "only": None, "big": "-1", "deep": "[1]"},
        {"n": None, "x": None, "mix": '[{"a":1}]', "only": None, "big": None, "deep": '["x"]'},
    ]


def test_formats_mix(tmp_path: Path, write) -> None:
    """Columns of one name are one column."""
    path = parquet(tmp_path / "a.parquet", pa.table({"a": [1]}))
    assert table(path, write("b.jsonl", [{"a": 2}]), write("c.csv", "a\n3\n"))["a"].to_pylist() == ["1", "2", "3"]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_only_the_kept_columns_are_there_in_their_order(tmp_path: Path, write, ending: str) -> None:
    """A column that no row has is an error that names the nearest column."""
    if ending == "parquet":
        path = parquet(tmp_path / "a.parquet", pa.table({"a": ["1"], "b": ["2"], "review": ["3"]}))
    elif ending == "csv":
        path = write("a.csv", "a,b,review\n1,2,3\n")
    else:
        path = write("a.jsonl", [{"a": "1", "b": "2", "review": "3"}])
    assert table(path, keep=("review", "a")).to_pylist() == [{"review": "3", "a": "1"}]
    with pytest.raises(InputError, match=r"output\.keep = reveiw: .*; did you mean review\?"):
        table(path, keep=("reveiw",))


@pytest.mark.parametrize("limit", [1, 1024, 1500, 2500, 3000, 3500, 9999])
def test_the_limit_is_that_of_the_reader(tmp_path: Path, write, limit: int) -> None:
    """Same rows and numbers in every format; rows after the limit are not read."""
    rows = [{"a": number} for number in range(1500)]
    paths = [
        parquet(tmp_path / "a.parquet", pa.Table.from_pylist(rows)),
        write("b.csv", "a\n" + "".join(f"{row['a']}\n" for row in rows)),
        write("c.jsonl", [*rows[:400], {"late": 1}]),
    ]
    read = [row.columns for batch in RowReader(find_files(paths), limit=limit) for row in batch]
    found = table(*paths, limit=limit)
    assert [None if row is None or "a" not in row else str(row["a"]) for row in read] == [
        None if value is None else str(value) for value in found["a"].to_pylist()
    ]
    assert ("late" in found.column_names) == (limit > 3400)


def test_objects_with_thousands_of_different_keys_become_text(write) -> None:
    """Thousands of keys, each in one row, are data, not fields of a struct."""
    rows = [{"a": {f"key{number}": 1}} for number in range(3000)]
    found = table(write("a.jsonl", rows))
    assert found.schema == pa.schema([("a", pa.string())])
    assert found["a"][2999].as_py() == '{"key2999":1}'


def test_a_file_that_changed_meanwhile_is_an_error(write) -> None:
    """The schema is already fixed; a value that does not fit is reported and does not crash."""
    columns = InputColumns(find_files([write("a.jsonl", [{"a": 1}])]))
    write("a.jsonl", [{"a": "x"}])
    with pytest.raises(InputError, match=r"a\.jsonl: does not fit"):
        list(columns.batches())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.lists(st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3), min_size=1, max_size=5))
def test_any_json_becomes_columns_that_parquet_holds(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """No value crashes, every row is there, and Parquet returns what was written."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = table(str(path))
    assert found.num_rows == len(rows)
    if found.num_columns:
        pq.write_table(found, tmp_path / "out.parquet")
        assert pq.read_table(tmp_path / "out.parquet").num_rows == len(rows)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_rows_that_are_not_needed_need_not_be_read(tmp_path: Path, kind: str) -> None:
    """Those that are needed keep their place, over all files."""
    line, head = ('{{"n": "{}"}}\n', "") if kind == "jsonl" else ("{}\n", "n\n")
    paths = [tmp_path / f"{part}.{kind}" for part in "ab"]
    for start, path in zip((0, 3_000), paths, strict=True):
        path.write_text(head + "".join(line.format(row) for row in range(start, start + 3_000)))
    needed = [0, 2_999, 3_000, 4_500, 5_999]
    columns = InputColumns(find_files([str(path) for path in paths]), numbers=within(needed))
    values = [value for batch in columns.batches() for value in batch.column("n").to_pylist()]
    assert len(values) == 6_000
    assert [values[row] for row in needed] == [str(row) for row in needed]
    assert (kind == "jsonl") is (values.count(None) > 3_000)
