import dataclasses
import json
from typing import Any

import pytest

from batchrun.prompts.input.arrow import NotText
from batchrun.prompts.rows import RowForms
from batchrun.prompts.template import TemplateProblem
from batchrun.prompts.values import RowProblem, kind_of, plain
from batchrun.records import Prompt, Row

USER = {"role": "user", "content": "hi"}
UI = {"role": "user", "content": "ui"}
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
        ({"messages": "a chat as text", "prompt": "p"}, "messages"),
        ({"messages": None, "prompt": "p"}, "prompt"),
        ({"prompt": "p"}, "prompt"),
    ],
)
def test_the_form_is_the_first_that_fits(make_job, columns: dict[str, Any], form: str) -> None:
    """Batch line, messages, prompt: in this order, row by row. With a template every row fills it."""
    assert RowForms(make_job()).form(columns) == form
    assert RowForms(make_job(user="{{ q }}")).form(columns) == "template"


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
        (batch({"messages": [USER]}), {"system": "be brief"}, [SYSTEM, USER]),
        (batch({"messages": [SYSTEM, USER]}), {"system": "no"}, [SYSTEM, USER]),
        (row(messages=[{"role": "user", "content": "no"}]), {"user": "{{ messages[0].role[0] }}i"}, [UI]),
        (row(prompt="hi", system="no"), {"user": "{{ prompt }}"}, [USER]),
        (batch({"messages": [USER | {"role": "x"}]}), {"user": "{{ body.messages[0].content }}"}, [USER]),
    ],
)
def test_every_form_becomes_messages(body, columns: Row, job: dict[str, Any], messages: list[Any]) -> None:
    """A template is used whatever columns there are. The job's system message comes first, unless the row has one."""
    assert body(columns, **job) == {"messages": messages}


@pytest.mark.parametrize(
    "columns",
    [
        row(prompt="hi"),
        row(prompt="hi", system="no"),
        row(messages=[USER], system="no"),
        row(messages=[SYSTEM | {"content": "no"}, {"role": "developer", "content": "no"}, USER]),
        batch({"messages": [SYSTEM | {"content": "no"}, USER]}),
    ],
)
def test_a_system_message_of_a_flag_takes_the_place_of_the_rows_own(make_job, columns: Row) -> None:
    """What the user states now wins over what was written into the file."""
    job = dataclasses.replace(make_job(system="be brief"), by_flag=("prompt.system",))
    assert RowForms(job).prompt(columns).body == {"messages": [SYSTEM, USER]}


@pytest.mark.parametrize(
    ("columns", "parameters"),
    [
        (row(prompt="hi", params={"temperature": 1, "stop": None}), {"temperature": 1}),
        (row(prompt="hi", params='{"temperature": 1}'), {"temperature": 1}),
        (row(prompt="hi", params=""), {}),
        (row(prompt="hi", params=None), {}),
        (row(prompt="hi", params={"n": None, "stream": True, "seed": 2}), {"seed": 2}),
        (
            batch({"messages": [USER], "model": "m", "top_p": 1, "n": 1, "stream_options": {}}),
            {"model": "m", "top_p": 1},
        ),
        (batch('{"messages": [{"role": "user", "content": "hi"}], "seed": 3}'), {"seed": 3}),
        (batch({"messages": [USER]}, params={"temperature": 1}), {}),
    ],
)
def test_a_row_may_set_its_own_parameters(body, columns: Row, parameters: dict[str, Any]) -> None:
    """As an object or as JSON text; a row cannot choose streaming."""
    assert body(columns) == {"messages": [USER]} | parameters


@pytest.mark.parametrize("as_text", [False, True], ids=["JSON", "CSV"])
def test_a_null_in_params_takes_a_parameter_away(make_job, as_text: bool) -> None:
    """Also a part of the request next to messages. The objects of Parquet cannot tell null from absent."""
    params = {"top_p": None, "tools": None, "seed": 1, "extra": {"x": None}}
    columns = {"messages": [USER], "tools": [TOOL], "params": json.dumps(params) if as_text else params}
    prompt = RowForms(make_job()).prompt(row(**columns))
    assert prompt.body == {"messages": [USER], "seed": 1, "extra": {"x": None}}
    assert prompt.without == {"top_p", "tools"}
    filled = RowForms(make_job()).prompt(Row(0, columns, "a", None, "", has_filled_nulls=True))
    assert (filled.without == set()) is not as_text


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (row(prompt=None), "prompt is null; must be a string"),
        (row(prompt=["hi"]), "prompt[0] is a string; must be an object with a role"),
        (row(prompt="hi", system=3), "system is a number; must be a string"),
        (row(question="hi"), "has no messages and no prompt"),
        (row(messages={"role": "user"}), "messages is an object; must be a list of objects"),
        (row(messages="hi"), "messages is a string"),
        (row(messages="[hi"), "messages is not JSON"),
        (row(messages="[{'role': 'user', 'content': None}]"), "written by Python; write it by json.dumps"),
        (row(prompt="hi", params="{'temperature': 1}"), "params is not JSON but was written by Python"),
        (row(prompt=NotText(b"\xff")), "prompt is bytes; must be a string"),
        (row(messages=[USER], system=3), "system is a number; must be a string"),
        (row(messages=[USER], tools=["search"]), "tools must be a list of objects"),
        (row(messages=[USER], tools="[{'type': 'function'}]"), "tools is not JSON but was written by Python"),
        (row(messages=[USER], tools={"type": "function"}), "tools is an object; must be a list"),
        (row(messages=[USER], response_format="json"), "response_format is not JSON"),
        (row(messages=[USER], tool_choice=3), "tool_choice is a number; must be a string or an object"),
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
        (batch({"input": "hi"}, url="/v1/moderations"), "url is /v1/moderations; only …/chat/completions, "),
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
        ({"id": NotText(b"\xff\xfe")}, "fffe"),
        ({"id": {"part": [NotText(b"\xff")]}}, None),
        ({}, None),
    ],
)
def test_a_row_is_labelled_by_the_first_label_it_has(make_job, columns: dict[str, Any], label: str | None) -> None:
    """The column that the job names, `custom_id` or `id`; without one the row number is used."""
    forms = RowForms(make_job(id="name"))
    assert forms.prompt(row(prompt="hi", **columns)) == Prompt(7, label, {"messages": [USER]})


