"""The audit of a job that was killed on its way: compares what the endpoint sold and what the results have.

The runner's own counters are not asked. An answer that was bought in one execution of the job and again in a later one
was lost by the kill between them. How old it was at the kill says whether it may have been.
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
"""How old an answer may be that a kill loses: the crash contract."""


@dataclass
class Ending:
    """How one execution of a job ended, and what the endpoint says of it."""

    phase: str | None
    """What it was doing when it was killed; None when it ended by itself."""
    at_s: float
    quiet_s: float
    """When the last trace of it had gone from the endpoint."""
    in_flight: int = 0
    """Requests that the endpoint had not answered at the kill."""
    recent: int = 0
    """Answers that it had sent less than `GRACE_S` before."""
    left_half: bool = False
    """Whether it left a half-written file."""
    reported: int | None = None
    """How many requests the next execution reported as sent and not recorded."""
    bought_again: int = 0
    """How many answers of this execution were bought again later."""
    oldest_s: float = float("-inf")
    """How old the oldest of these was at the kill; negative for one that had not come."""


@dataclass
class Audit:
    """The audit of a job that has ended."""

    endings: list[Ending]
    rows: int
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Rows with another row's answer, or out of order."""
    bought: int = 0
    breaches: list[str] = field(default_factory=list)
    """What else must not be."""

    @property
    def kills(self) -> list[Ending]:
        """The executions that were killed."""
        return [ending for ending in self.endings if ending.phase is not None]


@cache
def answer_to(prompt: str) -> str:
    """Return the simulator's answer to a prompt: it depends on nothing else."""
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}]})
    completion = complete(parse_chat(body, image_tokens=0), Settings(), cached_tokens=0, number=0, now_s=0)
    return str(completion["choices"][0]["message"]["content"])


def audit_of(
    prompts: Sequence[str],
    found: Sequence[dict[str, Any]],
    bought: Iterable[tuple[float, str]],
    endings: list[Ending],
) -> Audit:
    """Compare what was bought with what is there, once a job is done.

    Args:
        prompts: of the job, in the order of its rows; no two alike.
        found: the rows of its results.
        bought: what the endpoint's ledger has of it.
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
    """See that each resume has owned up, if it came so far as to say anything."""
    owed = 0
    for ending, following in zip(audit.endings, audit.endings[1:], strict=False):
        owed = max(owed, ending.bought_again)
        if ending.reported is not None or following.phase != "start":
            if (ending.reported or 0) < owed:
                audit.breaches.append(f"reported {ending.reported} sent and not recorded, and bought {owed} again")
            owed = 0
