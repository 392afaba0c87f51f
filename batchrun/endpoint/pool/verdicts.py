"""What each kind of reply means for its row, for the limit and for the run. One table, pure.

The code obeys the table: `settlement` asks it three questions, and compares no kind by name. The words of the
reference page are made from it too. `replies` decides which kind a reply is.
"""

from enum import Enum
from typing import Any, NamedTuple

from batchrun.endpoint.pool.reason import Reason
from batchrun.records import SharedReply, Usage

ATTEMPT = 100
"""What one attempt costs a row: costs are counted in hundredths of an attempt."""


class ForRow(Enum):
    """What becomes of the row."""

    AGAIN = "again", ATTEMPT
    AGAIN_AT_A_QUARTER = "again, for a quarter of an attempt", ATTEMPT // 4
    """The turn of a row that meets an overloaded endpoint comes late, and that is not the row's fault. It is not free,
    since a gateway that gives up on one long answer says 504 too."""
    AGAIN_FREE = "again, free", 0
    REPAIR = "again with the reason; failed after `repair_attempts`", 0
    FAILED = "failed", 0
    OPEN = "stays open", ATTEMPT
    """A refusal that proves to be the row's and not the run's costs an attempt, like any failure."""

    def __init__(self, text: str, cost: int) -> None:
        self.text = text
        self.cost = cost
        """What another attempt costs, if the endpoint worked for others meanwhile."""


class ForLimit(Enum):
    """What becomes of the limit."""

    DOWN = "down"
    STAYS = "stays"
    GROWTH_STOPS = "growth stops"
    NOTHING = "–"

    @property
    def text(self) -> str:
        """The words of the reference page."""
        return self.value


class ForRun(Enum):
    """What becomes of the run."""

    CONTINUES = "continues"
    WAITS = "sends nothing for as long as the server asks"
    PROBES = "continues; pauses and probes when nothing works"
    PROBES_IF_ALONE = "continues; pauses and probes when not even one request is let in"
    PROBES_OR_STOPS = (
        "continues; pauses and probes when nothing works; drains and stops, exit 4, when nothing was ever answered"
    )
    CONTINUES_OR_STOPS = "continues; drains and stops when a canary is refused for the same reason, exit 4"
    STOPS = "drains and stops when a canary is refused too, exit {}", 4
    """One row's reply is not enough: its own text or images may be what is refused."""
    STOPS_RESUMABLE = "drains and stops when a canary is refused too, exit {}", 5

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        self.text = text.format(exit_code)
        self.exit_code = exit_code
        """Of a run that ends by it."""


class Effect(NamedTuple):
    """One row of the table."""

    when: str
    row: ForRow
    limit: ForLimit
    run: ForRun
    cure: str = ""
    """What the user can do when it ends the run."""
    is_named: bool = True
    """Whether the kind alone says why; False where the words must show it."""
    is_of_model: bool = False
    """Whether its message must name the model."""
    falls_back: bool = False
    """Whether the row is asked of its model's fallback when it would fail: another model may take it."""


_OF_THE_JOB = "check the parameters of the job against what the model takes; then run the same command again"


def _outage(when: str, row: ForRow = ForRow.AGAIN) -> Effect:
    return Effect(when, row, ForLimit.GROWTH_STOPS, ForRun.PROBES)


def _failed(when: str, *, is_named: bool = True, falls_back: bool = True) -> Effect:
    return Effect(
        when,
        ForRow.FAILED,
        ForLimit.NOTHING,
        ForRun.CONTINUES_OR_STOPS,
        _OF_THE_JOB,
        is_named,
        is_of_model=True,
        falls_back=falls_back,
    )


def _refused(when: str, run: ForRun, cure: str, *, is_of_model: bool = False) -> Effect:
    return Effect(when, ForRow.OPEN, ForLimit.NOTHING, run, cure, is_of_model=is_of_model)


