"""JSON documents that are not JSON Lines."""

import pytest

from batchrun.prompts.input.json_document import document_problem, jq_filter


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"a": 1}, {"a"', ".[]"),
        ("[1, 2]", None),
        ("[[1], [2]]", None),
        ('["a", "b"]', ".[] | {prompt: .}"),
        ('[{"a": 1, }', None),
        ('{"a": 1}\n\n{"a": 2}', "."),
        ('{"data": [{"a": 1}], "n": 1}', '.["data"][]'),
        ('{"data": [{"a": 1}, {"a', '.["data"][]'),
        ('{"a": 1} x', None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_a_filter_is_offered_only_where_the_first_object_is_read(text: str, found: str | None) -> None:
    """An array of numbers has no rows."""
    assert jq_filter(text.encode()) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"data": [{"a": 1}]}', None),
        ('{\n "a": 1\n}\n{\n "a": 2\n}\n', None),
        ('{"data": [{"a": 1}, {"a', "it ends too early"),
        ('{"data": [{"a": 1}', "it ends too early"),
        ('{"data": [{"a": 1}}', "Expecting ',' delimiter (line 1, column 19)"),
        ('{"a": 1}\n{"b": ' + "[" * 100_000, "it is nested too deeply"),
    ],
)
def test_no_command_is_offered_for_json_that_is_not_whole(text: str, problem: str | None) -> None:
    """It would fail at the same place; of the beginning of a file nobody can tell."""
    message = document_problem(text.encode(), "a.json", is_whole=True)
    assert (f"is not whole JSON: {problem}; download or write it again" == message) is (problem is not None)
    assert ("jq -c" in message) is (problem is None)
    assert "is not whole" not in document_problem(text.encode(), "a.json")
