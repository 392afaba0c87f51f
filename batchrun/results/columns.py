"""The schema of results.parquet, and the conversion of outcomes into its columns."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from batchrun.answers import logprobs as answer_logprobs
from batchrun.answers.chat import NOTHING, Completion
from batchrun.answers.columns import AnswerColumns, column_names, without_clashes
from batchrun.answers.data_columns import NO_TYPES, Types
from batchrun.answers.envelope import parse_completion, unusual_completion
from batchrun.answers.plain import plain_answers
from batchrun.records import OutcomeColumns, named_endpoint, unnumbered_endpoint
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
BEFORE_ANSWER = (
    Column("model", pa.string(), "the model that was asked"),
    Column("sample", pa.int32(), "number of the answer among those to the same prompt, from 0"),
    Column("status", pa.string(), "`completed` or `failed`"),
    Column("response", pa.string(), "the answer's text; null when failed"),
    Column("reasoning", pa.string(), "what a reasoning model thought before it answered"),
)
ENDPOINT = Column(
    "endpoint",
    pa.string(),
    "the endpoint that answered: its name in the job, or the host of the only one, with `(batch)` behind it where the"
    " answer came in a batch; null when nothing was sent",
)
ANSWERED_BY = Column(
    "answered_by", pa.string(), "the model that answered in place of `model`, as its fallback; null when `model` did"
)
REUSED_FROM = Column(
    "reused_from", pa.string(), "run that the answer was taken from (`reuse`); null for this run's own"
)
AFTER_ANSWER = (
    Column("tool_calls", pa.string(), "the answer's tool calls, as JSON"),
    Column("refusal", pa.string(), "the model's words when it refuses; null when it does not"),
    Column(
        "invalid_response",
        pa.string(),
        "the text of the last answer to a row that failed although it was answered, such as one that does not fit the"
        " schema; null otherwise",
    ),
    Column("finish_reason", pa.string(), "why the answer ended: `stop`, `length`, `tool_calls`, `content_filter`"),
    Column(
        "prompt_tokens",
        pa.int64(),
        "tokens of the prompt; null when not stated, as in the four that follow",
    ),
    Column(
        "completion_tokens",
        pa.int64(),
        "all that is billed as output: the answer, and its reasoning also where the endpoint counts it separately",
    ),
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
    ENDPOINT,
    ANSWERED_BY,
    REUSED_FROM,
    Column("response_id", pa.string(), "the endpoint's own name for the answer"),
)
LOGPROBS = Column(
    "logprobs",
    answer_logprobs.LOGPROBS,
    "the answer's tokens with their log probabilities and, with `top_logprobs`, their alternatives; only where the job"
    " or the rows ask for `logprobs`",
)
SCORE = Column(
    "score",
    pa.float64(),
    "how right the answer is, where `[evaluate]` or `--scorer` says how to tell; null when failed",
)
JUDGE_SCORE = Column("judge_score", pa.float64(), "the score that the model of `[judge]` gave; null where it gave none")
JUDGE_LABEL = Column("judge_label", pa.string(), "the label that it gave; null where it gave a number")
JUDGE_REASON = Column("judge_reason", pa.string(), "why, in its words")
PREDICTION = Column(
    "prediction", pa.string(), 'what the scorer found in the answer; only with `vote = "prediction"`; null when nothing'
)
VOTE_SHARE = Column(
    "vote_share", pa.float64(), "the share of the most frequent label among the prompt's answers that have one"
)


def score_column(name: str) -> Column:
    """Return a column of scores."""
    return JUDGE_SCORE if name == JUDGE_SCORE.name else SCORE._replace(name=name)


def vote_column(kind: pa.DataType) -> Column:
    """Return the column of the majority labels, of the type of the labels."""
    doc = "what most answers to the prompt say, where `evaluate.vote` says what they vote on; null where two labels tie"
    return Column("vote", kind, doc)


EVALUATED = (
    SCORE,
    score_column("score_NAME")._replace(doc="the same by each of the `scorers` of `[evaluate]`"),
    JUDGE_SCORE,
    JUDGE_LABEL,
    JUDGE_REASON,
    PREDICTION,
    vote_column(pa.string()),
    VOTE_SHARE,
)
"""The last columns, each only in results that are evaluated so."""

AFTER_INPUT = (*BEFORE_ANSWER, *AFTER_ANSWER)
COLUMNS = (*BEFORE_INPUT, *AFTER_INPUT)
"""The columns of every run; the input's columns come between the two parts, the answer's before `tool_calls`."""

CLASH_PREFIX = "input_"

_FAILED = Completion()


class OptionalColumns(NamedTuple):
    """The columns that only some runs have."""

    has_logprobs: bool = False
    """Whether there is a column of log probabilities, before the last of `AFTER_ANSWER`."""
    data: Types = NO_TYPES
    """Those of answers that are not texts, after the columns of a schema."""


ALWAYS = OptionalColumns()
"""None of them."""


def results_schema(
    inputs: pa.Schema | None,
    answers: AnswerColumns | None = None,
    *,
    added: Sequence[Column] = (),
    optional: OptionalColumns = ALWAYS,
) -> pa.Schema:
    """Return the whole schema of results.parquet.

    Args:
        inputs: the input's columns.
        answers: the columns of the answers.
        added: what the evaluation adds at the end.
        optional: the columns that only some runs have.
    """
    kept = inputs or pa.schema([])
    taken = [column.name for column in (*COLUMNS, *added)]
    names = input_names(kept.names, taken)
    # Only name and type: metadata of the input (from pandas, a field id) would be wrong in the results.
    renamed = map(pa.field, names, kept_types(kept))
    typed = answers.fields([*taken, *names]) if answers else []
    data = column_names(list(optional.data), [*taken, *names, *(each.name for each in typed)])
    typed += map(pa.field, data, optional.data.values())
    before, after = _fields(BEFORE_ANSWER), _fields([*AFTER_ANSWER, *added])
    if optional.has_logprobs:
        [name] = column_names([LOGPROBS.name], [*taken, *names, *(field.name for field in typed)])
        after.insert(len(AFTER_ANSWER) - 1, pa.field(name, LOGPROBS.type))
    return pa.schema([*_fields(BEFORE_INPUT), *renamed, *before, *typed, *after])


def input_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """Return the names of the input's columns in the results: a name that is taken gets a prefix."""
    return without_clashes(names, taken, CLASH_PREFIX)


