"""Few-shot examples: turns before a row's own that show the model what is wanted. Pure."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from batchrun.errors import JobError
from batchrun.job.prompt import PromptTemplates
from batchrun.prompts.messages import is_system
from batchrun.prompts.template import Template, TemplateProblem
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

ANSWER = "{{ answer }}"
"""The answer of an example, unless `prompt.example_answer` says otherwise."""


class Examples:
    """The examples of a job, ready to be put before the turns of its rows."""

    def __init__(self, prompt: PromptTemplates, asked: Callable[[Row], list[Any]]) -> None:
        """Make the turns of every example.

        Args:
            prompt: the job's, with at least one example.
            asked: makes the messages of a row, as the job asks it, without examples.

        Raises:
            JobError: an example has no answer, or lacks a column that a template names.
        """
        answer = Template(prompt.example_answer or ANSWER, "prompt.example_answer")
        self._turns = [
            _turns(Row(number, example, ""), f"prompt.examples[{number}]", asked, answer)
            for number, example in enumerate(prompt.examples or ())
        ]
        self._count = len(self._turns) if prompt.num_examples is None else prompt.num_examples
        self._seed = prompt.example_seed
        self._first = _joined(self._turns[: self._count])
        self._asking: dict[bytes, set[int]] = {}  # what examples ask → the places of those that ask it
        for place, turns in enumerate(self._turns):
            self._asking.setdefault(orjson.dumps(turns[:-1]), set()).add(place)

    def before(self, own: Sequence[Any]) -> list[Any]:
        """Return the turns that go before a row's own messages: the first examples or, with a seed, some at random.

        Chance depends on the seed and on the messages alone, so that a row gets the same examples on every run,
        wherever it is in the input. An example that asks the same as the row is left out: it would tell the answer.
        """
        if self._seed is None:
            return self._first
        asked = orjson.dumps([message for message in own if not is_system(message)])
        same = self._asking.get(asked, frozenset[int]())
        drawn = _drawn(b"%d:" % self._seed + asked, len(self._turns), self._count + len(same))
        return _joined([self._turns[place] for place in drawn if place not in same][: self._count])


def _drawn(seed: bytes, count: int, wanted: int) -> list[int]:
    """Return different numbers below `count` in an order that the seed decides. Method: Fisher and Yates, cut short."""
    moved: dict[int, int] = {}
    drawn = []
    for place in range(min(wanted, count)):
        digest = blake2b(seed, digest_size=8, salt=place.to_bytes(8, "big")).digest()
        other = place + int.from_bytes(digest, "big") % (count - place)
        drawn.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return drawn


def _turns(row: Row, name: str, asked: Callable[[Row], list[Any]], answer: Template) -> list[Any]:
    try:
        turns = [message for message in asked(row) if not is_system(message)]
        if turns and turns[-1]["role"] == "assistant":
            return turns
        return [*turns, {"role": "assistant", "content": answer.render(row.columns or {})}]
    except (RowProblem, TemplateProblem) as problem:
        cure = "; set prompt.example_answer" if "prompt.example_answer" in str(problem) else ""
        raise JobError(f"{name}: {problem}{cure}") from None


def _joined(turns: Sequence[list[Any]]) -> list[Any]:
    return [message for each in turns for message in each]
