"""Reads the answers of settled rows at each export, by the schema that is in force then."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from batchrun.answers.chat import NOTHING, Completion
from batchrun.answers.columns import AnswerColumns
from batchrun.answers.envelope import parse_completion
from batchrun.answers.schema import INVALID, KINDS, AnswerSchema, Complaint
from batchrun.records import AnswerSource, OutcomeColumns
from batchrun.results.columns import of_failure, shown_columns

_SHOWN_CHARS = 200
"""Most characters of an invalid answer that follow the complaint; the checkpoint has all of them."""

_Object = dict[str, Any]


class Answers(NamedTuple):
    """The answers of some settled rows."""

    outcomes: OutcomeColumns
    """With kind and error by the schema."""
    shown: Mapping[str, Sequence[Any]] | None
    """The shown parts of the answers: field of `Completion` → its values. None where `shown_columns` returns them."""
    objects: list[_Object | None] | None
    """The object of each answer; None without a schema."""


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
            return Answers(outcomes, None, None)
        kinds, errors = list(outcomes["kind"]), list(outcomes["error"])
        shown = {name: [*values] for name, values in shown_columns(outcomes).items()}
        objects: list[_Object | None] = [None] * len(kinds)
        if self._schema is not None:
            objects = self._schema.objects(shown["response"])
        for place, (kind, body) in enumerate(zip(outcomes["kind"], outcomes["body"], strict=True)):
            if body is None or (self._is_read(objects[place]) if kind is None else kind not in KINDS):
                continue
            completion = Completion(*(its[place] for its in shown.values())) if kind is None else parse_completion(body)
            if completion is NOTHING and kind != INVALID:  # an error of the endpoint has the same kind
                continue
            found = None if self._schema is None else self._schema.judge(completion)
            if isinstance(found, Complaint):
                kinds[place], errors[place] = found.kind, _error(found, completion.response)
                self.examples.setdefault(found.kind, found.text)
                completion, found = of_failure(completion), None
            else:
                kinds[place], errors[place] = None, None
            objects[place] = found
            for name, value in completion._asdict().items():
                shown[name][place] = value
        self._count(outcomes, kinds)
        judged = {**outcomes, "kind": kinds, "error": errors}
        return Answers(judged, shown, None if self._schema is None else objects)

    def _is_read(self, found: _Object | None) -> bool:
        """Return whether nothing is left to be found in a completed row."""
        return self._schema is None or found is not None

    def _count(self, outcomes: OutcomeColumns, after: Sequence[str | None]) -> None:
        before = outcomes["kind"]
        for place, (old, new) in enumerate(zip(before, after, strict=True)) if [*before] != after else ():
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
