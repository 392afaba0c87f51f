"""Writes the answers of a run for its judge: question, answer and target, with the columns of the input."""

import filecmp
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchrun.answers.columns import without_clashes
from batchrun.answers.scores.scorers import target_text
from batchrun.checkpoint.file import damaged
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError, JobError, RunDirectoryError
from batchrun.job.judging import JUDGED, SEEN, target_of
from batchrun.job.sections import Job
from batchrun.prompts.input.arrow import python_values
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.kinds.asked import texts_in
from batchrun.prompts.source import Source
from batchrun.records import Request
from batchrun.results.columns import BEFORE_ANSWER, BEFORE_INPUT, CLASH_PREFIX, LostAnswer, input_name
from batchrun.results.replace import replacing
from batchrun.results.run_directory import input_source
from batchrun.results.view import StoredRun, View

_SYSTEM = ("system", "developer")

_FROM = ("row", "model", "sample", "finished_at")
"""The columns of the results that `JUDGED` holds, in its order."""


def write_judge_input(job: Job, directory: Path, path: Path) -> int:
    """Write the completed answers that have a text; return how many. A file that would stay the same is not touched.

    Args:
        job: of the run.
        directory: of the run.
        path: the file.

    Raises:
        RunDirectoryError: the checkpoint cannot be read, or the file cannot be written.
        JobError: the input is gone or has changed, so that the questions are not known.
    """
    with Checkpoint(directory) as checkpoint:
        run = StoredRun(directory, checkpoint, View())
        run.be_plain()
        temporary = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(exist_ok=True)
            with replacing(temporary) as part:
                count = run.with_input(lambda columns: _write(run, job, columns, part))
            if run.notices:
                raise JobError(f"the answers cannot be judged without their questions; {run.notices[0]}")
            if not (path.exists() and filecmp.cmp(temporary, path, shallow=False)):
                temporary.replace(path)
        except LostAnswer as lost:
            raise damaged(checkpoint.path, "the answer of a completed row is not an answer") from lost
        except OSError as problem:
            cure = "make room, or make the folder writable, and run the same command again"
            raise RunDirectoryError(f"{path}: cannot be written: {problem.strerror or problem}; {cure}") from problem
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return count


def _write(run: StoredRun, job: Job, columns: InputColumns | None, path: Path) -> int:
    table = run.table(columns)
    names = table.results.schema.names
    inputs = names[len(BEFORE_INPUT) : names.index(BEFORE_ANSWER[0].name)]
    own = [] if columns is None else columns.schema.names
    kept = without_clashes(own, [*JUDGED, *SEEN], CLASH_PREFIX)
    target = target_of(job)
    there = None if target is None or columns is None else input_name(columns.schema, target, [])
    schema = pa.schema(
        [
            *(pa.field(name, table.results.schema.field(old).type) for name, old in zip(JUDGED, _FROM, strict=True)),
            *(pa.field(name, pa.string()) for name in SEEN),
            *(pa.field(name, table.results.schema.field(old).type) for name, old in zip(kept, inputs, strict=True)),
        ]
    )
    count = 0
    with input_source(job, run.directory, run.checkpoint) as source, pq.ParquetWriter(path, schema) as file:
        questions = _Questions(source)
        for batch in table.results.batches():
            answered = pc.and_(pc.equal(batch.column("status"), "completed"), pc.is_valid(batch.column("response")))
            rows = batch.filter(answered)
            if not rows.num_rows:
                continue
            count += rows.num_rows
            targets = [None] * rows.num_rows if there is None else map(target_text, python_values(rows.column(there)))
            seen = [[questions.of(row) for row in rows.column("row").to_pylist()], rows.column("response"), targets]
            arrays = [
                *(rows.column(old) for old in _FROM),
                *(pa.array(values, pa.string()) for values in seen),
                *(rows.column(old) for old in inputs),
            ]
            file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return count


class _Questions:
    """What each input row asks, as text; rows are asked for in ascending order."""

    def __init__(self, source: Source) -> None:
        try:
            source.open()
        except InputError as problem:
            raise JobError(str(problem)) from problem
        self._ahead = self._read(source)
        self._row, self._question = -1, ""

    def of(self, row: int) -> str:
        while self._row < row:
            self._row, self._question = next(self._ahead, (row, ""))
        return self._question if self._row == row else ""

    def _read(self, source: Source) -> Iterator[tuple[int, str]]:
        last = -1
        for entries in source.batches():
            for entry in entries:
                if isinstance(entry, Request) and entry.row != last:
                    last = entry.row
                    yield entry.row, question_of(entry.body)


def question_of(body: bytes) -> str:
    """Return what a request asks, without the system message: one message as its text, several with who says them."""
    fields = orjson.loads(body)
    if "messages" not in fields:
        return "\n\n".join(texts_in(fields))
    messages = [each for each in fields["messages"] if each.get("role") not in _SYSTEM]
    texts = [(str(each.get("role")), _text_of(each.get("content"))) for each in messages]
    if len(texts) == 1:
        return texts[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in texts if text)


def _text_of(content: Any) -> str:
    """Return the text of a message; parts that are not texts are named."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(each.get("text", f"[{each.get('type')}]")) for each in parts if isinstance(each, dict))
