"""Answers become typed columns, and another schema can read them again without cost."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import columns, results, write_prompts
from harness.settled import body_of, failed, settle

LABEL = {"type": "string", "enum": ["good", "bad"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "label": LABEL,
        "reason": {"type": "string"},
        "stars": {"type": "integer"},
        "share": {"type": "number"},
        "is_long": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "seen": {"type": "string", "format": "date"},
        "who": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
    "required": ["label", "reason", "stars", "share", "is_long", "tags", "seen", "who"],
}
TYPES = {
    "label": pa.dictionary(pa.int32(), pa.string()),
    "reason": pa.string(),
    "stars": pa.int64(),
    "share": pa.float64(),
    "is_long": pa.bool_(),
    "tags": pa.list_(pa.string()),
    "seen": pa.date32(),
    "who": pa.struct([("name", pa.string())]),
}
ANSWER = {
    "label": "good",
    "reason": "it is",
    "stars": 4,
    "share": 0.5,
    "is_long": True,
    "tags": ["a", "b"],
    "seen": "2025-01-31",
    "who": {"name": "x"},
}
IN_JOB = '[response]\nschema = "schema.json"\n'


def write_schema(schema: Any, path: str = "schema.json") -> str:
    Path(path).write_text(json.dumps(schema))
    return path


def small(**properties: Any) -> dict[str, Any]:
    """Return a schema with these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def usage() -> dict[str, Any]:
    (row,) = pq.read_table("out/usage.parquet").to_pylist()
    return dict(row)


def test_a_run_with_a_schema_has_a_typed_column_for_each_property(run: Any, endpoint: Any) -> None:
    """They are between `reasoning` and `tool_calls`, with the order and the types of the schema."""
    write_schema(SCHEMA)
    Path("job.toml").write_text(f'[input]\npath = "{write_prompts(*"abcdef")}"\n{IN_JOB}')
    assert run("job.toml").code == 0
    table = pq.read_table("out/results.parquet")
    start = table.schema.names.index("reasoning") + 1
    assert table.schema.names[start : table.schema.names.index("tool_calls")] == list(TYPES)
    assert {name: table.schema.field(name).type for name in TYPES} == TYPES
    for row in table.to_pylist():
        assert {name: row[name] for name in ANSWER if name != "seen"} == {
            name: value for name, value in json.loads(row["response"]).items() if name != "seen"
        }
        assert row["seen"] == date.fromisoformat(json.loads(row["response"])["seen"])
    assert endpoint.stats.received == 6


def test_a_failed_row_has_nulls_in_the_columns_of_the_schema(batchrun: Any) -> None:
    """For every kind of failure. The error quotes an invalid answer and has the reason."""
    write_schema(small(label=LABEL))
    answer = 'It is "good" ' + "x" * 500
    answers = ['{"label": "good"}', failed("bad_request", 400), failed("invalid_response", 200, body=body_of(answer))]
    settle([{"prompt": str(each)} for each in range(3)], lambda asked: answers[asked.row], IN_JOB)
    assert batchrun("export", "out").code == 0
    rows = results()
    assert [row["label"] for row in rows] == ["good", None, None]
    assert [row["error_kind"] for row in rows] == [None, "bad_request", "invalid_response"]
    assert [row["response"] for row in rows] == ['{"label": "good"}', None, None]
    assert rows[2]["error"].startswith('the answer holds no JSON object; the answer: It is "good" xxx')
    assert len(rows[2]["error"]) < 300
    assert [row["invalid_response"] for row in rows] == [None, None, answer]
    for format_, read in (("jsonl", json.loads), ("csv", str)):
        assert batchrun("export", "out", "--format", format_).code == 0
        last = Path(f"out/results.{format_}").read_text().splitlines()[-1]
        assert answer.replace('"', '""' if format_ == "csv" else '"') in str(read(last))
    assert (rows[2]["finish_reason"], rows[2]["http_status"]) == ("stop", 200)


