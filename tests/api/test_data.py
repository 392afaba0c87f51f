"""What may be passed as data, and what is refused."""

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from harness.later import Later

from batchrun.api.data import missing_data, paths_of
from batchrun.errors import InputError

datasets = Later("datasets")
duckdb = Later("duckdb")


DAY = dt.date(2020, 1, 1)
NOON = dt.datetime(2020, 1, 1, 12)
COLUMNS = {"text": ["a", "b"], "n": [1, 2]}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Return what is kept of data, as a table or as the text of the file."""

    def read(data: Any) -> Any:
        [path] = paths_of(data, tmp_path / "run")
        return pq.read_table(path) if path.endswith(".parquet") else Path(path).read_text(encoding="utf-8")

    return read


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: pd.DataFrame(COLUMNS), id="pandas DataFrame"),
        pytest.param(lambda: pl.DataFrame(COLUMNS), id="polars DataFrame"),
        pytest.param(lambda: pl.LazyFrame(COLUMNS), id="polars LazyFrame"),
        pytest.param(lambda: pa.table(COLUMNS), id="pyarrow Table"),
        pytest.param(lambda: pa.table(COLUMNS).to_reader(), id="pyarrow RecordBatchReader"),
        pytest.param(lambda: pa.table(COLUMNS).to_batches()[0], id="pyarrow RecordBatch"),
        pytest.param(lambda: pads.dataset(pa.table(COLUMNS)), id="pyarrow InMemoryDataset"),
        pytest.param(lambda: datasets.Dataset.from_dict(COLUMNS), id="datasets Dataset"),
        pytest.param(lambda: datasets.Dataset.from_dict(COLUMNS).to_iterable_dataset(), id="datasets IterableDataset"),
        pytest.param(
            lambda: datasets.Dataset.from_dict({"text": ["b", "c", "a"], "n": [2, 3, 1]}).select([2, 0]),
            id="datasets Dataset, some of it",
        ),
    ],
)
def test_a_table_of_any_library_is_kept_as_parquet(make: Callable[[], Any], read: Any) -> None:
    assert read(make()).to_pydict() == COLUMNS


def test_a_relation_of_duckdb_is_kept_as_parquet(read: Any) -> None:
    assert read(duckdb.sql("select * from (values ('a', 1), ('b', 2)) as t(text, n)")).to_pydict() == COLUMNS


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (["a", "b"], '{"prompt":"a"}\n{"prompt":"b"}\n'),
        (iter(["a", "b"]), '{"prompt":"a"}\n{"prompt":"b"}\n'),
        ([{"text": "a"}, {"n": 2}], '{"text":"a"}\n{"n":2}\n'),
        (({"n": number} for number in range(2)), '{"n":0}\n{"n":1}\n'),
    ],
)
def test_dicts_and_strings_are_kept_as_json_lines(data: Any, lines: str, read: Any) -> None:
    assert read(data) == lines


def test_dicts_with_values_that_json_lacks_keep_their_types(read: Any) -> None:
    """Bytes and dates, for example. A key that a row lacks is null."""
    rows = [{"image": b"\x89PNG", "day": dt.date(2020, 1, 1)}, {"image": b"GIF8", "late": 1}]
    table = read(rows)
    assert table.schema.types == [pa.binary(), pa.date32(), pa.int64()]
    assert table.to_pylist()[1] == {"image": b"GIF8", "day": None, "late": 1}


@pytest.mark.parametrize("library", [pd, pl])
def test_a_series_is_a_table_of_one_column(library: Any, read: Any) -> None:
    """Without a name it is a column of prompts, like a list of strings."""
    values = {"data" if library is pd else "values": ["a"]}
    assert read(library.Series(name="text", **values)).to_pydict() == {"text": ["a"]}
    assert read(library.Series(**values)).to_pydict() == {"prompt": ["a"]}


def test_the_index_of_pandas_is_kept_unless_it_numbers_the_rows(read: Any) -> None:
    frame = pd.DataFrame(COLUMNS)
    assert read(frame).column_names == ["text", "n"]
    assert read(frame[frame.n > 1])["__index_level_0__"].to_pylist() == [1]
    assert read(frame.iloc[1:])["__index_level_0__"].to_pylist() == [1]
    assert read(frame.set_index("text"))["text"].to_pylist() == ["a", "b"]


def test_paths_stay_paths(tmp_path: Path) -> None:
    """Nothing is written."""
    assert paths_of("rows.csv", tmp_path) == ("rows.csv",)
    assert paths_of(Path("rows.csv"), tmp_path) == ("rows.csv",)
    assert paths_of([Path("a.csv"), Path("b.csv")], tmp_path) == ("a.csv", "b.csv")
    assert list(tmp_path.iterdir()) == []


def broken() -> Iterator[Any]:
    yield {"a": b"x"}
    yield "text"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "of type int; pass a path, a data frame, or a list of dicts or strings"),
        ({"text": ["a"]}, "of type dict; pass a list of dicts, one for each row, or a data frame"),
        ([], "has no rows"),
        (["a", 5], "row 1 is of type int; the first row is a string"),
        (broken(), "row 1 is of type str; the first row is a dict"),
        ([{"a": b"x"}, {"a": 5}], 'the column "a" cannot be kept'),
        ("Label this:\n{{ text }}", r"for a single prompt pass a list: \[prompt\]"),
        ([__file__], "for files pass Path objects"),
        ([{"at": DAY}, {"at": NOON}], 'the column "at" cannot be kept: some values are dates, and some have a time'),
        (b"text", "of type bytes; pass a path, a data frame"),
        ([{"a": 1, "m": 2**70}], "row 0 cannot be kept as JSON"),
        (iter([{"day": None}, {"day": DAY}]), "row 1 cannot be kept as JSON: .* pass a list or a data frame"),
    ],
)
def test_other_data_is_refused_with_what_to_pass(data: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        paths_of(data, tmp_path)


def test_splits_are_refused_with_how_to_pass_one(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"test": datasets.Dataset.from_dict(COLUMNS)})
    with pytest.raises(InputError, match=r'pass one of its splits: data\["test"\]'):
        paths_of(splits, tmp_path)


@pytest.mark.parametrize("text", ["What is a hash map?", "Write a poem."])
def test_a_prompt_is_not_looked_for_as_a_file(text: str, read: Any) -> None:
    """A path with a space is."""
    with pytest.raises(InputError, match=r"is not a path; for a single prompt pass a list: \[prompt\]"):
        read(text)
    assert paths_of("my data/a b.csv", Path("run")) == ("my data/a b.csv",)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"ok": [1, 2], "odd": ["a", 1]}),
        pd.DataFrame({"ok": [1], "odd": [2**70]}),
        pd.DataFrame({"ok": [1], "odd": [1 + 2j]}),
        pd.DataFrame({"ok": [1], "odd": pd.arrays.SparseArray([1])}),
        pd.DataFrame({"ok": [1, 2], "odd": [DAY, NOON]}),
        pl.DataFrame({"ok": [1], "odd": pl.Series([1], dtype=pl.Int128)}),
    ],
    ids=["several types", "too large", "complex", "sparse", "dates and times", "128 bits"],
)
def test_a_column_that_arrow_lacks_is_named_with_a_cure_that_works(frame: Any, read: Any) -> None:
    with pytest.raises(
        InputError, match=r'the column "odd" of the .* data cannot be kept: .*; convert it: frame'
    ) as found:
        read(frame)
    place = {"frame": frame, "polars": pl}
    exec(str(found.value).partition("; convert it: ")[2], place)
    assert read(place["frame"]).column_names == ["ok", "odd"]


def test_a_column_of_objects_is_refused(read: Any) -> None:
    """Arrow would get the addresses of the objects."""
    with pytest.raises(InputError, match='the column "odd" of the polars data holds Python objects'):
        read(pl.DataFrame({"odd": [object()]}))


@pytest.mark.parametrize(
    ("late", "kind"), [(DAY, pa.date32()), (b"\xff", pa.binary()), (Decimal("1.50"), pa.decimal128(3, 2))]
)
def test_a_type_that_only_a_later_row_shows_is_kept(late: Any, kind: pa.DataType, read: Any) -> None:
    """In a list. A null of pandas is a null."""
    rows = [{"text": "a", "odd": None}, {"text": float("nan"), "odd": late}, {"text": "b", "odd": pd.NaT}]
    table = read(rows)
    assert table.schema.types == [pa.string(), kind]
    assert table.to_pydict() == {"text": ["a", None, "b"], "odd": [None, late, None]}


def test_missing_data_is_asked_for_as_the_first_argument() -> None:
    """As a run, where `[input]` of the call names one."""
    assert missing_data({"run": "runs/a"}).endswith('pass it as the first argument: batchrun.answer("runs/a", …)')
    assert missing_data(None).endswith("batchrun.answer(frame, …)")
