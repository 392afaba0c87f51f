"""Compares two runs, or two models, prompt by prompt: differences of scores, agreement of labels, rows that changed."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from batchrun.answers.scores.agreement import IntervalAlpha, NominalAlpha
from batchrun.answers.scores.pairs import PairedScores
from batchrun.errors import JobError
from batchrun.prompts.input.files import nearest
from batchrun.report.sides import Compared, PromptAnswers, Side, compared_in, ids_of, prompts_of


class ChangedRow(NamedTuple):
    """A prompt whose answers differ between the sides."""

    a: PromptAnswers
    b: PromptAnswers
    gain: float
    """How much the first score that differs is higher on side B; below zero, B lost."""


class Agreement:
    """How often the majority labels of both sides are the same."""

    def __init__(self, *, are_numbers: bool = False, are_free_texts: bool = False) -> None:
        self.prompts = self.same = 0
        """Prompts where both sides have a label, and those where it is the same."""
        self._alpha: NominalAlpha | IntervalAlpha = IntervalAlpha() if are_numbers else NominalAlpha()
        self._has_alpha = not are_free_texts

    def add(self, a: Any, b: Any) -> None:
        """Add one prompt; one without a label on a side does not count."""
        if a is not None and b is not None:
            self.prompts += 1
            self.same += a == b
            if self._has_alpha:
                self._alpha.add([a, b])

    @property
    def alpha(self) -> float | None:
        """Krippendorff's alpha between the sides; None of free texts, which are not labels."""
        return self._alpha.alpha


class Difference:
    """What a comparison finds."""

    def __init__(self, compared: Compared, most: int) -> None:
        self.compared, self._most = compared, most
        self.scores = {name: PairedScores() for name in compared.scores}
        self.labels = {
            name: Agreement(are_numbers=name in compared.numbers, are_free_texts=compared.are_free_texts)
            for name in compared.labels
        }
        self.prompts = self.only_a = self.only_b = self.changed = self.other_inputs = 0
        """Prompts on both sides, on one side, changed ones, and those whose columns of the input differ."""
        self._first: list[tuple[float, int, ChangedRow]] = []

    @property
    def first(self) -> list[ChangedRow]:
        """Changed rows, those where B lost most first, then in the order of the input."""
        return [row for _, _, row in sorted(self._first, key=lambda each: (-each[0], -each[1]))]

    def add(self, a: PromptAnswers, b: PromptAnswers) -> ChangedRow | None:
        """Add a prompt that both sides have; return it if it changed."""
        self.prompts += 1
        self.other_inputs += a.inputs != b.inputs
        gains = []
        for name, one, other in zip(self.compared.scores, a.scores, b.scores, strict=True):
            if one is not None and other is not None:
                self.scores[name].add(one, other)
                gains.append(other - one)
        for name, left, right in zip(self.compared.labels, a.labels, b.labels, strict=True):
            self.labels[name].add(left, right)
        has_other_label = a.labels != b.labels and not (self.compared.are_free_texts and self.compared.scores)
        if not any(gains) and not has_other_label:
            return None
        self.changed += 1
        changed = ChangedRow(a, b, next(filter(None, gains), 0.0))
        entry = (-changed.gain, -a.row, changed)
        (heapq.heappush if len(self._first) < self._most else heapq.heappushpop)(self._first, entry)
        return changed


def difference_of(
    a: Side, b: Side, *, by: str | None, most: int, each: Callable[[ChangedRow], None] | None = None
) -> Difference:
    """Compare two sides.

    Rows are paired by their numbers where the ids on both sides are the same, which needs memory for a batch of rows;
    otherwise by `custom_id`, or by a column, which needs memory for one side.

    Args:
        a: one side.
        b: the other.
        by: column of the results that rows are paired by.
        most: most changed rows to keep.
        each: called with every changed row, in the order of side A.

    Raises:
        JobError: the rows cannot be paired.
    """
    compared = compared_in(a, b)
    found = Difference(compared, most)
    for pair in _pairs(a, b, compared, by):
        if pair[0] is None:
            found.only_b += 1
        elif pair[1] is None:
            found.only_a += 1
        elif (changed := found.add(pair[0], pair[1])) is not None and each is not None:
            each(changed)
    if not found.prompts:
        cure = "--by COLUMN pairs rows by a column that is the same on both sides"
        raise JobError(f"{a.directory} and {b.directory}: have no row in common, by number or id; {cure}")
    return found


def _pairs(
    a: Side, b: Side, compared: Compared, by: str | None
) -> Iterator[tuple[PromptAnswers | None, PromptAnswers | None]]:
    """Yield the prompts of both sides in pairs; None where a side does not have it."""
    if by is None and _have_same_ids(a, b):
        yield from _merged(prompts_of(a, compared), prompts_of(b, compared))
        return
    for side in (a, b):
        if by is not None and by not in side.schema.names:
            known = side.schema.names
            raise JobError(f"{side.directory}: the results have no column {by}{nearest(by, known)}")
    others: dict[str | None, PromptAnswers] = {}
    for each in prompts_of(b, compared, by):
        if each.key_by(by) in others:
            raise _not_unique(b, by, each.key_by(by))
        others[each.key_by(by)] = each
    seen: set[str | None] = set()
    for each in prompts_of(a, compared, by):
        if each.key_by(by) in seen:
            raise _not_unique(a, by, each.key_by(by))
        seen.add(each.key_by(by))
        yield each, others.pop(each.key_by(by), None)
    for each in others.values():
        yield None, each


def _not_unique(side: Side, by: str | None, key: str | None) -> JobError:
    cure = "--by COLUMN pairs rows by a column whose values are unique"
    return JobError(f"{side.directory}: more than one row has {by or 'custom_id'} = {key}; {cure}")


def _have_same_ids(a: Side, b: Side) -> bool:
    """Return whether rows with the same number have the same id on both sides, and some are on both."""
    if a.results == b.results:
        return True
    ids, others = ids_of(a), ids_of(b)
    one, other = next(ids, None), next(others, None)
    shared = False
    while one is not None and other is not None:
        if one[0] == other[0]:
            if one[1] != other[1]:
                return False
            shared = True
            one, other = next(ids, None), next(others, None)
        elif one[0] < other[0]:
            one = next(ids, None)
        else:
            other = next(others, None)
    return shared


def _merged(
    a: Iterator[PromptAnswers], b: Iterator[PromptAnswers]
) -> Iterator[tuple[PromptAnswers | None, PromptAnswers | None]]:
    """Yield the prompts of both sides by their row numbers, which ascend."""
    one, other = next(a, None), next(b, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.row < other.row):
            yield one, None
            one = next(a, None)
        elif one is None or other.row < one.row:
            yield None, other
            other = next(b, None)
        else:
            yield one, other
            one, other = next(a, None), next(b, None)
