"""Parquet files that are empty, damaged or full of odd types: each row is asked, is broken, or the file is refused."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.input_files import kept, parquet

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader


def test_parquet_rows_of_very_different_size_come_in_small_batches(tmp_path: Path) -> None:
    """The mean size proves little: all large rows may be in one place."""
    texts = ["x"] * 20_000 + ["y" * 1_000_000 + str(number) for number in range(60)]
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": texts}), use_dictionary=False)
    sizes = [sum(len(row.columns["prompt"]) for row in rows) for rows in RowReader(find_files([str(path)]))]
    assert max(sizes) < 9_000_000
    assert sum(sizes) == sum(map(len, texts))


def test_parquet_without_rows_or_without_columns_is_refused(asked, tmp_path: Path) -> None:
    """It holds no rows; next to files with rows it is skipped."""
    parquet(tmp_path / "a.parquet", pa.table({"prompt": pa.array([], pa.string())}))
    parquet(tmp_path / "b.parquet", pa.table({}))
    for name in ("a.parquet", "b.parquet"):
        with pytest.raises(InputError, match="holds no rows"):
            asked(tmp_path / name)
    parquet(tmp_path / "c.parquet", pa.table({"prompt": ["c"]}))
    assert asked(tmp_path) == ["c"]
    assert kept(tmp_path) == [{"prompt": "c"}]


def test_row_groups_without_rows_shift_no_row(asked, tmp_path: Path) -> None:
    """Empty groups before, between and after the others."""
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("prompt", pa.string())])) as file:
        for texts in ([], ["a"], [], [], ["b", "c"], []):
            file.write_table(pa.table({"prompt": pa.array(texts, pa.string())}))
    assert asked(path) == ["a", "b", "c"]
    assert kept(path) == [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]


def test_a_damaged_parquet_file_is_refused_wherever_it_is_damaged(asked, tmp_path: Path) -> None:
    """Or it is read to the end, when the damage changes nothing; each row keeps its own columns."""
    path = Path(
        parquet(tmp_path / "a.parquet", pa.table({"prompt": [f"p{n}" for n in range(500)]}), row_group_size=100)
    )
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
    with pytest.raises(InputError, match="is incomplete"):
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
    "binary": (pa.array([b"\xff", None]), "not UTF-8"),
    "text without its mark": (pa.array(["é".encode(), None]), "é"),
    "text without its mark, deep": (pa.array([[{"a": b"x"}], None]), "[{'a': 'x'}]"),
    "text without its mark, in a map": (
        pa.array([[("k", b"x")], None], pa.map_(pa.string(), pa.binary())),
        "[('k', 'x')]",
    ),
    "fixed text": (pa.array([b"ab", None], pa.binary(2)), "ab"),
    "coded text": (pa.array([b"ab", None]).dictionary_encode(), "ab"),
    "nanoseconds in a map": (
        pa.array([[("k", 1_000_000_001)], None], pa.map_(pa.string(), pa.timestamp("ns"))),
        str([("k", datetime.datetime(1970, 1, 1, 0, 0, 1))]),
    ),
    "nanoseconds in a fixed list": (
        pa.array([[1_000_000_001], None], pa.list_(pa.timestamp("ns"), 1)),
        str([datetime.datetime(1970, 1, 1, 0, 0, 1)]),
    ),
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
    """Null renders as an empty text; a column that is not used breaks no row."""
    column, expected = COLUMNS[name]
    path = parquet(tmp_path / "a.parquet", pa.table({"prompt": ["a", "b"], "v": column}))
    assert asked(path) == ["a", "b"]
    first, second = asked(path, "{{ v }}")
    assert expected in first
    assert second == ""
    assert first == expected or "a.parquet: row 0: " in first


@pytest.mark.parametrize("name", list(COLUMNS))
def test_every_type_of_parquet_goes_into_the_results_alone_and_next_to_texts(
    asked, tmp_path: Path, write, name: str
) -> None:
    """The type of Parquet when alone, text when a JSON file has a text there; null only if unreadable."""
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
    """Arrow also reads `a.b` as the path to a field of a struct."""
    table = pa.table({"a": [{"b": 1}], "a.b": [5], "": [7], "prompt": ["x"]})
    path = parquet(tmp_path / "a.parquet", table)
    assert asked(path, '{{ a }} {{ row["a.b"] }} {{ row[""] }}') == ["{'b': 1} 5 7"]
    assert kept(path) == [{"a": {"b": 1}, "a.b": 5, "": 7, "prompt": "x"}]
