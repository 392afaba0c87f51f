"""Adds up the scores of each model: mean, interval, pass@k, labels. One pass over rows, in bounded memory. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from batchrun.answers.scores.intervals import Interval, Spread
from batchrun.answers.scores.labels import MOST_CLASSES, LabelCounts, LabelTable
from batchrun.answers.scores.scorers import Score

_STEPS = (1, 2, 5)
"""Values of k for pass@k: these times powers of ten, and the number of samples."""


class ModelScores(NamedTuple):
    """The scores of one model."""

    model: str
    scored: int
    """Answers with a score."""
    unscored: int
    """Rows without a score: failed, without a target, or not scored by the function."""
    prompts: int
    """Input rows with at least one score; the interval counts each once."""
    mean: float | None
    """Of all scores; None without scores."""
    interval: Interval | None
    """95 % interval of the mean; None with too few scores."""
    pass_at: dict[int, float]
    """k → the chance that at least one of k samples is right, over the prompts with at least k scores; empty with one
    sample per prompt, and when scores are not all 0 or 1."""
    labels: LabelTable | None
    """None when the targets are not labels, or none of them was ever predicted."""


class Evaluation:
    """Adds up the scores of a run, row by row."""

    def __init__(self, samples: int = 1, most_labels: int = MOST_CLASSES) -> None:
        """Start with nothing.

        Args:
            samples: answers per prompt and model.
            most_labels: with more different targets than these, the targets are not labels.
        """
        self._most_labels = most_labels
        self._ks = _ks(samples)
        self._models: dict[str, _ModelSums] = {}

    def add(self, model: str, row: int, score: Score) -> None:
        """Add one row of the results. All samples of one model for a prompt must follow one another."""
        sums = self._models.get(model)
        if sums is None:
            sums = self._models[model] = _ModelSums(self._ks, self._most_labels)
        sums.add(row, score)

    def scores(self) -> list[ModelScores]:
        """Return the scores of each model, in the order of their first rows; rows of new prompts may follow."""
        return [sums.scores(model) for model, sums in self._models.items()]


class _ModelSums:
    """The sums of one model, and those of the present prompt."""

    def __init__(self, ks: Iterable[int], most_labels: int) -> None:
        self._spread = Spread()
        self._labels = LabelCounts(most_labels)
        self._passed = dict.fromkeys(ks, (0.0, 0))  # sum of chances, prompts
        self._unscored = 0
        self._is_binary = True
        self._start(-1)

    def _start(self, row: int) -> None:
        self._row = row
        self._total = 0.0
        self._count = 0

    def add(self, row: int, score: Score) -> None:
        if row != self._row:
            self._end_prompt()
            self._start(row)
        if score.value is None:
            self._unscored += 1
            return
        self._total += score.value
        self._count += 1
        self._is_binary = self._is_binary and score.value in (0.0, 1.0)
        if score.target is not None:
            self._labels.add(score.target, score.prediction)

    def _end_prompt(self) -> None:
        if not self._count:
            return
        self._spread.add(self._total, self._count)
        if self._is_binary:
            self._add_passes(int(self._total))
        self._start(self._row)

    def _add_passes(self, right: int) -> None:
        for k, (chances, prompts) in self._passed.items():
            if k <= self._count:
                self._passed[k] = chances + pass_at_k(self._count, right, k), prompts + 1

    def scores(self, model: str) -> ModelScores:
        self._end_prompt()
        spread = self._spread
        passed = {k: chances / prompts for k, (chances, prompts) in self._passed.items() if prompts}
        return ModelScores(
            model=model,
            scored=spread.scores,
            unscored=self._unscored,
            prompts=spread.prompts,
            mean=spread.mean,
            interval=spread.wilson() if self._is_binary else spread.student(),
            pass_at=passed if self._is_binary else {},
            labels=self._labels.table(),
        )


def _ks(samples: int) -> list[int]:
    if samples < 2:
        return []
    steps = (step * 10**power for power in range(len(str(samples))) for step in _STEPS)
    return sorted({samples, *(k for k in steps if k <= samples)})


@lru_cache(maxsize=4096)
def pass_at_k(count: int, right: int, k: int) -> float:
    """Return the chance that at least one of k samples is right, estimated without bias from `count` samples.

    1 − C(count − right, k) / C(count, k), as a product, which does not overflow and keeps its digits.

    Args:
        count: samples that were scored, at least k.
        right: number of right samples.
        k: at least 1.

    Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2021).
    """
    none_right = 1.0
    for left in range(count - right + 1, count + 1):
        none_right *= max(0.0, 1 - k / left)
    return 1 - none_right
