"""Tables of labels: confusion of classes, with precision and recall of each. Pure."""

from collections import Counter
from typing import NamedTuple

MOST_CLASSES = 50
"""A larger confusion table is unreadable."""

MOST_NUMBERS = 11
"""Ratings from 0 to 10. More numbers than these are right answers that repeat, as in arithmetic: an assumption."""

_LEAST_SUPPORT = 5
"""Fewest rows per class on average: with fewer, the targets are free answers that happen to repeat."""

_MOST_PREDICTIONS = 1_000
"""Most predictions that are counted separately: models may answer anything besides the classes."""

_LONGEST_LABEL = 100
"""Most characters of a label; a longer target is not a label."""


class ClassScore(NamedTuple):
    """Precision and recall of one class."""

    label: str
    support: int
    """Rows whose target is this class."""
    predicted: int
    """Rows whose prediction is this class."""
    precision: float | None
    """Share of the predictions of this class that are right; None without predictions."""
    recall: float
    """Share of the rows of this class that were predicted right."""
    f1: float
    """Harmonic mean of precision and recall; 0 when no row was right."""


class LabelTable(NamedTuple):
    """The confusion of classes over all scored rows of a model."""

    accuracy: float
    macro_f1: float
    """Mean over the classes, with equal weights."""
    classes: list[ClassScore]
    """Most frequent first."""
    confusion: list[list[int]]
    """Rows are targets, columns are predictions, both in the order of `classes`. One more column at the end counts
    predictions outside the classes, and answers without a prediction."""


class LabelCounts:
    """Counts pairs of target and prediction, in bounded memory; gives up when the targets are not labels."""

    def __init__(self, most_classes: int = MOST_CLASSES) -> None:
        """Start with nothing.

        Args:
            most_classes: with more different targets than these, the targets are not labels.
        """
        self._most_classes = most_classes
        self._pairs: Counter[tuple[str, str | None]] = Counter()
        self._targets: set[str] = set()
        self._predictions: set[str] = set()
        self._are_labels = True

    def add(self, target: str, prediction: str | None) -> None:
        """Count a scored row."""
        if not self._are_labels:
            return
        if target not in self._targets:
            self._targets.add(target)
            if len(target) > _LONGEST_LABEL or len(self._targets) > self._most_classes:
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
        """Return the table; None when it would show nothing.

        The targets are not labels when they are fewer than two, too many, or too rarely repeated. A table without a
        prediction in one of its classes is empty.
        """
        total = self._pairs.total()
        if len(self._targets) < 2 or total < _LEAST_SUPPORT * len(self._targets):
            return None
        support: Counter[str] = Counter()
        for (target, _), count in self._pairs.items():
            support[target] += count
        labels = sorted(support, key=lambda label: (-support[label], label))
        confusion = [self._line(label, labels, support[label]) for label in labels]
        if not any(any(line[:-1]) for line in confusion):
            return None
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
