"""A run as the input of another: names of its columns, ids, and the rows that are used."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import InputError
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.first_run import renamed
from batchrun.prompts.input.folders import RESULTS_FILE, SUMMARY_FILE
from batchrun.prompts.source import Source
from batchrun.records import RowCount
from batchrun.results.run_directory import RESULTS, SUMMARY


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run(rows: int = 4, failed: tuple[int, ...] = (), state: str = "completed", **columns: Any) -> str:
    """Write the files of a run that are read; return its directory."""
    folder = Path("runs/one")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).touch()
    (folder / SUMMARY).write_text(json.dumps({"state": state}))
    table = {
        "row": list(range(rows)),
        "custom_id": [f"id{row}" for row in range(rows)],
        "question": [f"question {row}" for row in range(rows)],
        **{name: values for name, values in columns.items() if name.startswith("in_")},
        "model": ["org/m"] * rows,
        "sample": [0] * rows,
        "status": ["failed" if row in failed else "completed" for row in range(rows)],
        "response": [None if row in failed else f"answer {row}" for row in range(rows)],
        **{name: values for name, values in columns.items() if not name.startswith("in_")},
    }
    pq.write_table(pa.table(table), folder / RESULTS)
    return str(folder)


def job_of(path: str, user: str = "{{ first.response }}", **settings: Any) -> Job:
    return Job(
        input=Input(path=(path,), **settings),
        prompt=PromptTemplates(user=user),
        model=Model(names=("m",)),
        output=Output(dir="out"),
    )


def sent(job: Job) -> dict[int, tuple[str | None, str]]:
    """Return row → id and prompt of what is sent."""
    with Source(job) as source:
        source.open()
        entries = [each for batch in source.batches() for each in batch]
    return {each.row: (each.custom_id, json.loads(each.body)["messages"][0]["content"]) for each in entries}


def test_the_names_of_a_run_are_known_here_too() -> None:
    assert (RESULTS_FILE, SUMMARY_FILE) == (RESULTS, SUMMARY)


def test_the_columns_of_the_run_are_named_first_and_those_of_its_input_keep_their_names() -> None:
    names = ["row", "custom_id", "id", "input_model", "first", "first.score", "model", "sample", "label", "score"]
    assert list(renamed(names).values()) == [
        *("first.row", "first.custom_id", "id", "input_model", "input_first", "first.first.score"),
        *("first.model", "first.sample", "first.label", "first.score"),
    ]


def test_only_completed_rows_are_used_with_unique_ids_and_the_place_of_the_row_as_its_number() -> None:
    """So that a row that is retried in the first run later keeps its number here."""
    found = sent(job_of(a_run(failed=(1,)), "{{ question }}: {{ first.response }} ({{ first.custom_id }})"))
    assert found == {row: (f"id{row}/org/m/0", f"question {row}: answer {row} (id{row})") for row in (0, 2, 3)}


def test_failed_rows_are_used_when_they_are_asked_for() -> None:
    job = job_of(a_run(failed=(1,)), "{{ first.status }}", include_failed=True)
    assert [prompt for _, prompt in sent(job).values()] == ["completed", "failed", "completed", "completed"]


@pytest.mark.parametrize(("limit", "rows"), [(None, [0, 2, 3, 5]), (3, [0, 2, 3]), (9, [0, 2, 3, 5])])
def test_a_limit_counts_the_rows_that_are_used(limit: int | None, rows: list[int]) -> None:
    with Source(job_of(a_run(6, failed=(1, 4)), limit=limit)) as source:
        source.open()
        assert source.input_rows == RowCount(len(rows), is_exact=True)  # before any row is read
        assert [each.row for batch in source.batches() for each in batch] == rows
        assert source.input_rows == RowCount(len(rows), is_exact=True)


def test_a_column_named_like_a_method_is_a_column() -> None:
    folder = a_run(1, items=[["a", "b"]], values=["v"])
    assert sent(job_of(folder, "{{ first.items | join('+') }} {{ first.values }} {{ first['status'] }}")) == {
        0: ("id0/org/m/0", "a+b v completed")
    }


def test_the_run_before_the_first_is_read_as_first_first() -> None:
    folder = a_run(1, in_x=[1])
    table = pq.read_table(f"{folder}/{RESULTS}").rename_columns(
        ["row", "custom_id", "question", "first.response", "model", "sample", "status", "response"]
    )
    pq.write_table(table, f"{folder}/{RESULTS}")
    assert sent(job_of(folder, "{{ first.first.response }} {{ first.response }}"))[0][1] == "1 answer 0"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ first.respnse }}", r"has no column first.respnse, which prompt.user names; did you mean first.response\?"),
        ("{{ first['respnse'] }}", r"did you mean first.response\?"),
        ("{{ qestion }}", r"has no column qestion, which prompt.user names; did you mean question\?"),
    ],
)
def test_a_misspelt_column_is_named_with_the_nearest(template: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Source(job_of(a_run(), template)).open()


def test_a_column_that_may_be_missing_is_allowed() -> None:
    assert sent(job_of(a_run(1), "{{ first.label | default('none') }}"))[0][1] == "none"


def test_the_results_have_the_columns_under_these_names() -> None:
    columns = InputColumns(find_files([a_run(2)]), ("question", "first.response"))
    (batch,) = columns.batches()
    assert batch.to_pydict() == {
        "question": ["question 0", "question 1"],
        "first.response": ["answer 0", "answer 1"],
    }


@pytest.mark.parametrize(
    ("run", "settings", "notices"),
    [
        ({}, {}, []),
        ({"failed": (1,)}, {}, ["runs/one: 1 failed row is left out; --include-failed uses them"]),
        ({"failed": (1, 2)}, {}, ["runs/one: 2 failed rows are left out; --include-failed uses them"]),
        ({"failed": (1, 2)}, {"include_failed": True}, []),
        (
            {"state": "stopped"},
            {},
            [
                "runs/one: has not completed; the rows that its results have now are used, "
                "and the same command again adds the rows that it completes later"
            ],
        ),
    ],
)
def test_an_unfinished_run_and_rows_that_are_left_out_are_reported(
    run: dict[str, Any], settings: dict[str, Any], notices: list[str]
) -> None:
    with Source(job_of(a_run(**run), **settings)) as source:
        source.open()
        assert source.notices == notices


def test_prompts_that_are_sent_again_without_the_answers_are_reported() -> None:
    folder = a_run(1)
    table = pq.read_table(f"{folder}/{RESULTS}")
    pq.write_table(table.rename_columns({"question": "prompt"}), f"{folder}/{RESULTS}")
    with Source(Job(input=Input(path=(folder,)), model=Model(names=("m",)), output=Output(dir="out"))) as source:
        source.open()
        (notice,) = source.notices
    assert notice.endswith("a template reads the answers: -t '{{ first.response }}'")


def test_a_run_without_a_prompt_is_refused_with_the_template_that_reads_its_answers() -> None:
    with pytest.raises(InputError, match=r"no messages and no prompt.*-t '{{ first.response }}'"):
        Source(Job(input=Input(path=(a_run(),)), model=Model(names=("m",)), output=Output(dir="out"))).open()


def test_a_run_that_cannot_be_used_is_refused_with_the_cure() -> None:
    folder = a_run(2, failed=(0, 1))
    with pytest.raises(InputError, match="runs/one: holds no completed rows; --include-failed uses failed ones"):
        Source(job_of(folder)).open()
    Path(folder, RESULTS).unlink()
    with pytest.raises(InputError, match=r"is a run without results; .*batchrun export runs/one"):
        Source(job_of(folder)).open()
    Path("files").mkdir()
    Path("files/a.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(InputError, match=r"files: is not a run directory, as input.run must be"):
        Source(Job(input=Input(run="files"), model=Model(names=("m",)), output=Output(dir="out"))).open()


def test_a_run_cannot_be_its_own_input() -> None:
    job = job_of(a_run())
    with pytest.raises(InputError, match=r"runs/one: is the input and the run directory; .* -o DIR"):
        Source(Job(input=job.input, prompt=job.prompt, model=job.model, output=Output(dir="runs/../runs/one"))).open()
