"""What messages about rows advise."""

import gzip
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import InputError
from batchrun.prompts.advice import listed, other_form, template_flag
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
        ([{"n": 5, "t": "good"}, {"n": 3, "t": ""}, {"n": 2, "t": None}, {"n": 4, "t": "bad"}], "'{{ t }}'"),
        ([{"n": "5.0", "t": "a"}, {"n": "13.5", "t": ""}], "'{{ t }}'"),
        ([{"n": 5, "t": ""}, {"n": 3, "t": ""}, {"n": 3, "t": "seldom"}], "'{{ n }}'"),
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


def refused_first_rows(make_job, path: str, **job: Any) -> str:
    """Return why an input is refused."""
    with pytest.raises(InputError) as refused, Source(make_job(path, **job)) as source:
        source.open()
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "template"),
    [
        ("a.csv", b"What is a map?\nName 3 rivers, please.\n", None),
        ("a.csv", b"Name 3 rivers, please.\nWhat is a map?\n", None),
        ("a.csv.gz", gzip.compress(b"What is a map?\nName 3 rivers, please.\n"), None),
        ("a.csv", b'"What is a map?"\n"Name 3 rivers, please."\n', None),
        ("a.csv", b"\xef\xbb\xbf1;What is a map?;x\n2;Name 3 rivers, please.;x\n", None),
        ("a b.csv", b"1\tWhat is a map?\n2\tName 3 rivers, please.\n", None),
        ("a.tsv", b"a, b\tWhat is a map?\ngood\tName 3 rivers, please.\n", "{{ text }}"),
        ("a.csv.gz", gzip.compress(b'good,What is a map?\ngood,"Name 3 rivers, please."\n'), None),
        ("a.csv", b"1;What is a map?\n2;Name 3 rivers, please.\n", "{{ row['the text'] }}"),
        ("a.csv", b'"What is a map?"\n"Name 3 rivers, please."\n', "{{ text }}"),
    ],
)
def test_the_command_for_csv_without_a_header_makes_input_of_it(
    write, make_job, asked, tmp_path: Path, name: str, content: bytes, template: str | None
) -> None:
    """Typed as it is shown, for the same template; the first line is a row then, not lost as a header."""
    refused = refused_first_rows(make_job, write(name, content), user=template)
    command = re.search(r"(?<=: )(mv |{ printf |gzip -dc ).*", refused)
    assert command is not None, refused
    subprocess.run(command[0], shell=True, check=True)
    [new] = [str(each) for each in tmp_path.iterdir() if each.name != name]
    assert sorted(asked(new, template)) == ["Name 3 rivers, please.", "What is a map?"]


@pytest.mark.parametrize(
    ("template", "job", "names"),
    [
        ("{{ text }} {{ topic }}", {}, "text, topic"),
        ("{{ text }}", {"id": "key"}, "text, key"),
        (None, {"id": "key"}, "prompt, key"),
        ("{{ row['50%'] }}", {}, "50%"),
    ],
)
def test_without_a_header_the_names_that_a_job_reads_are_listed_where_their_places_are_unknown(
    write, make_job, template: str | None, job: dict[str, Any], names: str
) -> None:
    """A command that guessed them would be wrong; nor is a name printed that a shell would read otherwise."""
    refused = refused_first_rows(make_job, write("a.csv", "1,What is a map?\n2,Name 3 rivers.\n"), user=template, **job)
    assert refused.endswith(f"write a header with the names of its columns, among them {names}")


def test_lines_with_commas_are_prompts_for_a_template_that_reads_them_as_prompt(write, make_job) -> None:
    """Such a file has no column of another name."""
    refused = refused_first_rows(make_job, write("a.csv", "Map?\nA, b, c?\nD, e?\n"), user="{{ text }}")
    assert "which a template reads as {{ prompt }}: mv " in refused


@pytest.mark.parametrize("header", ["question", "0,1", "id,The text of the review", ",text,label", "a.b,c_d,2nd"])
def test_a_header_is_not_taken_for_a_row(write, make_job, header: str) -> None:
    """Numbers from 0 are how pandas names columns that have no names."""
    width = header.count(",") + 1
    path = write("a.csv", header + "\n" + ",".join(["x"] * width) + "\n" + ",".join(["y"] * width) + "\n")
    refused = refused_first_rows(make_job, path)
    assert "first line" not in refused
    assert "; name what to ask: -t " in refused


def test_the_index_of_a_data_frame_is_not_listed_as_a_column() -> None:
    assert listed(["text", "__index_level_0__", "stars"]) == "text, stars"
