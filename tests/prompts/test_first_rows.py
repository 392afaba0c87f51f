"""Whether an input can be used as a whole, and what is reported before anything is sent."""

import dataclasses
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError, JobError
from batchrun.job.evaluate import Evaluate
from batchrun.prompts.source import Source
from batchrun.records import BadRow


@pytest.mark.parametrize(
    ("content", "job", "message"),
    [
        ("", {}, "a.jsonl: holds no rows"),
        ("\n\n", {}, "a.jsonl: holds no rows"),
        ("a\nb\n", {}, "none of the first 2 rows can be used: a.jsonl:1: is not JSON"),
        (
            '{"question": 1}\n',
            {},
            "no messages and no prompt; its columns are question; name what to ask: -t '{{ question }}'",
        ),
        (
            '{"question": 1}\n',
            {"user": "{{ questoin }}"},
            "no column questoin, which prompt.user names; did you mean question?; its columns are question",
        ),
        ('{"question": 1}\n', {"user": '{{ row["a b"] }}'}, "no column a b, which prompt.user names"),
        ('{"question": 1}\n', {"user": "{% if 0 %}{{ gone }}{% endif %}{{ question }}"}, "no column gone"),
        ('{"prompt": "a"}\n', {"system": "{{ gone }}"}, "no column gone, which prompt.system names"),
        ('{"prompt": "a"}\n', {"id": "gone"}, "no column gone, which input.id names"),
        ('{"prompt": 1}\n', {}, "the only row cannot be used: a.jsonl:1: prompt is a number"),
        ('{"prompt": 1}\n' * 3, {}, "none of the first 3 rows can be used: a.jsonl:1: prompt is a number"),
        ('{"prompt": "a"}\nx\n' * 9, {"strict": True}, "9 broken rows"),
        ('{"prompt": "a"}\nx\n', {"strict": True}, "1 broken row, and --strict allows none:"),
    ],
)
def test_an_input_that_cannot_be_used_is_refused_before_anything_is_sent(
    write, make_job, content, job, message
) -> None:
    """Each with the file, the cause and the cure."""
    path = write("a.jsonl", content)
    with pytest.raises(InputError) as refused:
        Source(make_job(path, **job)).open()
    assert message in str(refused.value)


