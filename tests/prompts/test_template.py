import datetime
import json
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.prompts.template import Template, TemplateProblem, as_template


def render(text: str, columns: dict[str, Any]) -> str:
    return Template(text, "prompt.user").render(columns)


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("Label: {{ text }}\n", {"text": "<b>&"}, "Label: <b>&\n"),
        ("{{ a }}|{{ b }}", {"a": None, "b": ""}, "|"),
        ("{{ a }} {{ b }} {{ c }}", {"a": 1, "b": 0.5, "c": True}, "1 0.5 True"),
        ('{{ row["review text"] }}', {"review text": "good"}, "good"),
        ("{{ row.text }}", {"text": "good"}, "good"),
        ("{{ row }}", {"row": "a column"}, "a column"),
        ("{% for key in row %}{{ key }}{% endfor %}", {"a": 1, "b": 2}, "ab"),
        ("{{ a | default('none') }}", {}, "none"),
        ("{% if a is defined %}{{ a }}{% endif %}!", {}, "!"),
        ("{{ a | tojson }}", {"a": {"é": "<'>"}}, '{"é": "<\'>"}'),
        ("{{ a.b[0].c }}", {"a": {"b": [{"c": "deep"}]}}, "deep"),
        ("{{ at.year }}", {"at": datetime.date(2026, 1, 2)}, "2026"),
        ("{% for i in range(3) %}{{ i }}{{ a }}{% endfor %}", {"a": "x"}, "0x1x2x"),
        ("{{ range }}", {"range": "a column"}, "a column"),
        ("{% set x = a %}{{ x | upper }}", {"a": "x"}, "X"),
        ("constant {{ 1 + 1 }}\n", {}, "constant 2\n"),
        ("{% raw %}{{ a }}{% endraw %}", {}, "{{ a }}"),
        ("", {}, ""),
    ],
)
def test_templates_render_over_the_columns(text: str, columns: dict[str, Any], expected: str) -> None:
    """Nothing is escaped, null is empty, and every column can be used."""
    assert render(text, columns) == expected


def test_rendering_leaves_the_columns_alone() -> None:
    """The columns belong to the row and are used again."""
    columns = {"a": 1}
    assert (
        Template("{% set a = 2 %}{{ a }}{{ row['a'] }}{{ range(1) }}", "prompt.user").render(columns) == "21range(0, 1)"
    )
    assert columns == {"a": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ word }}{{ missing }}", "has no column missing, which prompt.user names"),
        ('{{ row["a b"] }}', "has no column a b, which prompt.user names"),
        ("{{ word.length }}", "prompt.user cannot be rendered: 'str object' has no attribute 'length'"),
        ("{{ word + 1 }}", "prompt.user cannot be rendered: can only concatenate"),
        ("{{ 1 // zero }}", "prompt.user cannot be rendered: "),
        ("{{ nan }}", "prompt.user cannot be rendered: a value is nan, which JSON cannot express"),
        ("{{ word.__class__.__mro__ }}", "prompt.user cannot be rendered: access to attribute '__class__'"),
        ("{% for i in range(word | length * 10**6) %}{% endfor %}", "prompt.user cannot be rendered: Range too big"),
        ("{{ range(10**6, zero) }}{{ row.x.y }}", "prompt.user cannot be rendered: "),
    ],
)
def test_a_template_that_fails_on_a_row_is_a_problem_of_that_row(text: str, problem: str) -> None:
    """A missing column, a wrong type, forbidden code: the reason names setting and column."""
    with pytest.raises(TemplateProblem) as raised:
        render(text, {"word": "word", "zero": 0, "nan": float("nan")})
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\n{{ text", "prompt.user: line 2: "),
        ("{% if %}", "prompt.user: line 1: "),
        ("\n\n{{ text | shout }}", "prompt.user: line 3: No filter named 'shout'"),
        ("{{ text is loud }}", "prompt.user: line 1: No test named 'loud'"),
        ("{{ texts | random }}", "No filter named 'random'"),
        ("{% include 'other' %}", "line 1: a template cannot read other files"),
        ("{% extends 'other' %}", "line 1: a template cannot read other files"),
        ("{% from 'other' import x %}", "line 1: a template cannot read other files"),
        ("{{ 'a'.shout() }}", "prompt.user cannot be rendered"),
    ],
)
def test_a_template_that_cannot_work_is_an_error_of_the_job(text: str, message: str) -> None:
    """Before any row is read; setting and line are named."""
    with pytest.raises(JobError) as raised:
        Template(text, "prompt.user")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "columns", "missing"),
    [
        ("{{ a }}{{ b.c }}", {"a", "b"}, ["a", "b"]),
        ("{{ a | default('') }}{{ b }}{% if c is defined %}{{ c }}{% endif %}", {"a", "b", "c"}, ["b"]),
        ('{{ row["a b"] }}', {"a b", "row"}, ["a b"]),
        ('{{ row["a b"] | d("") }}', {"a b", "row"}, []),
        ("{{ row }}", None, []),
        ("{{ row.a }}", None, []),
        ("{{ row[a] }}", None, ["a"]),
        ("{% for a in range(3) %}{{ a }}{% endfor %}", {"range"}, []),
        ("{% set a = 1 %}{{ a }}", set(), []),
    ],
)
def test_a_template_knows_its_columns(text: str, columns: set[str] | None, missing: list[str]) -> None:
    """Those that it may read, and those that it needs."""
    template = Template(text, "prompt.user")
    assert template.columns == columns
    assert template.missing([]) == missing
    assert template.missing(missing) == []


