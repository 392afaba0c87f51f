"""A run in the form in which it is published: its job, dataset and results. Its requests are in `requests`.

Everything is read from the run directory in batches, and nothing there is changed.
"""

import heapq
import re
from collections.abc import Container, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.prompts.input.arrow import python_dicts
from batchrun.results.columns import AFTER_INPUT, BEFORE_INPUT
from batchrun.results.row_groups import batches_of
from batchrun.results.run_directory import RESULTS, stored_job
from batchrun.results.state import summary_of

_ROWS_AT_ONCE = 2000
"""Rows of the results per read."""

_CELL_CHARS = 100_000
"""The longest text of a cell that is published in full."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,")

_SPREAD = 0x9E3779B97F4A7C15
"""2⁶⁴ over the golden ratio: its multiples, modulo 2⁶⁴, are evenly spread. Source: Knuth, TAOCP 3, 6.4."""

_ALL_ROWS = range(2**63)


class RunRecord:
    """A run that is published, open for reading."""

    def __init__(self, directory: Path, sample: int | None = None) -> None:
        """Name the run. Reads nothing yet.

        Args:
            directory: of the run.
            sample: how many input rows to publish, with all their answers; None: all.
        """
        self.directory = directory
        self.sample = sample

    def __enter__(self) -> Self:
        self.summary = summary_of(self.directory)
        self.checkpoint = Checkpoint(self.directory).__enter__()
        self.job = stored_job(self.checkpoint)
        if self.sample is not None and self.sample * self.job.per_row >= self.summary.rows:
            self.sample = None  # the sample is everything: publish it under one name only
        self.identity: str = self.checkpoint.fact(facts.IDENTITY) or ""
        """Identifies this run among all runs, also among copies in other directories."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.checkpoint.__exit__(kind, error, trace)

    @property
    def name(self) -> str:
        """The run's name for readers: the name of its directory."""
        return self.directory.resolve().name

    @property
    def is_whole(self) -> bool:
        """Whether every row is settled."""
        return self.summary.state == "completed"

    def chosen(self, most: int | None = None) -> Container[int]:
        """Return the input rows that are published: all, or a sample that is evenly spread and always the same.

        A smaller sample is a part of every larger one.
        """
        count = min((each for each in (self.sample, most) if each is not None), default=None)
        if count is None:
            return _ALL_ROWS
        rows = chain.from_iterable(batch.column("row").to_pylist() for batch in self._results(["row"]))
        each_once = (row for row, _ in groupby(rows))
        return set(heapq.nsmallest(count, each_once, key=lambda row: row * _SPREAD % 2**64))

    def rows(self, most: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of results.parquet as JSON values; a sample where there are more than `most` input rows."""
        chosen = self.chosen(most)
        for batch in self._results(None):
            for row in python_dicts(batch):
                if row["row"] in chosen:
                    yield _plain(row)

    def fingerprint(self) -> str:
        """Return a hash of the settled rows, their times and scores, and the sample size."""
        digest = blake2b(orjson.dumps([self.identity, self.sample]), digest_size=16)
        names = [
            "row",
            "model",
            "sample",
            "status",
            "finished_at",
            *dict.fromkeys(each.get("column", "score") for each in self.summary.scores),
        ]
        for batch in self._results(names):
            digest.update(orjson.dumps([column.to_pylist() for column in batch.columns]))
        return digest.hexdigest()

    def input_columns(self) -> list[str]:
        """Return the columns of the results that come from the input, and `row`."""
        names: list[str] = pq.read_schema(self.directory / RESULTS).names
        return names[: names.index(AFTER_INPUT[0].name)]

    def answer_columns(self) -> list[str]:
        """Return the columns of the results that describe the outcome, and `row`."""
        names: list[str] = pq.read_schema(self.directory / RESULTS).names
        return [column.name for column in BEFORE_INPUT] + names[names.index(AFTER_INPUT[0].name) :]

    def _results(self, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.directory / RESULTS) as file:
            yield from batches_of(file, _ROWS_AT_ONCE, columns=columns)


def picked(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return these columns of a row."""
    return {name: row[name] for name in names}


def cut(value: Any, most: int) -> Any:
    """Return JSON with long texts cut. Data such as an image is replaced by its type and size."""
    if isinstance(value, dict):
        return {key: cut(each, most) for key, each in value.items()}
    if isinstance(value, list):
        return [cut(each, most) for each in value]
    if not isinstance(value, str):
        return value
    if data := _DATA_URL.match(value):
        return f"({data[1]}, {len(value):,} characters)"
    return value if len(value) <= most else f"{value[:most]}… ({len(value):,} characters)"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON values: bytes as their size, times as text, long texts cut."""
    cells = {name: each if abs(each) < 2**63 else str(each) for name, each in row.items() if isinstance(each, int)}
    held = orjson.loads(orjson.dumps(row | cells, default=_as_text, option=orjson.OPT_NON_STR_KEYS))
    return {name: cut(each, _CELL_CHARS) for name, each in held.items()}


def _as_text(value: Any) -> str:
    return f"({len(value):,} bytes)" if isinstance(value, bytes | bytearray | memoryview) else str(value)
