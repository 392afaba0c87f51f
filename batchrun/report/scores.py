"""The scores of the report: one table for each column of scores, and one for its groups."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from batchrun.job.evaluate import SCORE


class ScoreTable(NamedTuple):
    """The scores in one column of the results."""

    column: str
    scores: Sequence[Mapping[str, Any]]
    """As in run.json, one entry per model that has a score."""

    @property
    def axis(self) -> tuple[float, float]:
        """The ends of the axis of scores: 0 and 1, or more where scores are outside."""
        ends = [end for score in self.scores for end in score["interval"] or [score["mean"]]]
        return min(0.0, *ends), max(1.0, *ends)

    def place(self, score: float) -> float:
        """Return the place of a score on its axis, 0 to 100."""
        low, high = self.axis
        return 100 * (score - low) / (high - low)

    @property
    def groups(self) -> list[tuple[str, list[Mapping[str, Any] | None]]]:
        """The groups, each with the entry of every model; None where a model has no row of it."""
        by_model = [{each["group"]: each for each in score.get("groups", ())} for score in self.scores]
        names = dict.fromkeys(group for its in by_model for group in its)
        return [(name or "no group", [its.get(name) for its in by_model]) for name in names]


def score_tables(scores: Iterable[Mapping[str, Any]]) -> list[ScoreTable]:
    """Return the tables of a run's scores, in the order of its columns; models without a score are left out."""
    scored = (each for each in scores if each["mean"] is not None)
    return [ScoreTable(column, list(its)) for column, its in groupby(scored, lambda each: each.get("column", SCORE))]
