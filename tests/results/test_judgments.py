"""What the judge gave, next to the answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.checkpoint import facts
from batchrun.checkpoint.store import Store
from batchrun.job.judge import Judge
from batchrun.job.judging import judge_job
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.job.serialization import job_to_dict
from batchrun.results.judgments import Judgments

TYPES = pa.schema(
    [
        ("judged_row", pa.int64()),
        ("judged_model", pa.string()),
        ("judged_sample", pa.int32()),
        ("judged_at", pa.timestamp("ms", tz="UTC")),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("label", pa.string()),
    ]
)


def job(directory: Path, model: str = "j") -> Job:
    return Job(
        input=Input(path=("in.jsonl",)),
        model=Model(names=("m",)),
        judge=Judge(model=model),
        output=Output(dir=str(directory)),
    )


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes judgments of answers: (row, model, sample, settled at, label)."""

    def write(*entries: tuple[int, str, int, int, str | None]) -> Path:
        (tmp_path / "judge").mkdir()
        with Store(tmp_path / "judge") as store:
            store.set_fact(facts.JOB, job_to_dict(judge_job(job(tmp_path))))
        names = TYPES.names
        values = [
            (*each[:4], "failed" if each[4] is None else "completed", f"since {each[0]}", each[4]) for each in entries
        ]
        rows = [dict(zip(names, each, strict=True)) for each in values]
        pq.write_table(pa.Table.from_pylist(rows, schema=TYPES), tmp_path / "judge" / "results.parquet")
        return tmp_path

    return write


def results(*rows: tuple[int, str, int, int]) -> pa.RecordBatch:
    names = ("row", "model", "sample", "finished_at")
    types: dict[str, Any] = {"finished_at": pa.timestamp("ms", tz="UTC")}
    columns = zip(*rows, strict=True)
    return pa.record_batch({name: pa.array(its, types.get(name)) for name, its in zip(names, columns, strict=True)})


def given(judgments: Judgments, *batches: pa.RecordBatch) -> list[tuple[Any, ...]]:
    found = []
    for batch in batches:
        values = [score.value for score in judgments(batch, None)]
        found += list(zip(values, *(array.to_pylist() for array in judgments.arrays()), strict=True))
    return found


def test_each_answer_has_its_judgment_wherever_batches_end(judged: Callable[..., Path]) -> None:
    """A failed judgment is none; rows that were not judged have none."""
    directory = judged(
        (0, "m", 0, 5, "correct"), (0, "n", 0, 6, "incorrect"), (2, "m", 0, 7, None), (3, "m", 1, 8, "correct")
    )
    rows = results((0, "m", 0, 5), (0, "n", 0, 6), (1, "m", 0, 9), (2, "m", 0, 7), (3, "m", 0, 8), (3, "m", 1, 8))
    nothing = (None, None, None)
    expected = [(1.0, "correct", "since 0"), (0.0, "incorrect", "since 0"), *[nothing] * 3, (1.0, "correct", "since 3")]
    for size in (1, 2, 6):
        parts = [rows[at : at + size] for at in range(0, 6, size)]
        assert given(Judgments(directory, job(directory)), *parts) == expected


def test_an_answer_that_was_bought_again_has_no_judgment(judged: Callable[..., Path]) -> None:
    """The judgment is of the old answer, which was settled at another time."""
    directory = judged((0, "m", 0, 5, "correct"))
    assert given(Judgments(directory, job(directory)), results((0, "m", 0, 6))) == [(None, None, None)]


def test_judgments_of_another_judge_do_not_count(judged: Callable[..., Path]) -> None:
    """Neither do they when nothing was judged yet."""
    directory = judged((0, "m", 0, 5, "correct"))
    rows = results((0, "m", 0, 5))
    assert given(Judgments(directory, job(directory, "other")), rows) == [(None, None, None)]
    assert given(Judgments(directory / "nowhere", job(directory)), rows) == [(None, None, None)]