def input_name(inputs: pa.Schema, name: str, added: Iterable[Column]) -> str | None:
    """Return the name of an input column in the results; None if the input has no such column.

    Args:
        inputs: the input's columns.
        name: of the column in the input.
        added: what the evaluation adds to the results.
    """
    if name not in inputs.names:
        return None
    names = input_names(inputs.names, [column.name for column in (*COLUMNS, *added)])
    place: int = inputs.names.index(name)
    return names[place]


def _fields(columns: Iterable[Column]) -> list[pa.Field]:
    return [pa.field(column.name, column.type) for column in columns]


def labels(outcomes: OutcomeColumns) -> list[str]:
    """Return the id of each row; the row number if it has no id."""
    both = zip(outcomes["row"], outcomes["custom_id"], strict=True)
    return [str(row) if label is None else label for row, label in both]


def shown_endpoint(name: str, only_endpoint: str | None) -> str | None:
    """Return an endpoint as the results show it.

    Args:
        name: as `Outcome.endpoint` has it.
        only_endpoint: stands where there is no name; None where it is not known, or nothing was sent.
    """
    name = unnumbered_endpoint(name)
    return only_endpoint if not name else name if named_endpoint(name) else f"{only_endpoint or ''}{name}".strip()


class LostAnswer(Exception):
    """The stored answer of a completed row is not an answer: the checkpoint is damaged."""


def shown_columns(outcomes: OutcomeColumns) -> dict[str, Sequence[Any]]:
    """Return the shown parts of each answer: field of `Completion` → its values.

    Raises:
        LostAnswer: a completed row has none.
    """
    bodies, kinds = [*outcomes["body"]], outcomes["kind"]  # a copy: some make a body whenever it is asked for
    completed = bodies
    if kinds.count(None) < len(kinds):
        completed = [body if kind is None else None for body, kind in zip(bodies, kinds, strict=True)]
    plain = plain_answers(completed)
    columns: dict[str, Sequence[Any]] = dict.fromkeys(Completion._fields, [None] * len(bodies))
    columns |= {"response": plain.responses, "finish_reason": plain.finish_reasons, "response_id": plain.response_ids}
    others = [_shown(bodies[place], kinds[place], outcomes["http_status"][place]) for place in plain.others]
    for name, values in zip(Completion._fields, zip(*others, strict=True), strict=True) if others else ():
        if values.count(None) < len(values):
            column = columns[name] = list(columns[name])
            for place, value in zip(plain.others, values, strict=True):
                column[place] = value
    return columns


def _shown(body: bytes | None, kind: str | None, http_status: int | None) -> Completion:
    """Return the shown parts of an answer that is not plain, or of a failure."""
    if body is None:
        return _FAILED
    if kind is None:
        completion = unusual_completion(body)
        if completion is NOTHING:
            raise LostAnswer
        return completion
    return _FAILED if is_error_status(http_status) else of_failure(parse_completion(body))


def is_error_status(status: int | None) -> bool:
    """Return whether a status was received, and is not that of an answer."""
    return status is not None and not 200 <= status < 300


def of_failure(completion: Completion) -> Completion:
    """Return the shown parts of an invalid answer: only those that help to explain it."""
    return Completion(
        finish_reason=completion.finish_reason,
        response_id=completion.response_id,
        refusal=completion.refusal,
        invalid_response=completion.response,
    )
