"""Hostile input from the command line to results.parquet: exit codes, no traceback, each answer in its row."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import columns, results, write_rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf16.jsonl", '{"prompt": "a"}\n'.encode("utf-16")),
        ("cr.csv", b"prompt,b\ra,1\r"),
        ("quote.csv", b'prompt,"b\na,1\n'),
        ("nul.jsonl", b"\0" * 1000),
        ("torn.jsonl.gz", b"\x1f\x8b\x08"),
        ("empty.parquet", b""),
        ("fake.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1"),
    ],
)
def test_a_file_that_cannot_be_used_exits_2_in_one_line(run: Any, endpoint: Any, name: str, content: bytes) -> None:
    """Nothing is sent, and no traceback is shown."""
    Path(name).write_bytes(content)
    done = run(name)
    assert done.code == 2
    assert done.stderr.startswith("batchrun: ")
    assert name in done.stderr
    assert done.stderr.count("\n") == 1
    assert endpoint.stats.received == 0


def test_each_answer_is_in_the_row_of_its_prompt(run: Any) -> None:
    """In a folder with all formats, broken rows, blank lines, clashing names, and numbers of any size."""
    Path("in").mkdir()
    lines = [json.dumps({"text": f"Say j{nr}.", "nr": nr, "row": f"own {nr}"}) for nr in range(300)]
    lines[7], lines[150] = "nonsense\n\n\n", '{"text": "Say big.", "nr": 123456789012345678901234567890, "response": 5}'
    Path("in/a.jsonl").write_text("\n".join(lines) + "\n")
    Path("in/b.csv").write_text('text,nr,input_row\nSay c0.,500,x\n"torn,501,y\n"Say c1.",502,z\nSay c2.,503,"z"\n')
    schema = pa.schema([("text", pa.string()), ("nr", pa.int64())])
    with pq.ParquetWriter("in/c.parquet", schema) as file:
        for nrs in ([], [600], [], [601, 602]):
            file.write_table(pa.table({"text": [f"Say p{nr}." for nr in nrs], "nr": nrs}, schema=schema))
    assert run("in", "-t", "{{ text }} ({{ nr }})").code == 1
    assert columns()[2:7] == ["text", "nr", "input_input_row", "input_response", "input_row"]
    found = results()
    failed = [row["row"] for row in found if row["status"] == "failed"]
    assert failed == [7, 301]
    assert all(found[row]["error_kind"] == "bad_row" and found[row]["nr"] is None for row in failed)
    nrs = [str(nr) for nr in (*range(7), None, *range(8, 150), 0, *range(151, 300), 500, None, 503, 600, 601, 602)]
    nrs[150] = "123456789012345678901234567890"
    assert [str(row["nr"]) for row in found] == nrs

    # The same prompts, sent separately and in another order, have the same answers.
    answered = {f"{row['text']} ({row['nr']})": row["response"] for row in found if row["status"] == "completed"}
    alone = write_rows("alone.jsonl", *({"prompt": prompt} for prompt in sorted(answered, reverse=True)))
    assert run(alone, "--restart").code == 0
    assert {row["prompt"]: row["response"] for row in results()} == answered
    assert len(set(answered.values())) > 100


def test_an_input_with_too_many_keys_loses_columns_and_no_answer(run: Any) -> None:
    """A message reports it, and the same command with --keep adds the named columns without sending anything."""
    path = write_rows("in.jsonl", *({"prompt": "a", f"key{number}": number} for number in range(2500)))
    done = run(path, "--max-concurrency", "64")
    assert done.code == 0
    assert "more than 2,000 different columns" in done.stderr
    assert "prompt" not in columns()
    assert len(results()) == 2500
    done = run(path, "--keep", "key7", "--json")
    assert done.json["attempts"] == 2500
    assert [row["key7"] for row in results()[6:9]] == [None, 7, None]


@pytest.mark.parametrize("change", ["grows", "is replaced"])
def test_if_a_file_changes_during_the_run_no_row_gets_the_answer_of_another(
    run: Any, endpoint: Any, when: Any, change: str
) -> None:
    """Answers have the columns of the rows that were sent, or no columns."""
    path = Path(write_rows("in.jsonl", *({"prompt": f"Say {number}.", "nr": number} for number in range(200))))
    endpoint.change(latency_s=0.02)

    def meddle() -> None:
        if change == "grows":
            with path.open("a") as file:
                file.write('{"prompt": "Say late.", "nr": 200}\n')
        else:
            write_rows("other.jsonl", *({"prompt": f"Say {number}.", "nr": number} for number in range(1, 201)))
            Path("other.jsonl").replace(path)

    when(lambda: endpoint.stats.received > 20, meddle)
    done = run(path, "--max-concurrency", "8")
    assert done.code == 0
    found = results()
    assert len(found) == 200
    if change == "grows":
        assert [row["nr"] for row in found] == list(range(200))
    else:
        assert "nr" not in columns()
        assert "the input has changed since the run" in done.stderr


@pytest.mark.parametrize("label", ["id", "custom_id"])
def test_a_label_with_bytes_inside_that_are_not_text_is_not_used(batchrun: Any, run: Any, label: str) -> None:
    """The job file of `init`, `check` and `run` take such a column, and the rows have their numbers."""
    values = pa.array([[b"\xff\xfe"], [b"\x80"]], pa.list_(pa.binary()))
    pq.write_table(pa.table({label: values, "text": ["one", "two"]}), "a.parquet")
    assert batchrun("init", "a.parquet", "-o", "a.toml").code == 0
    assert batchrun("check", "a.toml").code == 0
    assert run("a.toml").code == 0
    assert [row["status"] for row in results()] == ["completed"] * 2
    assert [row["custom_id"] for row in results()] == ["0", "1"]
