"""The audit of a job with killed executions: compares the answers of the endpoint with the results.

It does not use the counters of the run. If an answer was bought in one execution and again in a later one, the kill
between them lost it. Its age at the kill decides whether that was allowed.
"""

import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from batchrun.simulator import Settings
from batchrun.simulator.answers import complete
from batchrun.simulator.chat import parse_chat
from batchrun.simulator.stats import fingerprint

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

GRACE_S = 0.05
"""Largest age of an answer that a kill may lose: the crash contract."""


@dataclass
class Ending:
    """How one execution of a job ended, and the counts of the endpoint for it."""

    phase: str | None
    """The phase in which it was killed; None if it ended by itself."""
    at_s: float
    quiet_s: float
    """Time at which the endpoint had finished its last request."""
    in_flight: int = 0
    """Requests that the endpoint had not answered at the kill."""
    recent: int = 0
    """Answers that it had sent less than `GRACE_S` before."""
    left_half: bool = False
    """Whether it left a half-written file."""
    reported: int | None = None
    """Rows that the next execution reported as sent and not recorded."""
    bought_again: int = 0
    """Answers of this execution that were bought again later."""
    oldest_s: float = float("-inf")
    """Age of the oldest of these at the kill; negative for an answer that had not arrived."""


@dataclass
class Audit:
    """The audit of a job that has ended."""

    endings: list[Ending]
    rows: int
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Rows with the answer of another row, or in the wrong order."""
    bought: int = 0
    breaches: list[str] = field(default_factory=list)
    """Other violations of the contract."""

    @property
    def kills(self) -> list[Ending]:
        """The executions that were killed."""
        return [ending for ending in self.endings if ending.phase is not None]


@cache
def answer_to(prompt: str) -> str:
    """Return the simulator's answer to a prompt, which depends only on the prompt."""
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}]})
    completion = complete(parse_chat(body, image_tokens=0), Settings(), cached_tokens=0, number=0, now_s=0)
    return str(completion["choices"][0]["message"]["content"])


def audit_of(
    prompts: Sequence[str],
    found: Sequence[dict[str, Any]],
    bought: Iterable[tuple[float, str]],
    endings: list[Ending],
) -> Audit:
    """Compare the bought answers with the results of a finished job.

    Args:
        prompts: of the job, in the order of its rows; all different.
        found: the rows of its results.
        bought: its answers in the ledger of the endpoint.
        endings: of its executions, in their order.
    """
    audit = Audit(endings, len(prompts))
    counts = Counter(row["row"] for row in found)
    audit.lost = len(prompts) - len(counts)
    audit.doubled = counts.total() - len(counts)
    is_in_order = [row["row"] for row in found] == sorted(counts.elements())
    audit.wrong = sum(not is_in_order or not _is_right(row, prompts) for row in found)
    _find_bought_again(audit, {fingerprint(MODEL, prompt, None) for prompt in prompts}, bought)
    _check_what_was_reported(audit)
    return audit


def _is_right(row: dict[str, Any], prompts: Sequence[str]) -> bool:
    prompt = prompts[row["row"]]
    return (row["prompt"], row["response"]) == (prompt, answer_to(prompt))


def _find_bought_again(audit: Audit, own: set[str], bought: Iterable[tuple[float, str]]) -> None:
    ends = [ending.quiet_s for ending in audit.endings]
    last: dict[str, tuple[float, Ending]] = {}
    for at_s, key in bought:
        if key not in own:
            audit.breaches.append("a request was sent that belongs to no row")
        audit.bought += 1
        execution = audit.endings[bisect.bisect(ends, at_s)]
        if key in last:
            _note_bought_again(audit, *last[key], execution)
        last[key] = at_s, execution


def _note_bought_again(audit: Audit, at_s: float, before: Ending, now: Ending) -> None:
    if before is now:
        audit.breaches.append("an answer was bought twice in one execution")
    elif before.phase is None:
        audit.breaches.append("an answer was bought again of an execution that ended by itself")
    before.bought_again += 1
    before.oldest_s = max(before.oldest_s, before.at_s - at_s)


def _check_what_was_reported(audit: Audit) -> None:
    """Check that each resumed execution reported the lost requests, if it lived long enough for a message."""
    owed = 0
    for ending, following in zip(audit.endings, audit.endings[1:], strict=False):
        owed = max(owed, ending.bought_again)
        if ending.reported is not None or following.phase != "start":
            if (ending.reported or 0) < owed:
                audit.breaches.append(f"reported {ending.reported} sent and not recorded, and bought {owed} again")
            owed = 0
