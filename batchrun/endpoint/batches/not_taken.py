"""Why a provider has not taken a batch, and whose matter that is. Pure."""

from enum import Enum, auto
from typing import NamedTuple

from batchrun.endpoint.batches.state import BatchState, Problem, problem_reply
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ForRow

_ENOUGH_REFUSED = 10
"""Lines from the first on that must all be refused for the same reason, until the job is taken to be wrong."""


class Cause(Enum):
    """Whose matter it is."""

    QUEUE = auto()
    """Too many tokens are enqueued."""
    SIZE = auto()
    """It has too many requests or bytes."""
    MODEL = auto()
    """Nothing is taken for its model."""
    JOB = auto()
    """All of its lines are refused for the same reason."""
    LINES = auto()
    """Some of its lines are refused."""
    OTHER = auto()
    """It is not known whose."""


class NotTaken(NamedTuple):
    """Why a batch was not taken."""

    cause: Cause
    message: str
    kind: str = "bad_request"
    """Verdict, where it is the matter of the model or of the job."""
    lines: tuple[Problem, ...] = ()
    """What is wrong with which line, where it is the matter of lines."""


def not_taken(state: BatchState, requests: int) -> NotTaken:
    """Return why a batch was not taken.

    Args:
        state: of the batch, which has failed.
        requests: how many lines it has.
    """
    message = state.problems[0].message if state.problems else "no reason is given"
    if state.is_queue_full:
        return NotTaken(Cause.QUEUE, message)
    if state.is_too_large:
        return NotTaken(Cause.SIZE, message)
    kind = judge(problem_reply(state.problems[0])).kind if state.problems else None
    if kind is not None and is_of_model(kind):
        return NotTaken(Cause.MODEL, message, kind)
    lines = tuple(each for each in state.problems if each.line is not None)
    if not lines:
        return NotTaken(Cause.OTHER, message)
    if _are_all_refused(lines, requests):
        return NotTaken(Cause.JOB, f"line {lines[0].line}: {message}")
    return NotTaken(Cause.LINES, message, lines=lines)


def is_of_model(kind: str) -> bool:
    """Return whether a refusal is of a model, whichever of its requests is sent."""
    return kind in EFFECTS and EFFECTS[kind].is_of_model and EFFECTS[kind].row is ForRow.OPEN


def _are_all_refused(lines: tuple[Problem, ...], requests: int) -> bool:
    """Return whether all lines are, as far as they are listed, for the same reason; one alone may be at fault."""
    is_from_first = [each.line for each in lines] == list(range(1, len(lines) + 1))
    is_enough = len(lines) >= min(_ENOUGH_REFUSED, requests) and requests > 1
    return is_from_first and is_enough and len({each.code for each in lines}) == 1
