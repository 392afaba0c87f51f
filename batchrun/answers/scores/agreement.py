"""How far answers to the same prompt agree: the majority label, and Krippendorff's alpha over all prompts. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

MOST_LABELS = 100_000
"""Most different labels that are counted: with more, the answers are free texts, and memory would grow with the run."""


class Vote(NamedTuple):
    """What most answers to a prompt say."""

    label: Hashable | None
    """None where two labels tie, or no answer has a label."""
    share: float | None
    """Share of the most frequent label among the answers that have one; None without any."""


NO_VOTE = Vote(None, None)


def vote_of(labels: Iterable[Hashable | None]) -> Vote:
    """Return the majority of the answers to one prompt; an answer without a label (None) has no vote."""
    counts = Counter(label for label in labels if label is not None)
    if not counts:
        return NO_VOTE
    (label, most), *others = counts.most_common(2)
    is_tie = bool(others) and others[0][1] == most
    return Vote(None if is_tie else label, most / counts.total())


class NominalAlpha:
    """Krippendorff's alpha of labels: two labels are equal or not. In bounded memory.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C, any number of observers and
    missing data.
    """

    metric = "nominal"

    def __init__(self) -> None:
        self._pairable = 0
        self._counts: Counter[Hashable] = Counter()
        self._same = 0.0  # the diagonal of the matrix of coincidences

    def add(self, labels: list[Hashable]) -> None:
        """Add the labels of one prompt, without missing ones. A single label cannot agree and is left out."""
        if len(labels) < 2 or len(self._counts) > MOST_LABELS:
            return
        if len(labels) == 2:  # the usual case of a comparison, in a third of the time
            one, other = labels
            self._pairable += 2
            self._counts[one] += 1
            self._counts[other] += 1
            self._same += 2.0 if one == other else 0.0
            return
        counts = Counter(labels)
        self._pairable += len(labels)
        self._counts.update(counts)
        self._same += sum(count * (count - 1) for count in counts.values()) / (len(labels) - 1)

    @property
    def alpha(self) -> float | None:
        """1: all agree, 0: no more than by chance; None where all labels are one and the same, or are too many."""
        count = self._pairable
        if count < 2 or len(self._counts) > MOST_LABELS:
            return None
        expected = sum(each * (each - 1) for each in self._counts.values()) / (count - 1)
        return None if expected == count else 1 - (count - self._same) / (count - expected)


class IntervalAlpha:
    """Krippendorff's alpha of numbers: labels that are close differ less than labels that are far apart.

    The difference of two numbers is squared, as in the interval metric. Numbers are summed as differences from the
    first one, to keep precision when they are large and close together.

    Source: as for `NominalAlpha`, section D.
    """

    metric = "interval"

    def __init__(self) -> None:
        self._pairable = 0
        self._origin = self._sum = self._squares = self._observed = 0.0

    def add(self, labels: list[float]) -> None:
        """Add the numbers of one prompt, likewise."""
        if len(labels) < 2:
            return
        if not self._pairable:
            self._origin = labels[0]
        shifted = [label - self._origin for label in labels]
        total, squares = sum(shifted), sum(each * each for each in shifted)
        self._pairable += len(labels)
        self._sum += total
        self._squares += squares
        if any(label != labels[0] for label in labels):  # where all agree, rounding would leave a rest
            self._observed += 2 * (len(labels) * squares - total * total) / (len(labels) - 1)

    @property
    def alpha(self) -> float | None:
        """Likewise."""
        count = self._pairable
        if count < 2:
            return None
        expected = 2 * (count * self._squares - self._sum * self._sum) / (count - 1)
        return None if expected <= 0 else 1 - self._observed / expected
