"""Writing results.parquet, from the first row to the footer."""

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.checkpoints import columns_of
from harness.priced import priced

from batchrun.records import Outcome, OutcomeColumns
from batchrun.results import writer
from batchrun.results.columns import COLUMNS, results_schema
from batchrun.results.table import Results
from batchrun.results.writer import USAGE_KEY, write_parquet, write_results

Make = Callable[..., Outcome]


class Table:
    """An input, in batches of three rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.schema = table.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches(max_chunksize=3)


INPUT = Table(pa.table({"text": [f"text {row}" for row in range(10)], "model": pa.array(range(10), pa.int16())}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.parquet"


def write(path: Path, *lists: list[Outcome], inputs: Table | None = INPUT, totals: Any = None) -> tuple[int, int]:
    """Write results; return the numbers of written and of dropped rows."""
    results = Results(map(columns_of, lists), inputs, priced())
    write_results(path, results, lambda: {USAGE_KEY: totals})
    return results.rows, results.dropped


def test_a_row_has_its_input_and_its_answer(path: Path, outcome: Make) -> None:
    """The file has the declared schema, including the columns of the input."""
    assert write(path, [outcome(row=row) for row in range(10)]) == (10, 0)
    table = pq.read_table(path)
    assert table.schema.equals(results_schema(INPUT.schema))
    assert table.schema.names[:5] == ["row", "custom_id", "text", "input_model", "model"]
    assert table["row"].to_pylist() == list(range(10))
    assert table["text"].to_pylist() == [f"text {row}" for row in range(10)]
    assert table["input_model"].to_pylist() == list(range(10))
    assert table["response"].to_pylist() == ["yes"] * 10


def test_rows_that_are_not_settled_are_absent(path: Path, outcome: Make) -> None:
    """The results of an unfinished run have only the settled rows, each with its input."""
    rows = [0, 1, 4, 9]
    assert write(path, [outcome(row=row) for row in rows]) == (4, 0)
    table = pq.read_table(path, columns=["row", "text"])
    assert table.to_pylist() == [{"row": row, "text": f"text {row}"} for row in rows]


def test_several_models_and_samples_repeat_their_input(path: Path, outcome: Make) -> None:
    """One output row per request, in the order of row, model and sample."""
    asked = [(row, model, sample) for row in (2, 3) for model in ("a", "b") for sample in (0, 1)]
    write(path, [outcome(row=row, model=model, sample=sample) for row, model, sample in asked])
    table = pq.read_table(path)
    columns = (table[name].to_pylist() for name in ("row", "model", "sample", "text"))
    assert list(zip(*columns, strict=True)) == [(*each, f"text {each[0]}") for each in asked]


def test_the_file_does_not_depend_on_the_size_of_the_batches(tmp_path: Path, outcome: Make) -> None:
    """The checkpoint may return its rows in batches of any size."""
    outcomes = [outcome(row=row) for row in range(10)]
    write(tmp_path / "one.parquet", outcomes)
    write(tmp_path / "many.parquet", outcomes[:1], outcomes[1:4], outcomes[4:])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "many.parquet").read_bytes()


def test_outcomes_after_the_end_of_the_input_are_dropped_and_counted(path: Path, outcome: Make) -> None:
    """If the input got shorter, the caller can report how many answers have no row."""
    assert write(path, [outcome(row=row) for row in (8, 9, 10, 11)], [outcome(row=12)]) == (2, 3)
    assert pq.read_table(path)["row"].to_pylist() == [8, 9]


def test_the_columns_of_the_input_can_be_left_out(path: Path, outcome: Make) -> None:
    """The answers can be exported without the input."""
    assert write(path, [outcome(row=7)], inputs=None) == (1, 0)
    assert pq.read_table(path).schema.names == [column.name for column in COLUMNS]


def test_an_input_without_columns_still_limits_the_rows(path: Path, outcome: Make) -> None:
    """`--keep` may select no column."""
    empty = Table(INPUT.table.select([]))
    empty.batches = lambda: iter([INPUT.table.to_batches()[0].select([])])  # type: ignore[method-assign]
    assert write(path, [outcome(row=9), outcome(row=10)], inputs=empty) == (1, 1)


@pytest.mark.parametrize("inputs", [INPUT, None])
def test_a_file_without_rows_is_valid(path: Path, inputs: Table | None) -> None:
    """If no row is settled, the file has the full schema and a footer."""
    assert write(path, inputs=inputs, totals=[]) == (0, 0)
    table = pq.read_table(path)
    assert table.num_rows == 0
    assert table.schema.names == results_schema(inputs and inputs.schema).names
    assert pq.read_metadata(path).metadata[USAGE_KEY.encode()] == b"[]"


def test_the_footer_has_the_totals_at_the_end_of_writing(path: Path, outcome: Make) -> None:
    """Totals are read after the last outcome, because the run may continue during an export."""
    read: list[int] = []

    def outcomes() -> Iterator[OutcomeColumns]:
        yield columns_of([outcome()])
        read.append(1)

    write_results(path, Results(outcomes(), INPUT, priced()), lambda: {USAGE_KEY: {"requests": len(read)}})
    assert USAGE_KEY == "batchrun.usage"
    assert orjson.loads(pq.read_metadata(path).metadata[b"batchrun.usage"]) == {"requests": 1}


def test_columns_of_the_input_have_a_dictionary_where_they_repeat(path: Path) -> None:
    """The first rows show it. Where all values differ, to build one takes as long as to write the column."""
    columns: dict[str, list[Any]] = {"same": ["a", "b"] * 500, "other": list(map(str, range(1000)))}
    columns |= {"two": [1, 2] * 500, "number": list(range(1000)), "yes": [True] * 1000, "none": [None] * 1000}
    batch = pa.record_batch(columns)
    write_parquet(path, batch.schema, [batch] * 2, plain=[])
    group = pq.read_metadata(path).row_group(0)
    found = {group.column(place).path_in_schema: group.column(place).encodings for place in range(6)}
    assert {name for name in found if "RLE_DICTIONARY" in found[name]} == {"same", "two", "none"}
    assert pq.read_table(path).to_batches()[0][:1000].to_pydict() == columns


def test_repeated_words_are_dictionary_encoded_and_read_as_strings(path: Path, outcome: Make) -> None:
    """A million copies of a model's name take almost no space."""
    write(path, [outcome(row=row) for row in range(10)])
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    for name in ("model", "status", "finish_reason", "error_kind"):
        assert "RLE_DICTIONARY" in columns[name].encodings
        assert pq.read_schema(path).field(name).type == pa.string()
    assert "RLE_DICTIONARY" not in columns["response"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_row_groups_are_bounded_in_rows(path: Path, outcome: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader does not need to load the whole file."""
    monkeypatch.setattr(writer, "_GROUP_ROWS", 4)
    write(path, *([outcome(row=row), outcome(row=row + 1)] for row in range(0, 10, 2)), inputs=None)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [4, 4, 2]


def test_row_groups_are_bounded_in_bytes(path: Path, outcome: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long answers end a row group early."""
    monkeypatch.setattr(writer, "_GROUP_BYTES", 3000)
    body = orjson.dumps({"choices": [{"message": {"content": "x" * 1000}}]})
    pairs = ([outcome(row=row, body=body), outcome(row=row + 1, body=body)] for row in range(0, 10, 2))
    write(path, *pairs, inputs=None)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [4, 4, 2]


def test_a_column_that_parquet_cannot_store_is_written_as_json(path: Path, outcome: Make) -> None:
    """A JSON Lines input with `"meta": {}` gets its results."""
    write(path, [outcome(row=1)], inputs=Table(pa.table({"meta": [{}, {}]})))
    assert pq.read_table(path)["meta"].to_pylist() == ["{}"]


def test_different_dictionaries_of_batches_are_joined(path: Path, outcome: Make) -> None:
    """Each batch of a categorical input column has its own dictionary."""
    batches = [pa.record_batch({"label": pa.array(words).dictionary_encode()}) for words in (["a", "b"], ["c", "a"])]
    inputs = Table(pa.table(batches[0]))
    inputs.batches = lambda: iter(batches)  # type: ignore[method-assign]
    write(path, [outcome(row=row) for row in range(4)], inputs=inputs)
    table = pq.read_table(path)
    assert table["label"].to_pylist() == ["a", "b", "c", "a"]
    assert table.schema.field("label").type == pa.dictionary(pa.int32(), pa.string())


def vectors_of(numbers: Iterable[float], rows: int = 100) -> pa.Array:
    values = pa.array(numbers, pa.float32())
    return pa.FixedSizeListArray.from_arrays(values, len(values) // rows)


CHANCE = random.Random(1)
FULL = vectors_of(CHANCE.gauss(0, 0.05) for _ in range(40_000))
HALF = vectors_of(CHANCE.randrange(1 << 12) / (1 << 12) for _ in range(40_000))
"""Numbers as those of a model, and numbers of 12 bits."""


@pytest.mark.parametrize(("vectors", "compression"), [(FULL, "UNCOMPRESSED"), (HALF, "ZSTD")])
def test_vectors_are_compressed_where_that_makes_them_smaller(
    tmp_path: Path, vectors: pa.Array, compression: str
) -> None:
    """By the first rows, also where these are not the beginning of an array; all else is compressed anyway."""
    pairs = pa.array([[{"a": 1, "b": "x"}]] * 100)
    batch = pa.record_batch({"row": range(100), "embedding": vectors, "pairs": pairs})
    write_parquet(tmp_path / "t.parquet", batch.schema, [batch[10:90], batch[90:]], plain=["row"])
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.equals(pa.Table.from_batches([batch[10:]]))
    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    chunks = [group.column(place) for place in range(group.num_columns)]
    found = {each.path_in_schema: each.compression for each in chunks}
    assert found.pop("embedding.list.element") == compression
    assert {*found.values()} == {"ZSTD"}
    assert len(found) == 3


@pytest.mark.parametrize("rows", [0, 3])
def test_a_table_without_vectors_to_look_at_is_written(tmp_path: Path, rows: int) -> None:
    """Without rows, or where no row has one."""
    kind = pa.list_(pa.float32(), 4)
    batches = [pa.record_batch({"embedding": pa.nulls(rows, kind)})] if rows else []
    write_parquet(tmp_path / "t.parquet", pa.schema({"embedding": kind}), batches, plain=[])
    assert pq.read_table(tmp_path / "t.parquet").num_rows == rows
