"""The schema of the results, and its values for an outcome."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from harness.checkpoints import columns_of
from harness.priced import priced

from batchrun.job.sections import Price
from batchrun.records import Outcome, Usage
from batchrun.results.arrays import outcome_arrays
from batchrun.results.columns import COLUMNS, LostAnswer, input_names, results_schema, shown_columns

DESIGN = """
row                int64
custom_id          string
model              string
sample             int32
status             string
response           string
reasoning          string
tool_calls         string
refusal            string
invalid_response   string
finish_reason      string
prompt_tokens      int64
completion_tokens  int64
total_tokens       int64
cached_tokens      int64
reasoning_tokens   int64
cost_usd           double
latency_s          double
attempts           int32
finished_at        timestamp[ms, tz=UTC]
error_kind         string
error              string
http_status        int32
endpoint           string
answered_by        string
reused_from        string
response_id        string
"""
"""The public columns, with the names that Arrow gives to their types."""

COLUMN_NAMES = [column.name for column in COLUMNS]

Make = Callable[..., Outcome]


def shown(*outcomes: Outcome, prices: Any = None) -> list[dict[str, Any]]:
    arrays = outcome_arrays(columns_of(outcomes), priced(**prices or {}))
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(arrays, COLUMN_NAMES).to_pylist()
    return rows


def test_the_columns_are_the_public_ones() -> None:
    """Names, types and order are public."""
    columns = [(column.name, str(column.type)) for column in COLUMNS]
    assert columns == [tuple(line.split(maxsplit=1)) for line in DESIGN.strip().splitlines()]
    assert [(field.name, str(field.type)) for field in results_schema(None)] == columns


def test_every_column_has_a_line_of_documentation() -> None:
    """The tables in docs/reference.md are generated from these lines."""
    assert all(column.doc and "\n" not in column.doc for column in COLUMNS)


def test_the_columns_of_the_input_come_after_the_id_with_their_types() -> None:
    """Types are kept; the metadata of the input file is not."""
    struct = pa.struct([("a", pa.list_(pa.int8()))])
    fields = [
        pa.field("text", pa.large_string(), nullable=False, metadata={"PARQUET:field_id": "1"}),
        pa.field("meta", struct),
    ]
    schema = results_schema(pa.schema(fields, metadata={"pandas": "{}"}))
    assert schema.names[:5] == ["row", "custom_id", "text", "meta", "model"]
    assert schema.field("text") == pa.field("text", pa.large_string())
    assert schema.field("text").metadata is None
    assert schema.field("meta").type == struct
    assert schema.metadata is None


def test_a_column_that_parquet_cannot_store_becomes_text() -> None:
    """Parquet has no type for the JSON value `{}`; the row must still get its answer."""
    assert results_schema(pa.schema([("meta", pa.struct([]))])).field("meta").type == pa.string()


@pytest.mark.parametrize(
    ("names", "renamed"),
    [
        (["text"], ["text"]),
        (["model", "row"], ["input_model", "input_row"]),
        (["model", "input_model"], ["input_input_model", "input_model"]),
        (["input_model", "model"], ["input_model", "input_input_model"]),
        (
            ["input_input_model", "input_model", "model"],
            ["input_input_model", "input_model", "input_input_input_model"],
        ),
        (["a", "a", "a"], ["a", "input_a", "input_input_a"]),
        (["Model"], ["Model"]),
        ([], []),
    ],
)
def test_a_clashing_name_is_prefixed_until_it_is_unique(names: list[str], renamed: list[str]) -> None:
    """No column of the input is lost, and none replaces a column of the results."""
    assert input_names(names, [column.name for column in COLUMNS]) == renamed


def test_a_completed_outcome_fills_every_column(outcome: Make) -> None:
    """The row has the values of the checkpoint and those of the raw answer."""
    message = {"content": "yes", "reasoning": "hm", "tool_calls": [{"id": "a"}]}
    body = {"id": "chatcmpl-9", "choices": [{"message": message, "finish_reason": "stop"}]}
    made = outcome(
        row=7,
        custom_id="seven",
        model="m",
        sample=2,
        attempts=3,
        body=orjson.dumps(body),
        usage=Usage(1_000_000, 2, 3, 4, 5),
    )
    assert shown(made, prices={"m": Price(input_usd_per_mtok=1)}) == [
        {
            "row": 7,
            "custom_id": "seven",
            "model": "m",
            "sample": 2,
            "status": "completed",
            "response": "yes",
            "reasoning": "hm",
            "tool_calls": '[{"id":"a"}]',
            "refusal": None,
            "invalid_response": None,
            "finish_reason": "stop",
            "prompt_tokens": 1_000_000,
            "completion_tokens": 2,
            "total_tokens": 3,
            "cached_tokens": 4,
            "reasoning_tokens": 5,
            "cost_usd": 1.0,
            "latency_s": 0.5,
            "attempts": 3,
            "finished_at": datetime(2025, 11, 20, 20, 20, 0, 123_000, tzinfo=UTC),
            "error_kind": None,
            "error": None,
            "http_status": 200,
            "endpoint": None,
            "answered_by": None,
            "reused_from": None,
            "response_id": "chatcmpl-9",
        }
    ]


def test_a_failed_outcome_has_a_reason_and_no_answer(outcome: Make) -> None:
    """The raw text stays in the checkpoint."""
    failed = outcome(
        kind="bad_request",
        error="no such parameter",
        http_status=400,
        latency_s=None,
        attempts=0,
        body=b'{"choices":[{"message":{"content":"not this"}}],"id":"x"}',
    )
    (row,) = shown(failed)
    assert (row["status"], row["error_kind"], row["error"], row["http_status"], row["attempts"]) == (
        "failed",
        "bad_request",
        "no such parameter",
        400,
        0,
    )
    empty = ("response", "reasoning", "tool_calls", "finish_reason", "response_id", "latency_s", "prompt_tokens")
    assert not any(row[name] for name in empty)


def test_an_invalid_answer_has_its_cost_and_its_finish_reason(outcome: Make) -> None:
    """Its tokens cost money, and the finish reason shows that the answer was cut off at `max_tokens`."""
    body = {"id": "x", "choices": [{"message": {"content": "{"}, "finish_reason": "length"}]}
    failed = outcome(kind="invalid_response", error="not JSON", body=orjson.dumps(body), usage=Usage(1_000_000, 0))
    (row,) = shown(failed, prices={"m": Price(input_usd_per_mtok=1)})
    assert (row["response"], row["finish_reason"], row["response_id"], row["cost_usd"]) == (None, "length", "x", 1.0)


@pytest.mark.parametrize("body", [None, b"", b"<html>"])
def test_a_failure_without_a_readable_answer_still_has_a_row(outcome: Make, body: bytes | None) -> None:
    """No reply of a server breaks the export."""
    (row,) = shown(outcome(kind="bad_request", body=body))
    assert row["response"] is None
    assert row["row"] == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}"])
def test_a_completed_row_whose_body_is_not_an_answer_is_damage(outcome: Make, body: bytes) -> None:
    """It was an answer when the row was settled, so the checkpoint has changed since then."""
    with pytest.raises(LostAnswer):
        shown(outcome(body=body))


def test_a_row_without_an_id_has_its_number_as_id(outcome: Make) -> None:
    """`custom_id` is never null."""
    assert [row["custom_id"] for row in shown(outcome(row=12), outcome(row=13, custom_id=""))] == ["12", ""]


def test_a_model_without_a_price_costs_null(outcome: Make) -> None:
    """An unknown price is not zero."""
    usage = Usage(1, 1)
    rows = shown(outcome(usage=usage), outcome(model="lora", usage=usage), prices={"m": Price(), "lora": None})
    assert [row["cost_usd"] for row in rows] == [0.0, None]


@pytest.mark.parametrize(
    ("changes", "endpoint"),
    [
        ({}, "host"),
        ({"endpoint": "east"}, "east"),
        ({"kind": "timeout", "body": None}, "host"),
        ({"kind": "bad_row", "body": None, "attempts": 0}, None),
        ({"attempts": 0}, "host"),
    ],
    ids=["the only one", "one of several", "a failure", "nothing was sent", "a copy"],
)
def test_a_row_names_the_endpoint_that_answered(outcome: Make, changes: dict[str, Any], endpoint: str | None) -> None:
    """By its name in the job; by its host where the job has one."""
    columns = columns_of([outcome(**changes)])
    row = dict(zip(COLUMN_NAMES, outcome_arrays(columns, priced(), only_endpoint="host"), strict=True))
    assert row["endpoint"].to_pylist() == [endpoint]
    assert shown(outcome(**changes))[0]["endpoint"] == changes.get("endpoint")


def test_the_cost_is_that_of_the_endpoint_and_the_model_that_answered(outcome: Make) -> None:
    """Whatever model was asked."""
    usage = Usage(1_000_000, 0)
    outcomes = [outcome(usage=usage, endpoint=each) for each in ("east", "west", "")]
    outcomes.append(outcome(usage=usage, endpoint="west", answered_by="spare"))
    usd = {("east", "m"): 1.0, ("west", "m"): 2.0, ("west", "spare"): 5.0}

    def price(endpoint: str, model: str) -> Price | None:
        found = usd.get((endpoint, model))
        return None if found is None else Price(input_usd_per_mtok=found)

    row = dict(zip(COLUMN_NAMES, outcome_arrays(columns_of(outcomes), price), strict=True))
    assert row["cost_usd"].to_pylist() == [1.0, 2.0, None, 5.0]
    assert row["answered_by"].to_pylist() == [None, None, None, "spare"]


def test_the_shown_parts_of_many_answers_are_those_of_each(outcome: Make) -> None:
    """Plain answers, others among them, failures with an answer and without one."""
    plain = {"id": "c", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    refused = {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
    vector = {"data": [{"embedding": [1.0]}]}
    outcomes = columns_of(
        [
            outcome(body=orjson.dumps(plain)),
            outcome(body=orjson.dumps(refused)),
            outcome(kind="invalid_response", body=orjson.dumps(plain)),
            outcome(kind="bad_request", http_status=400, body=orjson.dumps(plain)),
            outcome(kind="timeout", http_status=None, body=None),
            outcome(body=orjson.dumps(vector)),
            outcome(body=orjson.dumps(plain).replace(b'"a"', b'"<think>b</think>a"')),
        ]
    )
    shown = shown_columns(outcomes)
    alone = [shown_columns({name: its[place : place + 1] for name, its in outcomes.items()}) for place in range(7)]
    assert shown == {name: [each[name][0] for each in alone] for name in shown}
    assert shown["response"] == ["a", None, None, None, None, None, "a"]
    assert (shown["reasoning"][6], shown["refusal"][1], shown["invalid_response"][2]) == ("b", "no", "a")
