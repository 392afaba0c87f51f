"""The frozen data that the stages pass to each other.

What is made once per row is a `NamedTuple`: a frozen dataclass costs three times as much to make, and there are
millions. In order: from a row to its outcome, what else happens in a run, totals and progress.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Row(NamedTuple):
    """One input row as it was read: its columns, or why it has none."""

    number: int
    """Number of the row in the whole input, from 0."""
    columns: dict[str, Any] | None
    """Column name to value; None when the row is broken."""
    source: str
    """File and line, for people: `prompts.jsonl:17`."""
    problem: str | None = None
    """What is wrong with the row; None when nothing is. With columns: a value in one of them is not JSON or not UTF-8,
    so the row can be used only as far as that value is not."""
    folder: str = ""
    """Folder of the input file. Relative paths in the row start there; empty: the current directory."""
    has_filled_nulls: bool = False
    """Whether a null in an object may stand for a key that is absent, as in Parquet; in JSON it is a null."""


class Attachment(NamedTuple):
    """One image or file of a prompt, sent as data. It enters the body last: no other step has to look through it."""

    name: str
    """A hash of the file. It takes the file's place in `messages` and in the input of the `request_key`."""
    data: bytes
    """What is sent: a data URL, or base64."""


class Prompt(NamedTuple):
    """One input row after recognition: what to ask, its label, and its own parameters."""

    row: int
    custom_id: str | None
    """The row's label; None: the row number is the label."""
    body: dict[str, Any]
    """`messages`, and the parts of the request body that the row itself sets."""
    attachments: tuple[Attachment, ...] = ()
    without: frozenset[str] = frozenset()
    """Parameters of the job that the row takes away: those that are null in its `params`."""


class Request(NamedTuple):
    """One prompt rendered to one body, for one model and sample. Ends in exactly one outcome."""

    row: int
    model: str
    sample: int
    """From 0."""
    key: bytes
    """`request_key`: 16 bytes, the hash of what is sent."""
    body: bytes
    """The JSON that is sent."""
    custom_id: str | None


class BadRow(NamedTuple):
    """An input row that cannot become a request, once per model and sample. Ends as a failure; nothing is sent."""

    row: int
    model: str
    """Empty when neither job nor row names one."""
    sample: int
    """From 0."""
    key: bytes
    """16 bytes, the hash of label and message: a row that changes is read again."""
    custom_id: str | None
    message: str
    """File, line and what is wrong there."""


class Reply(NamedTuple):
    """What the endpoint answered to one attempt."""

    status: int
    headers: dict[str, str]
    """Lower-case names; only the headers that verdicts and retries read."""
    body: bytes
    """Raw; of a stream, the assembled chat completion."""
    latency_s: float

    @property
    def is_success(self) -> bool:
        """Whether the status reports an answer: 200, or one of its kind."""
        return 200 <= self.status < 300


class Fault(NamedTuple):
    """Why one attempt got no complete reply."""

    kind: Literal["connection", "timeout", "too_large", "bad_reply"]
    message: str
    latency_s: float
    was_sent: bool = True
    """False when no connection was made: then nothing can have been billed."""
    is_stale: bool = False
    """True when a connection that had been used before broke soon and without a byte of an answer: the server had
    closed it meanwhile, and nothing is at fault."""


class Usage(NamedTuple):
    """Token counts as the server reported them; None where it did not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Outcome(NamedTuple):
    """How a request ended: a completion (`kind` is None) or a failure. The checkpoint keeps these."""

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
    """HTTP exchanges made for the request, throttled ones included; 0 when nothing was sent."""
    latency_s: float | None
    """Of the last attempt."""
    finished_at_ms: int
    """Unix time."""
    body: bytes | None
    """The raw reply; of a failure, the server's error if there was one."""
    usage: Usage
    """Of the reply."""
    throttled: int = 0
    """How many of the attempts were rejected because of concurrency or a rate."""


OutcomeColumns = dict[str, Sequence[Any]]
"""Outcomes as columns of one length: a field of `Outcome` or `Usage` to its values. Writers of columns use these:
making millions of records first would only cost time."""


