"""The distributions of answers as charts."""

import re
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from batchrun.report.charts import Chart, bars, chart_of, is_barred, short_names
from batchrun.report.labels import ALL_MODELS, Labels, Shape


def labels_of(kind: Any, *values: Any, is_list: bool = False, is_choice: bool = False, per_prompt: float = 1) -> Labels:
    """Return the counts of a column with these values."""
    labels = Labels("c", Shape(kind, is_list, is_choice), groups=["m"], per_prompt=per_prompt)
    types = {"text": pa.string(), "boolean": pa.bool_()}
    own = None if is_list else types.get(kind)
    labels.add("m", pa.chunked_array([pa.array(values, own)]))
    return labels


def shown(chart: Chart | None) -> list[tuple[str, int]]:
    """Return label and count of each bar of the first model."""
    assert chart is not None
    return [(line.label, line.bars[0].answers) for line in chart.lines]


def test_labels_come_by_frequency_numbers_and_booleans_in_their_order() -> None:
    """Nulls come last."""
    assert shown(chart_of(labels_of("text", "b", "a", "b", "b", "a", None))) == [("b", 3), ("a", 2), ("null", 1)]
    assert shown(chart_of(labels_of("number", 10, 2, 2, 2))) == [("2", 3), ("10", 1)]
    assert shown(chart_of(labels_of("boolean", False, False, True))) == [("true", 1), ("false", 2)]


def test_shares_are_of_the_answers_of_a_model_and_the_longest_bar_is_full() -> None:
    """Models may have different numbers of answers."""
    counts = {"own/a": Counter(x=30, y=10), "own/b": Counter(x=5)}
    chart = bars("c", counts, {"own/a": 40, "own/b": 5})
    assert chart.models == ["a", "b"]
    (x, y) = chart.lines
    assert [(each.answers, each.share, each.width) for each in x.bars] == [(30, 75, 75), (5, 100, 100)]
    assert [(each.answers, each.share) for each in y.bars] == [(10, 25), (0, 0)]


def test_many_models_are_marked_as_counted_together() -> None:
    assert bars("c", {ALL_MODELS: Counter(x=1)}, {ALL_MODELS: 1}).notes == ["all models together"]
    assert bars("c", {"m": Counter(x=1)}, {"m": 1}).notes == []


def test_rare_labels_are_added_up() -> None:
    """All counts together are still those of the answers."""
    values = [str(number) for number in range(30) for _ in range(2 + number)]
    lines = shown(chart_of(labels_of("text", *values)))
    assert len(lines) == 13
    assert lines[0] == ("29", 31)
    assert lines[-1][0] == "18 other values"
    assert sum(count for _, count in lines) == len(values)


def test_values_of_lists_are_shares_of_the_answers() -> None:
    """One answer can have several."""
    chart = chart_of(labels_of("text", ["a", "b"], ["a"], is_list=True))
    assert chart is not None
    assert [(line.label, line.bars[0].share) for line in chart.lines] == [("a", 100), ("b", 50)]
    assert "several values" in chart.notes[0]


@pytest.mark.parametrize(
    ("kind", "values", "barred"),
    [
        ("text", ["yes", "no", "yes"], True),
        ("text", ["one thing", "another", "a third"], False),
        ("boolean", [True], True),
        ("number", [1, 2, 3], True),
        ("number", list(range(21)), False),
        ("text", [None], False),
    ],
)
def test_only_labels_have_bars(kind: str, values: list[Any], barred: bool) -> None:
    """Texts of which each is another are free texts: answers that differ in them may mean the same."""
    assert is_barred(labels_of(kind, *values)) == barred


def test_equal_answers_to_the_same_prompt_do_not_make_labels() -> None:
    """At temperature 0 all samples are the same text. What the schema lists is always a label."""
    texts = [text for text in ("one thing", "another", "a third") for _ in range(4)]
    assert is_barred(labels_of("text", *texts))
    assert not is_barred(labels_of("text", *texts, per_prompt=4))
    assert is_barred(labels_of("text", *texts, per_prompt=4, is_choice=True))


def test_many_numbers_have_a_histogram_with_their_quantiles() -> None:
    """Drawn wide and narrow, with the counts shown next to the pointer."""
    chart = chart_of(labels_of("number", *(number / 10 for number in range(1, 1_001))))
    assert chart is not None
    assert chart.lines == []
    assert chart.notes == ["median 50, the middle 80 % from 10 to 90"]
    assert len(chart.svgs) == 2
    assert "25 answers" in chart.svgs[0]


def test_a_number_far_away_does_not_flatten_the_histogram() -> None:
    """Its axis ends near the other numbers."""
    chart = chart_of(labels_of("number", *range(100, 300), 10**9))
    assert chart is not None
    assert "M</text>" not in chart.svgs[0]


def test_free_texts_and_no_answers_have_no_chart() -> None:
    assert chart_of(labels_of("text", "a", "b", "c")) is None
    assert chart_of(Labels("c", Shape("text"), groups=["m"])) is None


def test_names_are_short_where_they_stay_different() -> None:
    assert short_names(["a/x", "b/x", "c/y", "z"]) == {"a/x": "a/x", "b/x": "b/x", "c/y": "y", "z": "z"}


def test_the_histogram_of_integers_is_smooth() -> None:
    """Sixty integers that are equally frequent are equally high in forty columns."""
    labels = Labels("n", Shape("number", is_whole=True), groups=["m"])
    labels.add("m", pa.chunked_array([pa.array([*range(60)] * 8)]))
    chart = chart_of(labels)
    assert chart is not None
    counts = re.findall(r"\n(.* answers?)<", chart.svgs[0])
    assert len(counts) == 40
    assert {*counts} == {"12 answers"}
