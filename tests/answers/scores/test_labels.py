"""Tables of labels, compared with those of scikit-learn 1.9."""

import pytest

from batchrun.answers.scores.labels import LabelCounts, LabelTable

PAIRS = (
    [("pos", "pos")] * 29
    + [("pos", "junk")] * 5
    + [("pos", None)]
    + [("neg", "pos")]
    + [("neg", "neg")] * 10
    + [("neg", "junk")] * 2
    + [("mixed", "pos")]
    + [("mixed", "neg")]
    + [("mixed", "mixed")] * 10
)


def table_of(pairs: list[tuple[str, str | None]]) -> LabelTable | None:
    """Return the table of targets and predictions."""
    counts = LabelCounts()
    for target, prediction in pairs:
        counts.add(target, prediction)
    return counts.table()


@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[::-1]])
def test_counts_precision_recall_and_f1_match_scikit_learn(pairs: list[tuple[str, str | None]]) -> None:
    """Source: precision_recall_fscore_support and confusion_matrix, labels=["pos", "neg", "mixed", "junk"]."""
    table = table_of(pairs)
    assert table is not None
    assert table.accuracy == pytest.approx(0.8166666666666667)
    assert table.macro_f1 == pytest.approx(0.8737373737373737)
    assert [(each.label, each.support, each.predicted) for each in table.classes] == [
        ("pos", 35, 31),
        ("neg", 13, 11),
        ("mixed", 12, 10),
    ]
    assert [each.precision for each in table.classes] == pytest.approx([0.93548387, 0.90909091, 1.0])
    assert [each.recall for each in table.classes] == pytest.approx([0.82857143, 0.76923077, 0.83333333])
    assert [each.f1 for each in table.classes] == pytest.approx([0.87878788, 0.83333333, 0.90909091])
    assert table.confusion == [[29, 0, 0, 6], [1, 10, 0, 2], [1, 1, 10, 0]]


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    """None of its rows is right, so its F1 is 0."""
    table = table_of([("a", "a")] * 5 + [("b", "a")] * 5)
    assert table is not None
    assert (table.classes[1].precision, table.classes[1].recall, table.classes[1].f1) == (None, 0.0, 0.0)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("a", "a")] * 100,
        [(str(number), "a") for number in range(40)] * 4,
        [(str(number), "a") for number in range(51)] * 100,
        [("x" * 101, "a"), ("b", "b")] * 100,
        [("a", "junk"), ("b", None)] * 100,
    ],
)
def test_targets_that_are_not_labels_or_never_predicted_have_no_table(pairs: list[tuple[str, str | None]]) -> None:
    """No target, a single class, few rows per class, too many classes, a class that is too long, an empty table."""
    assert table_of(pairs) is None


def test_fifty_classes_are_still_labels() -> None:
    """That is the largest number that a table shows."""
    table = table_of([(str(number), "0") for number in range(50)] * 5)
    assert table is not None
    assert len(table.classes) == 50


def test_answers_other_than_the_classes_need_bounded_memory() -> None:
    """They are counted, and classes that come after them are still recognised."""
    counts = LabelCounts()
    for number in range(5_000):
        counts.add("ab"[number % 2], f"I think it is number {number}")
    for label in "ab" * 10:
        counts.add(label, label)
    counts.add("a", "y" * 10**6)
    assert len(counts._pairs) < 1_010
    table = counts.table()
    assert table is not None
    assert table.confusion == [[10, 0, 2501], [0, 10, 2500]]
