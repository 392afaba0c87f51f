"""From a reply to an outcome."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple


class Reply(NamedTuple):
    """What the endpoint answered to one attempt."""

    status: int
    headers: dict[str, str]
    """Lower-case names; only the headers that verdicts and retries read."""
    body: bytes
    """Raw; of a stream, the assembled chat completion."""
    latency_s: float
    usage: "Usage | None" = None
    """The token counts of a body in which one look has found an ordinary chat completion; None of any other."""

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


class SharedReply(NamedTuple):
    """The answer to a bundle of embeddings, kept once for all of its rows."""

    frame: bytes
    """JSON: the answer with one item of `data` in place of all, and null in place of its vector."""
    size: int
    """Bytes of each vector."""
    vectors: bytes
    """All vectors in the order of the rows: 32-bit floats, the lowest byte first."""


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
    """The raw reply; of a failure, the server's error if there was one. None where `reply` has it."""
    usage: Usage
    """Of the reply."""
    throttled: int = 0
    """How many of the attempts were rejected because of concurrency or a rate."""
    endpoint: str = ""
    """Name of the endpoint that answered; empty where the job has one. `BY_BATCH` follows it where a batch did."""
    answered_by: str = ""
    """The model that was asked in place of `model`, as its fallback; empty without one."""
    reply: SharedReply | None = None
    """The reply to the bundle that the request travelled in, where it is kept for all of its rows together."""
    place: int = 0
    """Of the request's vector in it, from 0."""


BY_BATCH = " (batch)"
"""What follows the name of an endpoint, which may be empty, where the answer came in a batch: it has its own price."""


_NUMBER = re.compile(r" \[(\d+)\]\Z")
"""What follows the name of an endpoint, before `BY_BATCH`, where it has stood for another place earlier in the run."""


def named_endpoint(endpoint: str) -> str:
    """Return the name of an endpoint, whether it answered in a batch or not, and whatever the name stood for then."""
    return _NUMBER.sub("", endpoint.removesuffix(BY_BATCH))


def numbered_endpoint(name: str, number: int) -> str:
    """Return the name of an endpoint as its answers are stored; `number`, from 1, is that of what it stands for."""
    return f"{name} [{number}]" if number > 1 else name


def place_number(endpoint: str) -> int:
    """Return the number of what the name of an endpoint stood for when it gave an answer."""
    found = _NUMBER.search(endpoint.removesuffix(BY_BATCH))
    return int(found[1]) if found else 1


def unnumbered_endpoint(endpoint: str) -> str:
    """Return the name of an endpoint without that number; `BY_BATCH` stays."""
    return named_endpoint(endpoint) + (BY_BATCH if endpoint.endswith(BY_BATCH) else "")


class AnswerSource(NamedTuple):
    """Where answers come from. With one endpoint, all answers of a model have the same source."""

    model: str
    """That was asked."""
    endpoint: str = ""
    """Name of the endpoint; empty where the job has one, or nothing was sent. `BY_BATCH` may follow, as above."""
    answered_by: str = ""
    """The model that was asked in place of `model`, as its fallback; empty without one."""
    run: str = ""
    """Directory of the run that the answer was taken from; empty where it was sent for this one."""

    @property
    def answering_model(self) -> str:
        """The model that answered, and whose price counts."""
        return self.answered_by or self.model


OutcomeColumns = dict[str, Sequence[Any]]
"""Outcomes as columns of one length: a field of `Outcome` or `Usage` to its values. Writers of columns use these:
making millions of records first would only cost time."""
