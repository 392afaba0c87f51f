"""A column of scores in the results, added up by model and by group."""

from typing import Any

import pyarrow as pa

from batchrun.answers.scores.scorers import Score, target_text
from batchrun.answers.scores.tables import Evaluation, ModelScores
from batchrun.job.evaluate import SCORE
from batchrun.prompts.input.arrow import python_values
from batchrun.results.row_scorers import Objects, RowScorer

MOST_GROUPS = 200
"""Most values of the column `by`: with more, it does not name groups, and memory would grow with the run."""


class Scoring:
    """Scores the rows of the results in order, as they are written: one column of scores."""

    def __init__(self, scorer: RowScorer, samples: int, *, column: str = SCORE, by: str | None = None) -> None:
        """Start with nothing.

        Args:
            scorer: scores them.
            samples: answers per prompt and model.
            column: name of the column of scores.
            by: column of the results whose values are groups.
        """
        self.scorer, self.column, self._by = scorer, column, by
        self._evaluation = Evaluation(samples, scorer.most_labels)
        self._groups: dict[str | None, Evaluation] = {}
        self.has_too_many_groups = False

    def scores(self, rows: pa.RecordBatch, objects: Objects) -> list[Score]:
        """Return the scores of the next rows."""
        scores = self.scorer(rows, objects)
        models, numbers = rows.column("model").to_pylist(), rows.column("row").to_pylist()
        for each in zip(models, numbers, scores, strict=True):
            self._evaluation.add(*each)
        if self._by is not None and not self.has_too_many_groups:
            groups = map(target_text, python_values(rows.column(self._by)))
            for group, model, row, score in zip(groups, models, numbers, scores, strict=True):
                self._add_to(group, model, row, score)
        return scores

    def _add_to(self, group: str | None, model: str, row: int, score: Score) -> None:
        its = self._groups.get(group)
        if its is None:
            if len(self._groups) >= MOST_GROUPS:
                self.has_too_many_groups = True
                self._groups.clear()
            if self.has_too_many_groups:
                return
            its = self._groups[group] = Evaluation(most_labels=0)
        its.add(model, row, score)

    def table(self) -> list[dict[str, Any]]:
        """Return one entry per model, as JSON can hold it."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for group in sorted(self._groups, key=lambda each: (each is None, each)):
            for scores in self._groups[group].scores():
                groups.setdefault(scores.model, []).append({"group": group, **_mean(scores)})
        return [
            _entry(each, self.column, groups.get(each.model, [])) for each in self._evaluation.scores() if each.model
        ]


def _entry(scores: ModelScores, column: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    labels = scores.labels
    return {
        "model": scores.model,
        "column": column,
        **_mean(scores),
        "pass_at": {str(k): share for k, share in scores.pass_at.items()},
        "labels": labels and {**labels._asdict(), "classes": [each._asdict() for each in labels.classes]},
        "groups": groups,
    }


def _mean(scores: ModelScores) -> dict[str, Any]:
    return {
        "scored": scores.scored,
        "unscored": scores.unscored,
        "prompts": scores.prompts,
        "mean": scores.mean,
        "interval": scores.interval and list(scores.interval),
    }
