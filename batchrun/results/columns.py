"""The schema of results.parquet, declared once, and how outcomes become its columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from batchrun.completions import Completion, parse_completion
from batchrun.pricing import PriceLike, cost_usd
from batchrun.records import OutcomeColumns, Usage
from batchrun.results.merge import kept_types


class Column(NamedTuple):
    """One column: its name, its type, and a line for the reference."""

    name: str
    type: pa.DataType
    doc: str


BEFORE_INPUT = (
    Column("row", pa.int64(), "input row number, from 0"),
    Column("custom_id", pa.string(), "the row's id"),
)
AFTER_INPUT = (
    Column("model", pa.string(), "the model that was asked"),
    Column("sample", pa.int32(), "number of the answer among those to the same prompt, from 0"),
    Column("status", pa.string(), "`completed` or `failed`"),
    Column("response", pa.string(), "the answer's text; null when failed"),
    Column("reasoning", pa.string(), "what a reasoning model thought before it answered"),
    Column("tool_calls", pa.string(), "the answer's tool calls, as JSON"),
    Column("finish_reason", pa.string(), "why the answer ended: `stop`, `length`, `tool_calls`, `content_filter`"),
    Column(
        "prompt_tokens",
        pa.int64(),
        "tokens of the prompt; null when not stated, as in the four that follow",
    ),
    Column("completion_tokens", pa.int64(), "tokens of the answer, reasoning included"),
    Column("total_tokens", pa.int64(), "prompt and completion"),
    Column("cached_tokens", pa.int64(), "prompt tokens that came from the endpoint's prefix cache"),
    Column("reasoning_tokens", pa.int64(), "completion tokens that went into reasoning"),
    Column("cost_usd", pa.float64(), "US dollars; null when no price is known"),
    Column("latency_s", pa.float64(), "seconds, of the attempt that answered"),
    Column("attempts", pa.int32(), "HTTP exchanges made for the row; 0 when nothing was sent"),
    Column("finished_at", pa.timestamp("ms", tz="UTC"), "when the row was settled"),
    Column("error_kind", pa.string(), "why it failed, in a word; null when completed"),
    Column("error", pa.string(), "why it failed, in the endpoint's words; null when completed"),
    Column("http_status", pa.int32(), "of the last answer; null when there was none"),
    Column("response_id", pa.string(), "the endpoint's own name for the answer"),
)
COLUMNS = (*BEFORE_INPUT, *AFTER_INPUT)
"""All columns that are not the input's; the input's stand between the two parts."""

CLASH_PREFIX = "input_"

_FAILED = Completion()


def results_schema(inputs: pa.Schema | None) -> pa.Schema:
    """Return the whole schema of results.parquet, for an input with these columns."""
    kept = inputs or pa.schema([])
    # Only name and type: an input's metadata (pandas', a field id) would be wrong of the results.
    renamed = map(pa.field, input_names(kept.names), kept_types(kept))
    return pa.schema([*_fields(BEFORE_INPUT), *renamed, *_fields(AFTER_INPUT)])


def input_names(names: Sequence[str]) -> list[str]:
    """Return what the input's columns are called in the results: a clash is prefixed until it is none."""
    taken = {column.name for column in COLUMNS}
    result = []
    for name in names:
        renamed = name
        while renamed in taken or (renamed != name and renamed in names):
            renamed = CLASH_PREFIX + renamed
        taken.add(renamed)
        result.append(renamed)
    return result


def _fields(columns: Iterable[Column]) -> list[pa.Field]:
    return [pa.field(column.name, column.type) for column in columns]


def outcome_arrays(outcomes: OutcomeColumns, prices: Mapping[str, PriceLike | None]) -> list[pa.Array]:
    """Return the columns of `COLUMNS`, in their order, for at least one outcome."""
    models, kinds = outcomes["model"], outcomes["kind"]
    answers = map(_completion, outcomes["body"], kinds, outcomes["http_status"])
    usages = map(Usage._make, zip(*(outcomes[name] for name in Usage._fields), strict=True))
    values: dict[str, Sequence[Any]] = {
        **outcomes,
        **dict(zip(Completion._fields, zip(*answers, strict=True), strict=True)),
        "custom_id": [
            str(row) if label is None else label
            for row, label in zip(outcomes["row"], outcomes["custom_id"], strict=True)
        ],
        "status": ["completed" if kind is None else "failed" for kind in kinds],
        "cost_usd": [cost_usd(usage, prices.get(model)) for usage, model in zip(usages, models, strict=True)],
        "finished_at": outcomes["finished_at_ms"],
        "error_kind": kinds,
    }
    return [pa.array(values[column.name], column.type) for column in COLUMNS]


def _completion(body: bytes | None, kind: str | None, http_status: int | None) -> Completion:
    """Return what is shown of an answer; of a failed one only what explains the failure."""
    if body is None:
        return _FAILED
    if kind is None:
        return parse_completion(body)
    if http_status != 200:
        return _FAILED
    answer = parse_completion(body)
    return Completion(finish_reason=answer.finish_reason, response_id=answer.response_id)
