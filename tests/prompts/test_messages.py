"""Messages that rows bring."""

from typing import Any

import pytest

from batchrun.prompts.messages import brought_messages, messages_column
from batchrun.prompts.rows import RowForms
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

HUMAN = {"from": "human", "value": "hi"}
GPT = {"from": "gpt", "value": "hello", "weight": 0}
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def brought(**columns: Any) -> list[Any]:
    """Return the messages of a row."""
    return brought_messages(columns, Row(0, columns, ""))


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        ({"messages": [USER], "prompt": [USER], "conversations": [HUMAN]}, "messages"),
        ({"messages": None, "prompt": [USER], "conversations": [HUMAN]}, "prompt"),
        ({"prompt": "text", "conversations": [HUMAN]}, None),
        ({"conversations": [HUMAN]}, "conversations"),
        ({"conversations": '[{"from": "human", "value": "hi"}]'}, "conversations"),
        ({"conversations": 12}, None),
        ({"conversations": "about the weather"}, None),
    ],
)
def test_messages_are_found_in_the_columns_that_data_sets_use(columns: dict[str, Any], column: str | None) -> None:
    """OpenAI's `messages`, else TRL's list of a prompt, else ShareGPT's conversations."""
    assert messages_column(columns) == column


def test_speakers_of_sharegpt_become_roles() -> None:
    """What else stands in a turn is not sent."""
    assert brought(conversations=[{"from": "system", "value": "be brief"}, HUMAN, GPT]) == [
        {"role": "system", "content": "be brief"},
        USER,
        ASSISTANT,
    ]
    assert brought(conversations='[{"from": "human", "value": "hi"}]') == [USER]


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        (
            [HUMAN, {"from": "observation", "value": "3"}],
            r"conversations\[1\] is from observation; must have from, one of",
        ),
        ([{"from": "human", "value": ["hi"]}], r"conversations\[0\]\.value is a list; must be a string"),
        ([HUMAN, "hi"], r"conversations\[1\] is from None"),
    ],
)
def test_a_turn_that_cannot_be_sent_is_named(turns: list[Any], problem: str) -> None:
    with pytest.raises(RowProblem, match=problem):
        brought(conversations=turns)


def test_rows_of_these_columns_are_sent_with_what_stands_next_to_them(make_job) -> None:
    """The job's system message, the row's tools and its parameters, as for `messages`."""
    tool = {"type": "function", "function": {"name": "f"}}
    forms = RowForms(make_job(system="be brief"))
    for columns in ({"conversations": [HUMAN]}, {"prompt": [USER]}):
        row = Row(0, {**columns, "tools": [tool], "params": {"seed": 1}}, "")
        assert forms.prompt(row).body == {
            "messages": [{"role": "system", "content": "be brief"}, USER],
            "tools": [tool],
            "seed": 1,
        }