EFFECTS: dict[str, Effect] = {
    "throttled": Effect(
        "429 for concurrency or an unknown cause; 503 that counts the requests in flight; 400, 403, 409, 422 that name "
        "a limit",
        ForRow.AGAIN_FREE,
        ForLimit.DOWN,
        ForRun.PROBES_IF_ALONE,
    ),
    "rate_limited": Effect(
        "429 that names a rate, or a quota and when to come again; 403, 409 that name a rate",
        ForRow.AGAIN_FREE,
        ForLimit.STAYS,
        ForRun.WAITS,
    ),
    "overloaded": _outage("503, 529, 502, 504, 423, 425, 498, 520–527", ForRow.AGAIN_AT_A_QUARTER),
    "server_error": _outage("500 and other 5xx, 409, 421, 424, 449, 460, 499"),
    "timeout": _outage("silence, 408"),
    "connection": _outage("refused, reset, cut, DNS, TLS"),
    "bad_reply": Effect(
        "a 200 that is not a chat completion",
        ForRow.AGAIN,
        ForLimit.GROWTH_STOPS,
        ForRun.PROBES_OR_STOPS,
        "check the base URL; then run the same command again",
        is_named=False,
    ),
    "bad_draw": Effect(
        "400, 422 that ask to try again, or say when: the model's answer was bad, not the request",
        ForRow.AGAIN,
        ForLimit.NOTHING,
        ForRun.CONTINUES_OR_STOPS,
        _OF_THE_JOB,
        is_of_model=True,
        falls_back=True,
    ),
    "bad_request": _failed(
        "400, 422 and other 4xx; 500 that lists what is wrong in the body", is_named=False, falls_back=False
    ),
    "context_length": _failed("400, 413, 422, 500 that say the prompt is too long"),
    "content_filter": _failed(
        "400 that says the content is refused; an answer that a filter withheld, if it has no message or must fit a "
        "schema"
    ),
    "too_large": _failed("413, 414, 431; 429 whose numbers say that it never fits; an answer over 64 MiB"),
    "invalid_response": Effect(
        "an answer that does not fit the schema",
        ForRow.REPAIR,
        ForLimit.NOTHING,
        ForRun.CONTINUES,
        falls_back=True,
    ),
    "refused": Effect(
        "under a schema, an answer in which the model refuses",
        ForRow.FAILED,
        ForLimit.NOTHING,
        ForRun.CONTINUES,
        falls_back=True,
    ),
    "unauthorized": _refused(
        "401; 400, 403, 500 that name the key",
        ForRun.STOPS,
        "check the key and the team/project (--project); then run the same command again",
    ),
    "forbidden": _refused(
        "403, 407, 451, a redirect; 400 that names the location or the organization",
        ForRun.STOPS,
        "check that inference is enabled for your organization and served in your region, and the base URL",
    ),
    "account_unsupported": _refused(
        "429 for personal accounts", ForRun.STOPS, "use a key and a project of a team: --project TEAM/PROJECT"
    ),
    "model_not_found": _refused(
        "404, 405, 410; 400 that says the model is unknown",
        ForRun.STOPS,
        "`batchrun models` lists what the endpoint serves; check the base URL too",
        is_of_model=True,
    ),
    "quota_exhausted": _refused(
        "402; 400, 403, 412, 422, 429 that name credit, budget or quota and no time",
        ForRun.STOPS_RESUMABLE,
        "add credits or raise the cap of your plan; then run the same command again to resume",
    ),
}
"""Kind → what becomes of the row, the limit and the run. The table in docs/failures.md is generated from it."""

UNHEARD = "unheard"
"""Kind of the stop of a run to whose requests the endpoint has never replied, in whatever way. No row has it."""


def table_cure(kind: str, _model: str) -> str:
    """Return what the user can do about a stop of this kind, whatever the endpoint and the model."""
    return "check the base URL" if kind == UNHEARD else EFFECTS[kind].cure


NO_REASON = Reason()


class Verdict(NamedTuple):
    """How one attempt is judged."""

    kind: str | None
    """A key of `EFFECTS`; None: a completion."""
    message: str
    usage: Usage
    answer: dict[str, Any] | None = None
    """Of a completion, its parsed body; None where nothing is left to look at, or nobody needs it."""
    reason: Reason = NO_REASON
    """Of an error, what it says."""
    is_slot: bool = False
    """Whether it is about the requests in flight: then advice is not waited for, since a slot frees sooner."""
    shared: SharedReply | None = None
    """Of a bundle that was answered whole, what is kept for all of its rows; then `answer` has no vectors."""


ROW_KINDS = {
    "bad_row": "the input row is broken, or no request can be made of it; never sent",
}
"""Kinds of failure that no reply has."""


def verdict_rows() -> list[tuple[str, str, str, str, str, str]]:
    """Return the table in words: kind, when, row, limit, run, fallback."""
    rows = [
        (kind, each.when, each.row.text, each.limit.text, each.run.text, "asked" if each.falls_back else "–")
        for kind, each in EFFECTS.items()
    ]
    never_sent = (ForRow.FAILED.text, ForLimit.NOTHING.text, ForRun.CONTINUES.text, "–")
    return rows + [(kind, when, *never_sent) for kind, when in ROW_KINDS.items()]