def test_a_column_named_row_is_the_column() -> None:
    """Then a name in brackets after `row` is not a column."""
    template = Template('{{ row["x"] }}', "prompt.user")
    assert template.missing(["row"]) == []
    assert template.render({"row": {"x": "of the column"}}) == "of the column"


@pytest.mark.parametrize(
    ("text", "placeholders"),
    [
        ("Answer: {question}", {"question"}),
        ("{a!r} {b:>10} { c d }", {"a", "b", "c d"}),
        ("${a} $b %(c)s 5$ 10%", {"a", "b", "c"}),
        ('{{ a }} {{ "{b}" }} {a} {% raw %}{c}{% endraw %}', {"c"}),
        ("{# {a} #}{% if b %}{% endif %}", set()),
    ],
)
def test_a_template_knows_what_other_tools_would_take_for_a_column(text: str, placeholders: set[str]) -> None:
    """Only in its text, and not what it reads anyway."""
    assert Template(text, "prompt.user").placeholders == placeholders


@pytest.mark.parametrize("column", ["a", "größe", "a b", 'a"b', "a\\b", "1"])
def test_a_column_can_be_written_whatever_its_name(column: str) -> None:
    """What messages advise works."""
    assert Template(as_template(column), "prompt.user").render({column: "x"}) == "x"


def test_messages_render_as_a_conversation_that_can_be_read() -> None:
    """A judge reads who says what; `tojson` still gives the JSON, and other lists are as Python prints them."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    template = Template("{{ messages }}|{{ turns }}|{{ tags }}", "prompt.user")
    shown = template.render({"messages": messages, "turns": [{"from": "human", "value": "hi"}], "tags": ["a"]})
    assert shown == (
        f"system: Be brief.\n\nuser: What is it?\n[image_url]\n\nassistant: {json.dumps([call])}|human: hi|['a']"
    )


def test_a_column_whose_name_is_a_number_is_written_as_a_text() -> None:
    """As those of a data frame without names."""
    with pytest.raises(TemplateProblem, match=r'dict object has no element 0; write row\["0"\]$'):
        render("{{ row[0] }}", {"0": "a"})
    with pytest.raises(TemplateProblem, match=r"has no element 1$"):
        render("{{ row[1] }}", {"0": "a"})