def test_the_columns_of_parquet_are_named_though_not_read(tmp_path: Path, make_job) -> None:
    """The message lists the columns of the file, not those that were asked for."""
    pq.write_table(pa.table({"review": ["a"], "stars": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"did you mean review\?; its columns are review, stars"):
        Source(make_job(str(tmp_path / "a.parquet"), user="{{ reviews }}")).open()


def test_text_on_standard_input_is_refused_with_a_way_to_use_it(make_job) -> None:
    """It has no ending that could name its format."""
    source = Source(make_job(), io.BytesIO(b"What is a map?\nName 3 rivers.\n"))
    with pytest.raises(InputError, match=r"stdin:1: is not JSON.*; standard input is read as JSON Lines: save"):
        source.open()


def test_lines_of_text_that_look_like_a_table_are_noted(write, make_job) -> None:
    """A comma in each line proves nothing, so it is not an error."""
    [note] = notices(make_job, write("a.txt", "id,prompt\n1,a\n2,b\n"))
    assert note.startswith("a.txt: each line is sent as a prompt; it holds values separated by commas: mv ")
    assert notices(make_job, write("b.txt", "Name one, please.\nWhat is a map?\n")) == []


def test_many_columns_are_not_all_listed(write, make_job) -> None:
    """A message stays readable."""
    path = write("a.jsonl", [{f"column{number}": 1 for number in range(100)}])
    with pytest.raises(InputError, match="column29 and 70 more"):
        Source(make_job(path)).open()


def test_a_job_without_a_model_runs_batch_lines_only(write, make_job) -> None:
    """Batch lines name their model; for other rows the job must."""
    body = {"model": "own", "messages": [{"role": "user", "content": "a"}]}
    with Source(make_job(write("batch.jsonl", [{"custom_id": "x", "body": body}]), names=())) as source:
        source.open()
        [[one]] = source.batches()
    assert (one.model, one.custom_id) == ("own", "x")
    with pytest.raises(JobError, match="-m MODEL"):
        Source(make_job(write("a.jsonl", [{"prompt": "a"}]), names=())).open()


QUESTIONS = [{"question": "a"}, {"question": "b"}]


def notices(make_job, path: str, **job) -> list[str]:
    with Source(make_job(path, **job)) as source:
        source.open()
        return source.notices


@pytest.mark.parametrize("user", ["Answer: {question}", "Answer: $question", "Answer: %(question)s"])
def test_a_column_written_for_another_tool_is_refused_before_money_is_spent(write, make_job, user: str) -> None:
    """With how it is written; where another column makes a difference it is only reported: it may be meant."""
    path = write("a.jsonl", QUESTIONS)
    with pytest.raises(
        JobError, match=r"prompt.user: the word question is sent, not the column question; write {{ question }}"
    ):
        notices(make_job, path, user=user)
    other = write("b.jsonl", [row | {"id": row["question"]} for row in QUESTIONS])
    [notice] = notices(make_job, other, user=user + "{{ id }}")
    assert "write {{ question }}" in notice
    own = write("c.jsonl", [row | {"params": {"seed": 1}} for row in QUESTIONS])
    [notice] = notices(make_job, own, user=user)
    assert "write {{ question }}" in notice


@pytest.mark.parametrize("user", ["Say OK.", "Say OK, {name}.", "$name", "{{ 1 + 1 }}"])
def test_a_template_that_asks_every_row_the_same_is_refused(write, make_job, user: str) -> None:
    """With how a column is written; a single row may be sampled many times, unless the template is a mistake."""
    path = write("a.jsonl", [{"id": 1, "question": "a"}, {"id": 2, "question": "b"}])
    with pytest.raises(JobError, match=r"names no column, so every row .* a column is written {{ question }}\. "):
        notices(make_job, path, user=user)
    assert notices(make_job, path, user=user, system="{{ question }}") == []
    one = write("b.jsonl", QUESTIONS[:1])
    if user == "$name":
        with pytest.raises(JobError, match=r"a column is written {{ question }}"):
            notices(make_job, one, user=user)
    else:
        assert notices(make_job, one, user=user) == []


@pytest.mark.parametrize("user", ["{prompt}", "$prompt", "%(prompt)s"])
def test_the_column_prompt_written_for_another_tool_is_refused(write, make_job, user: str) -> None:
    """Also of one row, and although rows with a prompt need no template."""
    with pytest.raises(JobError, match=r"the word prompt is sent, not the column prompt; write {{ prompt }}"):
        notices(make_job, write("a.jsonl", [{"prompt": "a"}]), user=user)


@pytest.mark.parametrize("setting", ["user", "system"])
def test_a_template_that_names_a_file_is_refused(write, make_job, setting: str) -> None:
    """A job file has the text itself; a flag reads the file."""
    path = write("a.jsonl", [{"prompt": "a"}])
    with pytest.raises(JobError, match=rf"prompt\.{setting}: the text @my/p\.txt would be sent, not that file; .*@my"):
        notices(make_job, path, **{setting: "@my/p.txt\n"})
    stated = dataclasses.replace(make_job(path, system="@everybody"), by_flag=("prompt.system",))
    with Source(stated) as source:
        source.open()


def test_a_target_of_bytes_is_refused_unless_they_are_text(tmp_path: Path, make_job) -> None:
    """No answer can equal an image; some programs write texts as bytes."""
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"prompt": ["a", "b"], "image": [None, b"\xff\xd8"], "text": [b"yes", b"\xff"]}), path)
    for target, is_refused in (("image", True), ("text", False), ("prompt", False)):
        with Source(dataclasses.replace(make_job(path), evaluate=Evaluate(target=target))) as source:
            if is_refused:
                with pytest.raises(InputError, match=r"a\.parquet: evaluate\.target = image: its values are bytes"):
                    source.open()
            else:
                source.open()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "prompt\ncafé\nplain\n"),
        ("a.jsonl", '{"prompt": "café"}\n{"prompt": "plain"}\n'),
        ("a.txt", "café\nplain\n"),
        ("a.tsv", "x\tprompt\n1\tcafé\n2\tplain\n"),
        ("a.txt", "plain\n" * 1000 + "café\n"),
    ],
)
def test_rows_in_windows_1252_are_noted_with_the_command_that_converts_them(
    write, make_job, asked, tmp_path: Path, name: str, content: str
) -> None:
    """As it is shown; also where the first rows are sound."""
    [note] = notices(make_job, write(name, content.encode("cp1252")))
    found = re.fullmatch(rf"{name}: rows that are not UTF-8 fail; if it is Windows-1252: (.*)", note)
    assert found is not None
    subprocess.run(found[1], shell=True, check=True)
    [new] = [str(each) for each in tmp_path.iterdir() if each.name != name]
    assert "café" in asked(new)
    assert not any(text.startswith(name) for text in asked(new))
    assert notices(make_job, new) == []


