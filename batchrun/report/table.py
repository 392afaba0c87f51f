"""Which columns of the results the report's table shows next to one another."""

from collections.abc import Sequence
from typing import NamedTuple

from batchrun.errors import JobError
from batchrun.job.sections import Job
from batchrun.prompts.conversation import conversation_of
from batchrun.prompts.kinds.table import SHAPES
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER, BEFORE_INPUT, CLASH_PREFIX, LOGPROBS, SCORE

MESSAGES = "last message"
"""Column of the table with the text of the last message to the model; the whole conversation is in another column."""

CONVERSATIONS = ("messages", "body")
"""Columns of the input that hold a conversation: by themselves, or in OpenAI's batch format."""

_MOST_TEXTS = 4
"""Most columns of the input next to the answer."""


class Layout(NamedTuple):
    """The columns of the results, by what they hold."""

    prompt: list[str]
    """Number, id and input: the same for all answers to a prompt."""
    answer: list[str]
    texts: list[str]
    """Columns of the input to show next to the answer."""
    target: str | None
    """Column of the input with the right answer."""
    typed: list[str]
    """Columns of the answer's schema."""
    is_scored: bool
    evaluated: Sequence[str] = ()
    """Columns that the evaluation added."""


def layout_of(names: Sequence[str], job: Job) -> Layout:
    """Return the columns of results that are written in the order of `results_schema`.

    Args:
        names: of all columns.
        job: says which columns of the input its prompts use.
    """
    split = names.index(BEFORE_ANSWER[0].name)
    typed = names[names.index(BEFORE_ANSWER[-1].name) + 1 : names.index(AFTER_ANSWER[0].name)]
    if not SHAPES[job.model.kind].has_text:  # a vector is nothing to count or to compare
        typed = []
    inputs = names[len(BEFORE_INPUT) : split]
    target = None if job.evaluate.target is None else _renamed(job.evaluate.target, inputs)
    texts = [name for name in _asked(job, inputs) if name != target]
    return Layout(
        prompt=list(names[:split]),
        answer=[name for name in names[split:] if name != LOGPROBS.name],  # they are longer than all others
        texts=texts[:_MOST_TEXTS],
        target=target,
        typed=list(typed),
        is_scored=SCORE.name in names,
        evaluated=names[names.index(AFTER_ANSWER[-1].name) + 1 :],
    )


def _asked(job: Job, inputs: Sequence[str]) -> list[str]:
    """Return the columns of the input that the prompts are made of, in the order of the input."""
    columns = _of_template(job)
    if (job.prompt.user or job.prompt.messages) and columns is None:
        return list(inputs)
    if columns is None:
        if any(name in inputs for name in CONVERSATIONS):
            return [MESSAGES]
        columns = frozenset(SHAPES[job.model.kind].columns) | {"prompt"}
    names = {_renamed(each, inputs) for each in columns}
    return [name for name in inputs if name in names]


def _of_template(job: Job) -> frozenset[str] | None:
    """Return the columns that the job's templates read; None without a template, or if they may read any."""
    try:
        asked = conversation_of(job.prompt)
        return None if asked is None else asked.columns
    except JobError:  # of a job that another version ran
        return None


def _renamed(name: str, inputs: Sequence[str]) -> str | None:
    """Return the name of an input column in the results; None where they do not have it."""
    return next((each for each in (name, CLASH_PREFIX + name) if each in inputs), None)
