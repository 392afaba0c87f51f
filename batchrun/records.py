"""The frozen data that flows from stage to stage.

What is made once a row is a `NamedTuple`: a frozen dataclass costs three times as much to make, and there are millions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Row(NamedTuple):
    """One input row as it was read: its columns, or why there are none."""

    number: int
    """Number of the row in the whole input, from 0."""
    columns: dict[str, Any] | None
    """Column name to value; None when the row is broken."""
    source: str
    """Where it stands, for people: `prompts.jsonl:17`."""
    problem: str | None = None
    """What is wrong with the row; None when it is sound."""
    folder: str = ""
    """Of the file that it stands in, to which paths in it are relative; empty: where one stands."""


class Image(NamedTuple):
    """One image that goes along with a prompt as data. It is put into the body last: nothing else looks into it."""

    name: str
    """Stands for it in `messages` until then, and in what the `request_key` is made of: a hash of the image."""
    url: bytes
    """The data URL that is sent."""


class Prompt(NamedTuple):
    """One input row, understood: what to ask, under which label, with which parameters of its own."""

    row: int
    custom_id: str | None
    """The row's label; None stands for the row number."""
    body: dict[str, Any]
    """`messages` and whatever else the row itself says of the request body."""
    images: tuple[Image, ...] = ()


class Request(NamedTuple):
    """One prompt rendered to one body, for one model and sample. Ends in exactly one outcome."""

    row: int
    model: str
    sample: int
    """From 0."""
    key: bytes
    """`request_key`: 16 bytes, the hash of what is asked for."""
    body: bytes
    """The JSON that is sent."""
    custom_id: str | None


class BadRow(NamedTuple):
    """An input row that no request can be made of, once per model and sample. Ends as a failure; nothing is sent."""

    row: int
    model: str
    """Empty when neither job nor row names one."""
    sample: int
    """From 0."""
    key: bytes
    """16 bytes, the hash of label and message: a row that changes is looked at again."""
    custom_id: str | None
    message: str
    """Which file and line, and what is wrong there."""


class Reply(NamedTuple):
    """What the endpoint answered to one attempt."""

    status: int
    headers: dict[str, str]
    """Lower-case names; only of the headers that verdicts and retries read."""
    body: bytes
    """Raw; of a stream, the assembled chat completion."""
    latency_s: float


class Fault(NamedTuple):
    """Why one attempt got no whole answer."""

    kind: Literal["connection", "timeout", "too_large", "bad_reply"]
    message: str
    latency_s: float
    was_sent: bool = True
    """False when there never was a connection, so that nobody can have been billed."""


class Usage(NamedTuple):
    """Token counts as the server stated them; None where it did not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Outcome(NamedTuple):
    """How a request ended: a completion (`kind` is None) or a failure. This is what the checkpoint keeps."""

    row: int
    model: str
    sample: int
    key: bytes
    custom_id: str | None
    kind: str | None
    """Verdict of a failure; None when completed."""
    error: str | None
    http_status: int | None
    attempts: int
    """HTTP exchanges made for it, throttled ones included; 0 when nothing was sent."""
    latency_s: float | None
    """Of the attempt that answered."""
    finished_at_ms: int
    """Unix time."""
    body: bytes | None
    """The raw answer; of a failure what the server said, if anything."""
    usage: Usage
    """Of the answer, as the server stated it."""
    throttled: int = 0
    """How many of the attempts were rejected for concurrency or a rate."""


OutcomeColumns = dict[str, Sequence[Any]]
"""Outcomes turned into columns of one length: field of `Outcome`, or of its `Usage`, to values. To a writer of columns,
millions of records are a detour."""


class ModelTotals(NamedTuple):
    """What one model's part of a run adds up to."""

    requests: int = 0
    completed: int = 0
    failed: int = 0
    attempts: int = 0
    throttled: int = 0
    """Attempts that the endpoint turned away for their number."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unstated: int = 0
    """Answers that stated no token counts and are in none of the sums."""


class Paused(NamedTuple):
    """Nothing works of a model: its rows wait, and one request at a time probes."""

    model: str
    kind: str
    message: str


class Resumed(NamedTuple):
    """The endpoint answers again for a model."""

    model: str
    after_s: float


class Spent(NamedTuple):
    """An answer was paid for that is no row's: a canary's, one of no use, or one that did not fit the job's schema."""

    model: str
    usage: Usage


class Attempted(NamedTuple):
    """Attempts were made that are in no outcome: a canary's, or those of a row that stays open."""

    model: str
    attempts: int
    throttled: int


Event = Paused | Resumed | Spent | Attempted


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why the run drains and stops before all is done."""

    kind: str
    message: str
    exit_code: int


class RowCount(NamedTuple):
    """A number of rows, and whether it is certain."""

    rows: int
    is_exact: bool
    """False for a guess, which is shown as "about"."""


class Figures(NamedTuple):
    """How a run stands at one moment."""

    done: int
    """Rows with an outcome, those of earlier runs included."""
    total: RowCount | None
    """Rows in all; None while that is not known."""
    failed: int
    throttled: int
    tokens: int
    in_flight: int
    limit: int
    waiting: int
    """Requests that wait to be sent again."""
    pause: str | None
    """Why nothing is sent, when nothing is."""


def summed(totals: Iterable[ModelTotals]) -> ModelTotals:
    """Return the sums over all models."""
    return ModelTotals(*(sum(column) for column in zip(ModelTotals(), *totals, strict=True)))