@pytest.mark.parametrize("content", ["é\n".encode() + b"caf\xe9\n", b"a\n\x81\n"])
def test_a_text_of_several_encodings_is_noted_without_a_command(write, make_job, content: bytes) -> None:
    """A conversion would spoil the lines that are right."""
    assert notices(make_job, write("a.txt", content)) == ["a.txt: rows that are not UTF-8 fail"]


def test_a_text_whose_encoding_is_named_gets_no_note_about_it(write, make_job) -> None:
    """Its rows that are not in this encoding say so themselves."""
    path = write("a.txt", "café\n".encode("cp1252") + b"\x81\n")
    with Source(make_job(path, encoding="windows-1252")) as source:
        source.open()
        assert source.notices == []
        messages = [entry.message for batch in source.batches() for entry in batch if isinstance(entry, BadRow)]
    assert messages == ["a.txt:2: is not windows-1252"]


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("rows", [[{"messages": TURNS}], [{"custom_id": "x", "body": {"messages": TURNS}}]])
def test_conversations_that_end_with_an_assistants_turn_are_noted(
    write, make_job, asked, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """With the command that takes the turn out; rows that a template makes have none."""
    path = write("a.jsonl", rows * 2)
    [note] = notices(make_job, path)
    assert note.startswith("rows end with an assistant's turn, ")
    command = note.partition("take it out: ")[2]
    assert command.startswith("jq -c ")
    if shutil.which("jq") is not None:
        subprocess.run(command, shell=True, check=True)
        assert asked(str(tmp_path / "a.new.jsonl")) == ["q", "q"]
    assert notices(make_job, write("b.jsonl", [*rows, {"prompt": "x"}]))[0].startswith("1 of the first 2 rows end with")
    column = "messages" if "messages" in rows[0] else "body"
    assert notices(make_job, path, user=f"{{{{ {column} | tojson }}}}") == []
    [note] = notices(make_job, write("c.json", json.dumps(rows)))
    assert "jq" not in note


MESSAGES = [{"role": "user", "content": "own"}]


@pytest.mark.parametrize("row", [{"messages": MESSAGES}, {"custom_id": "x", "body": {"messages": MESSAGES}}])
def test_messages_that_a_template_does_not_read_are_reported(write, make_job, row: dict[str, Any]) -> None:
    """The template is used, and a note names the column that is not sent."""
    path = write("a.jsonl", [row | {"text": "a"}])
    column = "messages" if "messages" in row else "body"
    [notice] = notices(make_job, path, user="{{ text }}")
    assert notice.startswith(f"only what prompt.user makes of a row is sent, not its column {column}; ")
    assert notices(make_job, path, user=f"{{{{ {column} | tojson }}}}") == []
    assert notices(make_job, path, user="{{ row | tojson }}") == []
    assert notices(make_job, path) == []


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "system": "own"},
        {"messages": [{"role": "system", "content": "own"}, *MESSAGES]},
        {"messages": MESSAGES, "system": "own"},
        {"custom_id": "x", "body": {"messages": [{"role": "system", "content": "own"}, *MESSAGES]}},
    ],
)
def test_a_system_message_that_rows_do_not_use_is_reported(write, make_job, row: dict[str, Any]) -> None:
    """Rows keep their own, unless a flag gives another: then there is nothing to report."""
    path = write("a.jsonl", [{"prompt": "a"}, row])
    [notice] = notices(make_job, path, system="of the job")
    assert "are sent with theirs, not with prompt.system; -s TEXT takes its place" in notice
    assert notices(make_job, path) == []
    stated = dataclasses.replace(make_job(path, system="of the flag"), by_flag=("prompt.system",))
    with Source(stated) as source:
        source.open()
        assert source.notices == []
        sent = [json.loads(entry.body)["messages"][0] for batch in source.batches() for entry in batch]
    assert sent == [{"role": "system", "content": "of the flag"}] * 2


def test_columns_named_like_a_part_of_the_request_are_reported(tmp_path: Path, make_job) -> None:
    """Those of Parquet too, although they are not read."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["a"], "temperature": [0.5], "tools": ["[]"], "price": [1]}), path)
    [notice] = notices(make_job, str(path))
    assert "not sent, although named like a part of the request: temperature, tools; " in notice
