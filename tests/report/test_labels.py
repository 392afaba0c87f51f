"""The values in the columns of the answers, counted by model."""

from typing import Any

import pyarrow as pa

from batchrun.report.labels import ALL_MODELS, Labels, count_labels

TYPES = {
    "label": pa.dictionary(pa.int32(), pa.string()),
    "sure": pa.bool_(),
    "stars": pa.int64(),
    "tags": pa.list_(pa.string()),
    "reason": pa.string(),
    "place": pa.struct([("city", pa.string())]),
}


def counted(write_results: Any, rows: list[dict[str, Any]], *models: str) -> dict[str, Labels]:
    """Return the counts of all columns by name."""
    path = write_results(*rows, typed=TYPES)
    return {each.name: each for each in count_labels(path, list(TYPES), models)}


def test_the_values_of_completed_rows_are_counted_by_model(write_results: Any) -> None:
    """Labels, booleans, numbers and the elements of lists; nulls are counted too. Objects are left out."""
    rows = [
        {"model": "a", "label": "good", "sure": True, "stars": 5, "tags": ["x", "y"]},
        {"model": "a", "label": "bad", "sure": None, "stars": 1, "tags": []},
        {"model": "b", "label": "good", "sure": False, "stars": 5, "tags": ["x"], "place": {"city": "Bonn"}},
        {"model": "b", "status": "failed", "label": "odd", "sure": True, "stars": 3},
    ]
    found = counted(write_results, rows, "a", "b")
    assert list(found) == ["label", "sure", "stars", "tags", "reason"]
    assert found["label"].values == {"a": {"good": 1, "bad": 1}, "b": {"good": 1}}
    assert (found["label"].rows, found["sure"].nulls["a"], found["sure"].nulls["b"]) == ({"a": 2, "b": 1}, 1, 0)
    assert found["stars"].values == {"a": {5: 1, 1: 1}, "b": {5: 1}}
    assert found["tags"].values == {"a": {"x": 1, "y": 1}, "b": {"x": 1}}


def test_many_models_are_counted_together(write_results: Any) -> None:
    """The page has no room for a column each."""
    models = [f"m{number}" for number in range(9)]
    found = counted(write_results, [{"model": model, "label": "good"} for model in models], *models)
    assert found["label"].values == {ALL_MODELS: {"good": 9}}


def test_free_texts_are_not_counted(write_results: Any) -> None:
    """Neither long ones nor many different ones: a million of them would fill the memory."""
    long = counted(write_results, [{"reason": "x" * 101}], "m")["reason"]
    many = counted(write_results, [{"reason": str(number)} for number in range(1_001)], "m")["reason"]
    few = counted(write_results, [{"reason": str(number % 7)} for number in range(1_001)], "m")["reason"]
    assert (long.values, many.values) == (None, None)
    assert few.different == 7


def test_many_different_numbers_keep_their_distribution(write_results: Any) -> None:
    """Their single values are forgotten."""
    stars = counted(write_results, [{"stars": number} for number in range(-1_000, 1_001)], "m")["stars"]
    assert stars.values is None
    assert stars.numbers["m"].count == 2_001
    assert abs(stars.numbers["m"].quantile(0.75) - 500) < 2
