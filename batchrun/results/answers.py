"""What settled rows were answered, read anew at each export: by the schema in force, whatever it was before."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from batchrun.answers.chat import Completion, parse_completion
from batchrun.answers.columns import AnswerColumns
from batchrun.answers.schema import AnswerSchema, Complaint
from batchrun.records import OutcomeColumns
from batchrun.results.columns import of_failure, shown_completions

INVALID = "invalid_response"
"""Kind of a row whose answer does not fit the schema."""

_SHOWN_CHARS = 200
"""How much of an answer that does not fit is shown beside the complaint; all of it is in the checkpoint."""

_Object = dict[str, Any]


class Answers(NamedTuple):
    """What some settled rows were answered."""

    outcomes: OutcomeColumns
    """With kind and error as the schema has them."""
    completions: Iterable[Completion]
    """What is shown of each answer; for one pass."""
    objects: list[_Object | None] | None
    """The object that each answer gives; None without a schema."""


class AnswerReader:
    """Reads answers, and has a schema say which of them do: a row is completed, or failed as `invalid_response`.

    Rows that failed for another reason stay what they are.
    """

    def __init__(self, schema: AnswerSchema | None) -> None:
        """Read by a schema, or without one: then every answer does."""
        self._schema = schema
        self.columns = None if schema is None else AnswerColumns(schema)
        """The columns that the answers become."""
        self.gained: Counter[str] = Counter()
        """Model → rows that are completed here and were not in the run; below zero: the other way round."""
        self.example: str | None = None
        """What is wrong with one of the answers that do not fit."""

    def read(self, outcomes: OutcomeColumns) -> Answers:
        """Return what these rows were answered."""
        if self._schema is None and INVALID not in outcomes["kind"]:
            return Answers(outcomes, shown_completions(outcomes), None)
        kinds, errors = list(outcomes["kind"]), list(outcomes["error"])
        completions = list(shown_completions(outcomes))
        objects: list[_Object | None] = [None] * len(kinds)
        for place, (kind, body) in enumerate(zip(outcomes["kind"], outcomes["body"], strict=True)):
            if kind not in (None, INVALID) or body is None:
                continue
            completion = completions[place] if kind is None else parse_completion(body)
            found = None if self._schema is None else self._schema.read(completion.response)
            if isinstance(found, Complaint):
                kinds[place], errors[place] = INVALID, _error(found, completion.response)
                completions[place] = of_failure(completion)
                self.example = self.example or found.text
            else:
                kinds[place], errors[place] = None, None
                completions[place], objects[place] = completion, found
        self._count(outcomes["model"], outcomes["kind"], kinds)
        judged = {**outcomes, "kind": kinds, "error": errors}
        return Answers(judged, completions, None if self._schema is None else objects)

    def _count(self, models: Sequence[str], before: Sequence[str | None], after: Sequence[str | None]) -> None:
        for model, old, new in zip(models, before, after, strict=True):
            if old != new:
                self.gained[model] += 1 if new is None else -1


def _error(complaint: Complaint, response: str | None) -> str:
    if not response:
        return f"{complaint.text}; there is no text"
    more = "…" if len(response) > _SHOWN_CHARS else ""
    return f"{complaint.text}; the answer: {response[:_SHOWN_CHARS]}{more}"