CALL = {"role": "assistant", "content": None, "name": None, "tool_calls": [{"id": "x", "index": None}]}


def test_absent_keys_of_parquet_are_absent_again() -> None:
    """Null-valued keys go, at every depth; the content of a tool call stays null."""
    absent = [{"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}]
    assert plain([CALL], has_filled_nulls=True) == absent


@pytest.mark.parametrize("has_filled_nulls", [False, True], ids=["JSON", "Parquet"])
@pytest.mark.parametrize(
    "columns", [{"messages": [CALL]}, {"custom_id": "x", "body": {"messages": [CALL], "stop": None}}], ids=str
)
def test_nulls_of_json_are_sent_as_they_are_written(body, columns: dict[str, Any], has_filled_nulls: bool) -> None:
    """A schema may say const: null. Only the objects of Parquet cannot tell null from absent; their JSON texts can."""
    written = columns.get("body", columns)
    texts = {name: value if name == "custom_id" else json.dumps(value) for name, value in columns.items()}
    texts |= {"method": "POST", "url": "/v1/chat/completions"}
    assert body(Row(0, texts, "a", None, "", has_filled_nulls)) == written
    sent = body(Row(0, columns, "a", None, "", has_filled_nulls))
    assert (sent == written) is not has_filled_nulls
    assert ("null" in json.dumps(sent).replace('"content": null', "")) is not has_filled_nulls


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"const": None}}}


@pytest.mark.parametrize("as_text", [False, True], ids=["JSON", "CSV"])
@pytest.mark.parametrize(
    "parts",
    [
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"response_format": {"type": "json_object"}},
        {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
    ],
    ids=str,
)
def test_parts_of_the_request_next_to_messages_are_sent(body, parts: dict[str, Any], as_text: bool) -> None:
    """As files for fine-tuning have them; CSV holds them as JSON. What `params` sets comes first."""
    columns = {name: json.dumps(value) for name, value in parts.items()} if as_text else parts
    assert body(row(messages=[USER], **columns)) == {"messages": [USER]} | parts
    assert body(row(messages=[USER], **{"tool_choice": "auto"} | parts))["tool_choice"] == parts.get(
        "tool_choice", "auto"
    )
    name = next(iter(parts))
    assert body(row(messages=[USER], **columns, params={name: 1}))[name] == 1


@pytest.mark.parametrize("empty", [None, "", [], "[]", {}, "{}"])
def test_a_row_without_tools_sends_none(body, empty: Any) -> None:
    """Many files have the column in every row."""
    name = "tools" if isinstance(empty, list) or empty == "[]" else "response_format"
    assert body(row(messages=[USER], **{name: empty})) == {"messages": [USER]}


@pytest.mark.parametrize("messages", [[USER], [SYSTEM | {"content": "other"}, USER]])
def test_a_system_text_next_to_messages_is_sent_unless_they_have_their_own(body, messages: list[Any]) -> None:
    """It goes before the job's, as next to a prompt."""
    sent = body(row(messages=messages, system="be brief"), system="of the job")["messages"]
    assert sent == ([SYSTEM, USER] if messages == [USER] else messages)


def test_columns_that_only_look_like_a_part_of_the_request_are_known(make_job) -> None:
    """Except those that a template reads, and those that are sent."""
    names = ["tools", "temperature", "question", "model", "system"]
    assert RowForms(make_job()).unsent(names, {"messages"}) == ["temperature", "model"]
    assert RowForms(make_job()).unsent(names, {"prompt", "messages"}) == ["tools", "temperature", "model"]
    assert RowForms(make_job(user="{{ tools }}")).unsent(names, {"template"}) == ["temperature", "system"]
    assert RowForms(make_job(user="{{ row }}")).unsent(names, {"template"}) == []
    assert RowForms(make_job()).unsent(names, {"batch"}) == []


def test_the_columns_that_may_be_read_are_known(make_job) -> None:
    """So Parquet can leave out the others; a template that uses the whole row may read any column."""
    columns = RowForms(make_job(user='{{ a }} {{ row["b c"] }}', system="{{ d }}", id="e")).columns
    assert columns is not None
    assert {"a", "b c", "d", "e", "custom_id", "messages", "params"} <= columns
    assert "f" not in columns
    assert RowForms(make_job(user="{{ row }}", system="{{ d }}")).columns is None


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "true or false"), (1.5, "a number"), (b"", "bytes"), ({}, "an object"), (None, "null")]
)
def test_messages_use_the_common_name_of_a_type(value: Any, kind: str) -> None:
    """In messages about rows."""
    assert kind_of(value) == kind
