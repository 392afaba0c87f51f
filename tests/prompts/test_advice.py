"""What messages about rows advise."""

from typing import Any

import pytest

from batchrun.errors import InputError
from batchrun.prompts.advice import other_form, template_flag
from batchrun.prompts.rows import RowForms
from batchrun.prompts.source import Source

MESSAGES = [{"role": "user", "content": "q"}]
TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.mark.parametrize(
    ("row", "what", "has_cure"),
    [
        ({"custom_id": "a", "params": {"model": "m", "messages": MESSAGES}}, "Anthropic", True),
        ({"custom_id": "a", "params": {"messages": MESSAGES, "system": "s"}}, "Anthropic", False),
        ({"custom_id": "a", "params": {"messages": [{"role": "user", "content": [{}]}]}}, "Anthropic", False),
        ({"key": "a", "request": {"contents": []}}, "Google", False),
        ({"conversations": TURNS}, "from and value", True),
        ({"conversations": [{"from": "tool", "value": "q"}]}, "from and value", False),
    ],
)
def test_rows_of_other_tools_are_named_and_converted_where_that_works(
    make_job, row: dict[str, Any], what: str, has_cure: bool
) -> None:
    """A command is offered only if every row can be asked after it."""
    found = other_form([row, row], RowForms(make_job()), "a.jsonl")
    assert found is not None
    assert what in found
    assert ("jq -c" in found) is has_cure
    assert "jq" not in str(other_form([row], RowForms(make_job()), None))
    assert other_form([row, {"x": 1}], RowForms(make_job()), "a.jsonl") is None


@pytest.mark.parametrize(
    ("rows", "cure"),
    [
        ([{"id": "a", "q": "long text"}], "'{{ q }}'"),
        ([{"q": "long text", "question": "x"}], "'{{ question }}'"),
        ([{"a": "x", "b": "xx"}, {"a": "y", "b": "yy"}], "'{{ b }}'"),
        ([{"a": "x", "b": "xx"}, {"a": "y", "b": "xx"}], "'{{ a }}'"),
        ([{"n": 1}], "'{{ n }}'"),
        ([{"the text": "x"}], """'{{ row["the text"] }}'"""),
        ([{"id": "x", "l": ["x"], "empty": "", "none": None}], None),
        ([{"q": "same"}, {"q": "same"}, {"q": ""}, {"q": None}], "'{{ q }}'"),
        ([{"q": ""}, {"q": " "}], None),
    ],
)
def test_a_column_is_advised_that_can_be_asked(rows: list[dict[str, Any]], cure: str | None) -> None:
    """One of texts that differ, and no label."""
    expected = "" if cure is None else f"; name what to ask: -t {cure}"
    assert template_flag(rows, list(rows[0]), ["id"]) == expected


def test_a_name_that_no_template_takes_is_not_advised(write, make_job) -> None:
    """Only what can be typed."""
    with Source(make_job(write("a.csv", "a^b\n1^2\n"))) as source, pytest.raises(InputError) as refused:
        source.open()
    assert "{{ a^b }}" not in str(refused.value)
