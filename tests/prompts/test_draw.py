"""Samples and random orders of real files: the same rows whatever the format, counted before they are read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.job.sections import Input, Job, Model, PromptTemplates
from batchrun.prompts import draw
from batchrun.prompts.source import Source
from batchrun.records import BadRow, RowCount

ROWS = [{"n": row, "even": row % 2 == 0, "prompt": f"p{row}"} for row in range(2_000)]


def job_of(path: str, **settings: Any) -> Job:
    return Job(
        input=Input(path=(path,), **settings), prompt=PromptTemplates(user="{{ prompt }}"), model=Model(names=("m",))
    )


def numbers(job: Job) -> list[int]:
    """Return the rows that are asked, as the number in each prompt; checks that they were counted before."""
    with Source(job) as source:
        source.open()
        known = source.input_rows
        entries = [entry for batch in source.batches() for entry in batch]
        assert source.input_rows == RowCount(len(entries), is_exact=True)
        assert job.input.sample is None or known == source.input_rows
    asked = [int(json.loads(entry.body)["messages"][0]["content"][1:]) for entry in entries]
    assert [entry.row for entry in entries] == asked
    return asked


@pytest.fixture
def files(write, tmp_path: Path) -> dict[str, str]:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=300)
    blank = "".join(json.dumps(row) + "\n" + "\n" * (row["n"] % 3 == 0) for row in ROWS)
    table = "n,even,prompt\n" + "".join(f"{row['n']},{row['even']},{row['prompt']}\n" for row in ROWS)
    return {
        "jsonl": write("a.jsonl", blank),
        "json": write("a.json", json.dumps(ROWS)),
        "csv": write("a.csv", table),
        "txt": write("a.txt", "".join(row["prompt"] + "\n" for row in ROWS)),
        "parquet": str(tmp_path / "a.parquet"),
    }


def test_a_sample_has_the_same_rows_in_every_format(files: dict[str, str]) -> None:
    found = {kind: numbers(job_of(path, sample=50)) for kind, path in files.items()}
    assert all(each == found["jsonl"] for each in found.values())
    assert len(found["jsonl"]) == 50
    assert numbers(job_of(files["jsonl"], sample=50, sample_seed=1)) != found["jsonl"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_sample_is_drawn_of_the_rows_that_meet_the_condition(files: dict[str, str], kind: str) -> None:
    sample = numbers(job_of(files[kind], where="n | int % 2 == 0", sample=50))
    assert len(sample) == 50
    assert all(row % 2 == 0 for row in sample)
    assert numbers(job_of(files[kind], where="n | int % 2 == 0", sample=50, limit=20)) == sample[:20]


@pytest.mark.parametrize(("limit", "count"), [(None, 1_000), (10, 10), (5_000, 1_000)])
def test_a_limit_counts_the_rows_that_meet_the_condition(files: dict[str, str], limit: int | None, count: int) -> None:
    assert numbers(job_of(files["jsonl"], where="even", limit=limit)) == [*range(0, 2 * count, 2)]


def test_a_sample_of_more_rows_than_there_are_has_all(files: dict[str, str]) -> None:
    with Source(job_of(files["jsonl"], sample=3_000)) as source:
        source.open()
        assert source.notices[:1] == ["sample = 3,000: the input has only 2,000 rows to choose from; all are used"]
    assert numbers(job_of(files["jsonl"], sample=3_000)) == [*range(2_000)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"where": "evn"}, r"has no column evn, which input.where names; did you mean even\?"),
        ({"where": "evn", "sample": 3}, r"has no column evn, which input.where names; did you mean even\?"),
        ({"where": "n > 5000"}, r"a.jsonl: no row meets input.where"),
        ({"where": "prompt > 3"}, r"none of the first 100 rows can be used: .*input.where cannot be evaluated"),
    ],
)
def test_a_condition_that_chooses_nothing_is_refused(files: dict[str, str], settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Source(job_of(files["jsonl"], **settings)).open()


def test_a_row_whose_condition_cannot_be_evaluated_is_broken(write) -> None:
    """It is reported, not left out."""
    path = write("b.jsonl", [{"n": 5, "prompt": "p0"}, {"n": "x", "prompt": "p1"}, {"n": None, "prompt": "p2"}])
    with Source(job_of(path, where="n > 3")) as source:
        source.open()
        entries = [entry for batch in source.batches() for entry in batch]
    assert [(entry.row, isinstance(entry, BadRow)) for entry in entries] == [(0, False), (1, True)]


def test_a_sample_of_standard_input_is_refused() -> None:
    with pytest.raises(InputError, match="standard input can be read only once; use a file"):
        Source(job_of("-", sample=3)).open()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, range(2_000)),
        ({"limit": 300}, range(300)),
        ({"where": "n | int < 700"}, range(700)),
        ({"where": "n | int % 2 == 0", "limit": 100}, range(0, 200, 2)),
    ],
)
def test_an_input_is_read_in_parts_each_row_once_and_its_count_is_known(
    files: dict[str, str], kind: str, settings: Any, expected: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is read in parts, the end of a part is not taken for the end of the input."""
    monkeypatch.setattr(draw, "_PART_REQUESTS", 80)
    monkeypatch.setattr(draw, "_MOST_PARTS", 4)
    with Source(job_of(files[kind], order="random", **settings)) as source:
        source.open()
        parts = source.parts()
        rows: list[int] = []
        for part in parts:
            rows += [entry.row for batch in source.batches(part=part) for entry in batch]
            assert source.input_rows == RowCount(len(expected), is_exact=True)
            assert source.is_complete is (part is parts[-1])
        assert len(parts) > 1
        assert rows != sorted(rows)
        assert sorted(rows) == [*expected]
        assert [entry.row for batch in source.batches() for entry in batch] == [*expected]


def test_a_small_input_is_one_part(files: dict[str, str]) -> None:
    with Source(job_of(files["jsonl"], order="random")) as source:
        source.open()
        assert source.parts() == [None]
