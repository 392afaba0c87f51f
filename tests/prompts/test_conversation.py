"""The job's messages as templates."""

from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.prompt import PromptTemplates
from batchrun.job.settings import SettingError
from batchrun.prompts.conversation import conversation_of
from batchrun.prompts.rows import RowForms
from batchrun.prompts.template import TemplateProblem
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
SYSTEM = {"role": "system", "content": "Judge {{ what }}."}
ASK = {"role": "user", "content": "Was that kind, {{ name }}?"}


def test_every_text_of_a_message_is_a_template(made) -> None:
    """In parts of a content too; roles and types are names."""
    part = {"type": "image_url", "image_url": {"url": "{{ url }}", "detail": "low"}}
    rows = {"what": "tone", "name": "Ann", "url": "https://a/b.png"}
    assert made(rows, messages=[SYSTEM, {"role": "user", "content": [part]}, ASK]) == [
        {"role": "system", "content": "Judge tone."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}]},
        {"role": "user", "content": "Was that kind, Ann?"},
    ]


@pytest.mark.parametrize("name", ["messages", "history"])
def test_a_column_of_messages_stands_in_the_place_of_one(made, name: str) -> None:
    """So that a template continues the rows' own conversations. A column that is null, empty or absent adds nothing."""
    job = {"messages": [f"{{{{ {name} }}}}", ASK]}
    asked = {"role": "user", "content": "Was that kind, Ann?"}
    assert made({name: [USER, ASSISTANT], "name": "Ann"}, **job) == [USER, ASSISTANT, asked]
    for nothing in ({name: None}, {name: []}, {}):
        assert made({**nothing, "name": "Ann"}, **job) == [asked]


def test_sharegpt_conversations_are_continued_too(made) -> None:
    columns = {"conversations": [{"from": "human", "value": "hi"}]}
    assert made(columns, messages=["{{ conversations }}"]) == [USER]


def test_continued_rows_keep_what_stands_next_to_their_messages(make_job) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    forms = RowForms(make_job(messages=["{{ messages }}"]))
    assert forms.prompt(Row(0, {"messages": [USER], "tools": [tool]}, "")).body == {"messages": [USER], "tools": [tool]}


def test_a_row_without_what_the_messages_need_is_broken(made) -> None:
    with pytest.raises(TemplateProblem, match=r"has no column name, which prompt.messages\[1\] names"):
        made({"history": [USER]}, messages=["{{ history }}", ASK])
    with pytest.raises(RowProblem, match=r"history\[0\] has no role"):
        made({"history": [{"content": "hi"}], "name": "Ann"}, messages=["{{ history }}", ASK])


def test_what_the_messages_read_is_known(make_job) -> None:
    """For Parquet, of which only these columns are read, and for the message about a column that is missing."""
    asked = conversation_of(make_job(messages=["{{ history }}", SYSTEM, ASK]).prompt)
    assert asked is not None
    assert asked.columns == {"history", "what", "name"}
    assert asked.missing(["name"]) == ["history", "what"]
    assert RowForms(make_job()).asked is None


@pytest.mark.parametrize(
    ("setting", "must"),
    [
        ([], "must be a list of messages"),
        (["messages"], "or"),
        ([{"content": "hi"}], r"must have a role in the message at \[0\]"),
        ([ASK, {"role": "usr", "content": "hi"}], r'another role than "usr" in the message at \[1\]: user\?'),
        ([{"role": "Assistent", "content": "hi"}], r'another role than "Assistent" .*: assistant\?'),
    ],
)
def test_what_is_not_a_conversation_is_refused(setting: list[Any], must: str) -> None:
    with pytest.raises(SettingError, match=must):
        PromptTemplates(messages=setting)
    with pytest.raises(SettingError, match="keep one of them"):
        PromptTemplates(messages=[ASK], user="hi")


def test_a_message_that_does_not_compile_is_named(make_job) -> None:
    with pytest.raises(JobError, match=r"prompt.messages\[1\]: line 1"):
        RowForms(make_job(messages=[ASK, {"role": "user", "content": "{{ a"}]))
