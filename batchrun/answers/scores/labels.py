"""Tables of labels: which class was taken for which, and how well each is told from the others."""

from collections import Counter
from typing import NamedTuple

_MOST_CLASSES = 50
"""A confusion table with more cannot be read."""

_LEAST_SUPPORT = 5
"""Rows that a class has on average, at least: with fewer, the targets are free answers that happen to repeat."""

_MOST_PREDICTIONS = 1_000
"""Different predictions that are told apart, at most: what a model says beside the classes has no end."""

_LONGEST_LABEL = 100
"""Characters of a label, at most; a longer target is no label."""


class ClassScore(NamedTuple):
    """How well one class is told from the others."""

    label: str
    support: int
    """Rows that are of this class."""
    predicted: int
    """Rows that were said to be."""
    precision: float | None
    """Share of the rows said to be of this class that are; None when none was."""
    recall: float
    """Share of the rows of this class that were said to be."""
    f1: float
    """Harmonic mean of the two; 0 when no row was right."""


class LabelTable(NamedTuple):
    """What was taken for what, over all rows of a model that were scored."""

    accuracy: float
    macro_f1: float
    """Mean over the classes, each counting the same."""
    classes: list[ClassScore]
    """Most frequent first."""
    confusion: list[list[int]]
    """Rows: what is right; columns: what was said; both in the order of `classes`. The last column, one more, counts
    predictions that are none of the classes, and answers in which nothing was found."""


class LabelCounts:
    """Counts pairs of target and prediction, in bounded memory; gives up when the targets are no labels."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str | None]] = Counter()
        self._targets: set[str] = set()
        self._predictions: set[str] = set()
        self._are_labels = True

    def add(self, target: str, prediction: str | None) -> None:
        """Count a row that was scored."""
        if not self._are_labels:
            return
        if target not in self._targets:
            self._targets.add(target)
            if len(target) > _LONGEST_LABEL or len(self._targets) > _MOST_CLASSES:
                self._give_up()
                return
        self._pairs[target, self._known(prediction)] += 1

    def _known(self, prediction: str | None) -> str | None:
        if prediction is None or prediction in self._predictions:
            return prediction
        if len(prediction) > _LONGEST_LABEL or len(self._predictions) >= _MOST_PREDICTIONS:
            return prediction if prediction in self._targets else None
        self._predictions.add(prediction)
        return prediction

    def _give_up(self) -> None:
        self._are_labels = False
        self._pairs.clear()
        self._targets.clear()
        self._predictions.clear()

    def table(self) -> LabelTable | None:
        """Return the table; None when the targets are no labels: fewer than two, too many, or too rarely repeated."""
        total = self._pairs.total()
        if len(self._targets) < 2 or total < _LEAST_SUPPORT * len(self._targets):
            return None
        support: Counter[str] = Counter()
        for (target, _), count in self._pairs.items():
            support[target] += count
        labels = sorted(support, key=lambda label: (-support[label], label))
        confusion = [self._line(label, labels, support[label]) for label in labels]
        classes = [_class_score(label, place, confusion) for place, label in enumerate(labels)]
        return LabelTable(
            accuracy=sum(confusion[place][place] for place in range(len(labels))) / total,
            macro_f1=sum(each.f1 for each in classes) / len(classes),
            classes=classes,
            confusion=confusion,
        )

    def _line(self, target: str, labels: list[str], support: int) -> list[int]:
        counts = [self._pairs[target, label] for label in labels]
        return [*counts, support - sum(counts)]


def _class_score(label: str, place: int, confusion: list[list[int]]) -> ClassScore:
    right = confusion[place][place]
    support = sum(confusion[place])
    predicted = sum(line[place] for line in confusion)
    return ClassScore(
        label=label,
        support=support,
        predicted=predicted,
        precision=right / predicted if predicted else None,
        recall=right / support,
        f1=2 * right / (support + predicted),
    )
