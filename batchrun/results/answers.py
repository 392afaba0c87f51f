"""Reads the answers of settled rows at each export, by the schema that is in force then."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from batchrun.answers.chat import NOTHING, Completion
from batchrun.answers.columns import AnswerColumns
from batchrun.answers.envelope import parse_completion
from batchrun.answers.schema import INVALID, KINDS, AnswerSchema, Complaint
from batchrun.records import AnswerSource, OutcomeColumns
from batchrun.results.columns import of_failure, shown_completions

_SHOWN_CHARS = 200
"""Most characters of an invalid answer that follow the complaint; the checkpoint has all of them."""

_Object = dict[str, Any]


class Answers(NamedTuple):
    """The answers of some settled rows."""

    outcomes: OutcomeColumns
    """With kind and error by the schema."""
    completions: Iterable[Completion]
    """The shown parts of each answer; for one pass."""
    objects: list[_Object | None] | None
    """The object of each answer; None without a schema."""
    are_as_stored: bool = False
    """Whether the completions are those that `shown_completions` returns."""


class AnswerReader:
    """Reads answers by a schema: a row is completed, or failed as `invalid_response`.

    Rows that failed for another reason stay failed.
    """

    def __init__(self, schema: AnswerSchema | None) -> None:
        """Read by a schema; without one, every answer is valid."""
        self._schema = schema
        self.columns = None if schema is None else AnswerColumns(schema)
        """The columns of the answers."""
        self.gained: Counter[AnswerSource] = Counter()
        """Source → rows completed here and failed in the run, minus rows failed here and completed in the run."""
        self.failures: Counter[str] = Counter()
        """Kind → rows that failed with it here and not in the run, minus those of the other way round."""
        self.examples: dict[str, str] = {}
        """Kind → the complaint about one of the invalid answers."""

    def read(self, outcomes: OutcomeColumns) -> Answers:
        """Return the answers of these rows."""
        if self._schema is None and KINDS.isdisjoint(outcomes["kind"]):
            return Answers(outcomes, shown_completions(outcomes), None, are_as_stored=True)
        kinds, errors = list(outcomes["kind"]), list(outcomes["error"])
        completions = list(shown_completions(outcomes))
        objects: list[_Object | None] = [None] * len(kinds)
        for place, (kind, body) in enumerate(zip(outcomes["kind"], outcomes["body"], strict=True)):
            if body is None or not (kind is None or kind in KINDS):
                continue
            completion = completions[place] if kind is None else parse_completion(body)
            if completion is NOTHING and kind != INVALID:  # an error of the endpoint has the same kind
                continue
            found = None if self._schema is None else self._schema.judge(completion)
            if isinstance(found, Complaint):
                kinds[place], errors[place] = found.kind, _error(found, completion.response)
                completions[place] = of_failure(completion)
                self.examples.setdefault(found.kind, found.text)
            else:
                kinds[place], errors[place] = None, None
                completions[place], objects[place] = completion, found
        self._count(outcomes, kinds)
        judged = {**outcomes, "kind": kinds, "error": errors}
        return Answers(judged, completions, None if self._schema is None else objects)

    def _count(self, outcomes: OutcomeColumns, after: Sequence[str | None]) -> None:
        for place, (old, new) in enumerate(zip(outcomes["kind"], after, strict=True)):
            if old != new:
                source = AnswerSource(*(outcomes[name][place] for name in ("model", "endpoint", "answered_by")))
                self.gained[source] += (new is None) - (old is None)
                self.failures.update({kind: change for kind, change in ((old, -1), (new, 1)) if kind is not None})


def _error(complaint: Complaint, response: str | None) -> str:
    if complaint.kind != INVALID:
        return complaint.text
    if not response:
        return f"{complaint.text}: it has no text"
    more = "…" if len(response) > _SHOWN_CHARS else ""
    return f"{complaint.text}; the answer: {response[:_SHOWN_CHARS]}{more}"