class Paused(NamedTuple):
    """No request of a model succeeds: its rows wait, and one request at a time probes the endpoint."""

    model: str
    kind: str
    message: str
    for_s: float = 0.0
    """How long it has lasted when it is reported: since the first failure that no success followed."""


class Resumed(NamedTuple):
    """The endpoint answers again for a model."""

    model: str
    after_s: float


class Spent(NamedTuple):
    """A paid answer that became no row's outcome: a canary's, an unusable one, or one that did not fit the schema."""

    model: str
    usage: Usage


class Attempted(NamedTuple):
    """Attempts that are in no outcome: a canary's, or those of a row that stays open."""

    model: str
    attempts: int
    throttled: int


class Loosened(NamedTuple):
    """A model refuses `strict`: it gets the schema without it from now on."""

    model: str
    message: str


class Closed(NamedTuple):
    """Nothing more is sent to a model, which is refused or was away for too long. The other models continue."""

    model: str
    message: str


class GivenUp(NamedTuple):
    """Attempts were given up that took `after_s` or longer; if `is_last`, their rows stay open: the run is stopped."""

    model: str
    requests: int
    after_s: float
    slowest_s: float
    is_last: bool = False


Event = Paused | Resumed | Spent | Attempted | Loosened | Closed | GivenUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run drains and stops before every row is settled."""

    kind: str
    """One word for the cause: `interrupted`, `deadline`, `failure` or a verdict."""
    message: str
    """The cause and the cure, for people."""
    exit_code: int
    signal: str = ""
    """Name of the signal of an interruption, such as `SIGTERM`; empty when it came from the caller."""


class ModelTotals(NamedTuple):
    """The sums over one model's requests in a run."""

    requests: int = 0
    completed: int = 0
    failed: int = 0
    attempts: int = 0
    throttled: int = 0
    """Attempts that the endpoint rejected because of concurrency or a rate."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unstated: int = 0
    """Answers without token counts, or with only a part of them. They are in none of the sums."""
    stated_as_0: frozenset[str] = frozenset()
    """Names of the token counts that are 0 because answers stated 0, and not because none stated them."""

    @property
    def usage(self) -> Usage:
        """The sums of the token counts; None for one that no answer stated. All are 0 while there is no answer."""
        sums = Usage(*(getattr(self, name) for name in Usage._fields))
        if not (self.completed or self.unstated or any(sums)):
            return sums
        named = zip(Usage._fields, sums, strict=True)
        return Usage(*(tokens if tokens or name in self.stated_as_0 else None for name, tokens in named))


def summed(totals: Iterable[ModelTotals]) -> ModelTotals:
    """Return the sums over all models."""
    listed = [ModelTotals(), *totals]
    sums = {name: sum(getattr(each, name) for each in listed) for name in ModelTotals._fields[:-1]}
    return ModelTotals(**sums, stated_as_0=frozenset().union(*(each.stated_as_0 for each in listed)))


class RowCount(NamedTuple):
    """A number of rows, and whether it is certain."""

    rows: int
    is_exact: bool
    """False for a guess, which is shown as "about"."""


class Figures(NamedTuple):
    """The progress of a run at one moment."""

    done: int
    """Settled rows, earlier executions included."""
    total: RowCount | None
    """All rows; None while the number is not known."""
    failed: int
    throttled: int
    tokens: int | None
    """Of prompts and answers; None when no answer stated them."""
    in_flight: int
    limit: int
    waiting: int
    """Requests that wait to be sent again."""
    pause: str | None
    """Why nothing is sent; None while requests are sent."""
    paused_since_ms: int | None = None
    """Since when; Unix time."""
    probe_at_ms: int | None = None
    """When a paused endpoint is asked next whether it answers again; Unix time."""
    rate_per_s: float | None = None
    """Rows settled per second in recent minutes; None in a pause, and while it is not known."""
    cost_usd: float | None = None
    """What the answers have cost; None where no cap is set, or a price is not known."""
    cap_usd: float | None = None
    """The most that the run may cost."""
    stopping: str | None = None
    """Why nothing more is sent, while what is in flight is waited for; None while requests are sent."""
    drained_by_ms: int | None = None
    """Until when it is waited for at most; Unix time."""
    unwanted: int = 0
    """Rows that stay open, because nothing more is sent to their model."""
