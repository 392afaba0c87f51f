"""results.parquet, from the first row to the footer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.checkpoints import columns_of

from batchrun.records import Outcome, OutcomeColumns
from batchrun.results import writer
from batchrun.results.columns import COLUMNS, results_schema
from batchrun.results.table import Results
from batchrun.results.writer import USAGE_KEY, write_results

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
    """Write results; return how many rows there are, and how many were dropped."""
    results = Results(map(columns_of, lists), inputs, {})
    write_results(path, results, lambda: {USAGE_KEY: totals})
    return results.rows, results.dropped


def test_a_row_has_its_input_and_its_answer(path: Path, outcome: Make) -> None:
    """The file reads with the declared schema, the input's columns in their place."""
    assert write(path, [outcome(row=row) for row in range(10)]) == (10, 0)
    table = pq.read_table(path)
    assert table.schema.equals(results_schema(INPUT.schema))
    assert table.schema.names[:5] == ["row", "custom_id", "text", "input_model", "model"]
    assert table["row"].to_pylist() == list(range(10))
    assert table["text"].to_pylist() == [f"text {row}" for row in range(10)]
    assert table["input_model"].to_pylist() == list(range(10))
    assert table["response"].to_pylist() == ["yes"] * 10


def test_rows_that_are_not_settled_are_absent(path: Path, outcome: Make) -> None:
    """Of an unfinished run the settled rows are written, each beside its own input."""
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


def test_lists_of_any_size_make_the_same_file(tmp_path: Path, outcome: Make) -> None:
    """The store's way of reading does not show."""
    outcomes = [outcome(row=row) for row in range(10)]
    write(tmp_path / "one.parquet", outcomes)
    write(tmp_path / "many.parquet", outcomes[:1], outcomes[1:4], outcomes[4:])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "many.parquet").read_bytes()


def test_outcomes_beyond_the_inputs_end_are_dropped_and_counted(path: Path, outcome: Make) -> None:
    """A shortened input has only the rows that it has; the caller can say how many answers are left over."""
    assert write(path, [outcome(row=row) for row in (8, 9, 10, 11)], [outcome(row=12)]) == (2, 3)
    assert pq.read_table(path)["row"].to_pylist() == [8, 9]


def test_the_inputs_columns_can_be_left_out(path: Path, outcome: Make) -> None:
    """Without the input the answers are exported all the same."""
    assert write(path, [outcome(row=7)], inputs=None) == (1, 0)
    assert pq.read_table(path).schema.names == [column.name for column in COLUMNS]


def test_an_input_that_keeps_no_columns_still_bounds_the_rows(path: Path, outcome: Make) -> None:
    """`--keep` may name nothing."""
    empty = Table(INPUT.table.select([]))
    empty.batches = lambda: iter([INPUT.table.to_batches()[0].select([])])  # type: ignore[method-assign]
    assert write(path, [outcome(row=9), outcome(row=10)], inputs=empty) == (1, 1)


@pytest.mark.parametrize("inputs", [INPUT, None])
def test_no_rows_make_a_valid_file(path: Path, inputs: Table | None) -> None:
    """A run that settled nothing has the full schema, and a footer."""
    assert write(path, inputs=inputs, totals=[]) == (0, 0)
    table = pq.read_table(path)
    assert table.num_rows == 0
    assert table.schema.names == results_schema(inputs and inputs.schema).names
    assert pq.read_metadata(path).metadata[USAGE_KEY.encode()] == b"[]"


def test_the_footer_holds_the_totals_as_they_stand_at_the_end(path: Path, outcome: Make) -> None:
    """Totals are asked for after the last outcome, for a run may go on meanwhile."""
    told: list[int] = []

    def outcomes() -> Iterator[OutcomeColumns]:
        yield columns_of([outcome()])
        told.append(1)

    write_results(path, Results(outcomes(), INPUT, {}), lambda: {USAGE_KEY: {"requests": len(told)}})
    assert USAGE_KEY == "batchrun.usage"
    assert orjson.loads(pq.read_metadata(path).metadata[b"batchrun.usage"]) == {"requests": 1}


def test_words_that_repeat_are_dictionaries_in_the_file_and_strings_to_the_reader(path: Path, outcome: Make) -> None:
    """A million times the same model's name costs nothing."""
    write(path, [outcome(row=row) for row in range(10)])
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    for name in ("model", "status", "finish_reason", "error_kind"):
        assert "RLE_DICTIONARY" in columns[name].encodings
        assert pq.read_schema(path).field(name).type == pa.string()
    assert "RLE_DICTIONARY" not in columns["response"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_row_groups_are_bounded_in_rows(path: Path, outcome: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader need not hold the whole file."""
    monkeypatch.setattr(writer, "_GROUP_ROWS", 4)
    write(path, *([outcome(row=row), outcome(row=row + 1)] for row in range(0, 10, 2)), inputs=None)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [4, 4, 2]


def test_row_groups_are_bounded_in_bytes(path: Path, outcome: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long answers close a row group early."""
    monkeypatch.setattr(writer, "_GROUP_BYTES", 3000)
    body = orjson.dumps({"choices": [{"message": {"content": "x" * 1000}}]})
    pairs = ([outcome(row=row, body=body), outcome(row=row + 1, body=body)] for row in range(0, 10, 2))
    write(path, *pairs, inputs=None)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [4, 4, 2]


def test_a_column_that_parquet_cannot_hold_is_written_as_json(path: Path, outcome: Make) -> None:
    """An input of JSON lines with `"meta": {}` gets its results."""
    write(path, [outcome(row=1)], inputs=Table(pa.table({"meta": [{}, {}]})))
    assert pq.read_table(path)["meta"].to_pylist() == ["{}"]


def test_dictionaries_that_differ_from_batch_to_batch_are_joined(path: Path, outcome: Make) -> None:
    """Categories of an input come in batches, each with its own."""
    batches = [pa.record_batch({"label": pa.array(words).dictionary_encode()}) for words in (["a", "b"], ["c", "a"])]
    inputs = Table(pa.table(batches[0]))
    inputs.batches = lambda: iter(batches)  # type: ignore[method-assign]
    write(path, [outcome(row=row) for row in range(4)], inputs=inputs)
    table = pq.read_table(path)
    assert table["label"].to_pylist() == ["a", "b", "c", "a"]
    assert table.schema.field("label").type == pa.dictionary(pa.int32(), pa.string())