def test_another_schema_reads_the_same_answers_without_cost(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Rows that do not fit it are failed, in results and totals. The next export uses the schema of the job again."""
    write_schema(SCHEMA)
    Path("job.toml").write_text(f'[input]\npath = "{write_prompts(*"abcdefghij")}"\n{IN_JOB}')
    run("job.toml")
    before = results()
    ours = write_schema(small(label={"const": "good"}, who={"type": "object"}), "new.json")
    done = batchrun("export", "out", "--schema", ours)
    assert done.code == 0
    rows = results()
    good = [row["label"] == "good" for row in before]
    assert 0 < sum(good) < 10
    assert [row["status"] == "completed" for row in rows] == good
    assert [row["label"] for row in rows] == ["good" if each else None for each in good]
    assert [row["error_kind"] for row in rows] == [None if each else "invalid_response" for each in good]
    assert all("good" in row["error"] for row in rows if row["error"])
    assert [json.loads(row["who"] or "null") for row in rows] == [
        row["who"] if each else None for row, each in zip(before, good, strict=True)
    ]
    assert "stars" not in columns()
    assert (usage()["completed"], usage()["failed"], usage()["requests"]) == (sum(good), 10 - sum(good), 10)
    footer = json.loads(pq.read_metadata("out/results.parquet").metadata[b"batchrun.usage"])
    assert footer == [usage()]
    assert f"{10 - sum(good)} more rows are failed" in done.stderr
    assert batchrun("export", "out").code == 0
    assert results() == before
    assert endpoint.stats.received == 10


def test_invalid_answers_are_completed_by_a_schema_that_accepts_them(batchrun: Any) -> None:
    """They have values and no error."""
    write_schema(small(label=LABEL))
    invalid = failed("invalid_response", 200, body=body_of('```json\n{"label": "so so"}\n```'))
    settle([{"prompt": "a"}, {"prompt": "b"}], lambda asked: invalid if asked.row else '{"label": "good"}', IN_JOB)
    done = batchrun("export", "out", "--schema", write_schema(small(label={"type": "string"}), "new.json"))
    assert "1 more row is completed" in done.stderr
    assert [(row["status"], row["label"], row["error_kind"], row["error"]) for row in results()] == [
        ("completed", "good", None, None),
        ("completed", "so so", None, None),
    ]
    assert usage()["failed"] == 0


def test_without_a_schema_every_answer_is_a_text(batchrun: Any) -> None:
    """`--schema none` shows the text of the answers."""
    write_schema(small(label=LABEL))
    invalid = failed("invalid_response", 200, body=body_of("neither"))
    settle([{"prompt": "a"}, {"prompt": "b"}], lambda asked: invalid if asked.row else '{"label": "good"}', IN_JOB)
    assert batchrun("export", "out", "--schema", "none").code == 0
    assert "label" not in columns()
    assert [(row["status"], row["response"]) for row in results()] == [
        ("completed", '{"label": "good"}'),
        ("completed", "neither"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ('{"type": "strin"}', "is not a JSON Schema"),
        ('{"type": "string"}', "An answer must be an object"),
    ],
)
def test_an_invalid_schema_is_refused(batchrun: Any, content: str | None, words: str) -> None:
    """Before anything is written; the message has the file."""
    settle([{"prompt": "a"}], lambda asked: "yes")
    if content is not None:
        Path("new.json").write_text(content)
    done = batchrun("export", "out", "--schema", "new.json")
    assert done.code == 2
    assert "--schema new.json: " in done.stderr
    assert words in done.stderr
    assert "response.schema" not in done.stderr
    assert not Path("out/results.parquet").exists()


def test_properties_with_the_names_of_other_columns_keep_their_values(batchrun: Any) -> None:
    """These can be columns of the input or of the results."""
    write_schema(small(label=LABEL, model={"type": "integer"}))
    settle([{"prompt": "a", "label": "input"}], lambda asked: '{"label": "good", "model": 7}', IN_JOB)
    batchrun("export", "out")
    (row,) = results()
    assert (row["label"], row["response_label"], row["model"], row["response_model"]) == ("input", "good", "m", 7)


def test_another_parquet_reader_sees_the_types(batchrun: Any) -> None:
    """Arrow writes the file; DuckDB has its own Parquet reader."""
    duckdb = pytest.importorskip("duckdb")
    write_schema(SCHEMA)
    settle([{"prompt": "a"}, {"prompt": "b"}], lambda asked: "no" if asked.row else json.dumps(ANSWER), IN_JOB)
    batchrun("export", "out")
    answered, failed_row = duckdb.sql(f"SELECT {', '.join(ANSWER)} FROM 'out/results.parquet'").fetchall()
    assert dict(zip(ANSWER, answered, strict=True)) == ANSWER | {"seen": date(2025, 1, 31)}
    assert set(failed_row) == {None}
