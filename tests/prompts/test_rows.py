from typing import Any

import pytest

from batchrun.prompts.rows import RowForms, RowProblem, kind_of, plain
from batchrun.prompts.template import TemplateProblem
from batchrun.records import Prompt, Row

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be brief"}


def row(**columns: Any) -> Row:
    return Row(7, columns, "a.jsonl:8")


def batch(body: Any, **more: Any) -> Row:
    return row(**({"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body} | more))


@pytest.fixture
def body(make_job):
    """Return the body that a job makes of a row."""

    def body(columns: Row, **job: Any) -> dict[str, Any]:
        return RowForms(make_job(**job)).prompt(columns).body

    return body


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        ({"custom_id": "x", "body": {}, "messages": [], "prompt": "p", "q": "q"}, "batch"),
        ({"custom_id": "x", "body": "text", "messages": [USER], "prompt": "p"}, "messages"),
        ({"body": {}, "messages": [USER]}, "messages"),
        ({"messages": '[{"role": "user"}]'}, "messages"),
        ({"messages": None, "prompt": "p"}, "template"),
        ({"messages": "a chat as text"}, "template"),
        ({"prompt": "p"}, "template"),
    ],
)
def test_the_form_is_the_first_that_fits(make_job, columns: dict[str, Any], form: str) -> None:
    """Batch line, messages, template, prompt: in this order, row by row."""
    assert RowForms(make_job(user="{{ q }}")).form(columns) == form


def test_without_a_template_there_is_the_prompt_column_or_no_form(make_job) -> None:
    """The prompt column is the last form; without it a row has none."""
    forms = RowForms(make_job())
    assert [forms.form(columns) for columns in ({"prompt": None}, {"q": 1})] == ["prompt", None]


@pytest.mark.parametrize(
    ("columns", "job", "messages"),
    [
        (row(prompt="hi"), {}, [USER]),
        (row(prompt="hi", system="be brief"), {}, [SYSTEM, USER]),
        (row(prompt="hi", system="be brief"), {"system": "no"}, [SYSTEM, USER]),
        (row(prompt="hi", system=None, how="brief"), {"system": "be {{ how }}"}, [SYSTEM, USER]),
        (row(messages=[USER]), {}, [USER]),
        (row(messages=[USER], how="brief"), {"system": "be {{ how }}"}, [SYSTEM, USER]),
        (row(messages=[SYSTEM, USER]), {"system": "no"}, [SYSTEM, USER]),
        (
            row(messages=[{"role": "developer", "content": "x"}]),
            {"system": "no"},
            [{"role": "developer", "content": "x"}],
        ),
        (row(messages='[{"role": "user", "content": "hi"}]'), {}, [USER]),
        (row(word="hi"), {"user": "{{ word }}", "system": "be brief"}, [SYSTEM, USER]),
        (row(word="hi", system="no"), {"user": "{{ word }}"}, [USER]),
        (batch({"messages": [USER]}), {"system": "no", "user": "no"}, [USER]),
    ],
)
def test_every_form_becomes_messages(body, columns: Row, job: dict[str, Any], messages: list[Any]) -> None:
    """The job's system message comes first, unless the row brings its own or is a batch line."""
    assert body(columns, **job) == {"messages": messages}


@pytest.mark.parametrize(
    ("columns", "parameters"),
    [
        (row(prompt="hi", params={"temperature": 1, "stop": None}), {"temperature": 1}),
        (row(prompt="hi", params='{"temperature": 1}'), {"temperature": 1}),
        (row(prompt="hi", params=""), {}),
        (row(prompt="hi", params=None), {}),
        (row(prompt="hi", params={"n": 1, "stream": True, "seed": 2}), {"seed": 2}),
        (
            batch({"messages": [USER], "model": "m", "top_p": 1, "n": 1, "stream_options": {}}),
            {"model": "m", "top_p": 1},
        ),
        (batch('{"messages": [{"role": "user", "content": "hi"}], "seed": 3}'), {"seed": 3}),
        (batch({"messages": [USER]}, params={"temperature": 1}), {}),
    ],
)
def test_a_row_may_set_its_own_parameters(body, columns: Row, parameters: dict[str, Any]) -> None:
    """As an object or as JSON text; null counts as absent, and a row cannot choose streaming."""
    assert body(columns) == {"messages": [USER]} | parameters


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (row(prompt=None), "prompt is null; must be a string"),
        (row(prompt=["hi"]), "prompt is a list; must be a string"),
        (row(prompt="hi", system=3), "system is a number; must be a string"),
        (row(question="hi"), "has no messages and no prompt"),
        (row(messages={"role": "user"}), "messages is an object; must be a list of objects"),
        (row(messages="hi"), "messages is a string"),
        (row(messages="[hi"), "messages is a string"),
        (row(messages=[]), "messages is empty"),
        (row(messages=[USER, "hi"]), "messages[1] is a string"),
        (row(messages=[{"content": "hi"}]), "messages[0] has no role"),
        (row(prompt="hi", params=[1]), "params is a list; must be an object"),
        (row(prompt="hi", params="{"), "params is not JSON"),
        (row(prompt="hi", params={"model": "m"}), "params has model"),
        (row(prompt="hi", params={"messages": []}), "params has messages"),
        (row(prompt="hi", params={"n": 2}), "use num_samples"),
        (row(prompt="hi", params={"x": {"y": [float("nan")]}}), "nan, which JSON cannot express"),
        (batch({"messages": [USER], "n": 3}), "use num_samples"),
        (batch({"messages": [USER]}, method="GET"), "method is GET; must be POST"),
        (batch({"input": "hi"}, url="/v1/embeddings"), "url is /v1/embeddings"),
        (batch({}), "messages is null"),
        (batch([1]), "body is a list; must be an object"),
        (Row(0, None, "a.jsonl:1", "is not JSON"), "is not JSON"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_of_the_row(body, columns: Row, problem: str) -> None:
    """Each reason names the column."""
    with pytest.raises(RowProblem) as raised:
        body(columns)
    assert problem in str(raised.value)


def test_a_missing_template_column_is_a_problem_of_the_row(body) -> None:
    """The reason names the column."""
    with pytest.raises(TemplateProblem, match=r"has no column word, which prompt\.user names"):
        body(row(text="hi"), user="{{ word }}")


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"name": "a", "custom_id": "b", "id": "c"}, "a"),
        ({"name": None, "custom_id": "b", "id": "c"}, "b"),
        ({"custom_id": "", "id": 5}, "5"),
        ({"id": 0}, "0"),
        ({"id": None}, None),
        ({}, None),
    ],
)
def test_a_row_is_labelled_by_the_first_label_it_has(make_job, columns: dict[str, Any], label: str | None) -> None:
    """The column that the job names, `custom_id` or `id`; without one the row number is used."""
    forms = RowForms(make_job(id="name"))
    assert forms.prompt(row(prompt="hi", **columns)) == Prompt(7, label, {"messages": [USER]})


def test_absent_keys_of_parquet_are_absent_again() -> None:
    """Null-valued keys go, at every depth; the content of a tool call stays null."""
    message = {"role": "assistant", "content": None, "name": None, "tool_calls": [{"id": "x", "index": None}]}
    assert plain([message]) == [{"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}]


def test_the_columns_that_may_be_read_are_known(make_job) -> None:
    """So Parquet can leave out the others; a template that uses the whole row may read any column."""
    columns = RowForms(make_job(user='{{ a }} {{ row["b c"] }}', system="{{ d }}", id="e")).columns
    assert columns is not None
    assert {"a", "b c", "d", "e", "custom_id", "messages", "params"} <= columns
    assert "f" not in columns
    assert RowForms(make_job(user="{{ row }}", system="{{ d }}")).columns is None


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "true or false"), (1.5, "a number"), (b"", "a bytes"), ({}, "an object"), (None, "null")]
)
def test_messages_use_the_common_name_of_a_type(value: Any, kind: str) -> None:
    """In messages about rows."""
    assert kind_of(value) == kind
