"""Rows on their way to the workers that make their requests. Pure.

The process that reads the input makes the requests itself where those of several rows are compared or joined, and where
rows name files or models of their own.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batchrun.job.sections import Job
from batchrun.prompts.bundles import has_bundles
from batchrun.prompts.input.digits import exact
from batchrun.prompts.rendering import Entry, Rendering
from batchrun.records import PackedRow, Request, Row

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of rows."""


def can_pack(job: Job) -> bool:
    """Return whether workers can make the requests of a job by themselves."""
    are_compared = job.input.dedupe or job.input.order == "prefix"
    return bool(job.models) and not (are_compared or has_bundles(job) or job.prompt.attached)


_TOGETHER, _TOGETHER_BYTES = 16, 16 << 10
"""Most rows that are packed together, and bytes of these. A worker that gets one of them gets all of them."""


class Packing:
    """Packs the rows of a job, each as often as it has requests."""

    def __init__(self, job: Job, rendering: Rendering) -> None:
        self._rendering = rendering
        self._asked = [(model, sample) for model in job.models for sample in range(job.model.num_samples)]
        self._together = 1 if job.input.order == "random" else _TOGETHER

    def entries(self, rows: Sequence[Row]) -> list[Entry | PackedRow]:
        """Return rows packed; in place of one that cannot be packed, its requests."""
        entries: list[Entry | PackedRow] = []
        for start in range(0, len(rows), self._together):
            self._add(entries, rows[start : start + self._together])
        return entries

    def _add(self, entries: list[Entry | PackedRow], rows: Sequence[Row]) -> None:
        packed = _packed(rows)
        if len(rows) > 1 and (packed is None or len(packed) > _TOGETHER_BYTES):
            for row in rows:
                self._add(entries, [row])
        elif packed is None:
            entries += self._rendering.entries(rows[0])
        else:
            size, asked = len(packed) // len(rows), self._asked
            for row in rows:
                entries += [_new(PackedRow, (row[0], model, sample, packed, size)) for model, sample in asked]


def _packed(rows: Sequence[Row]) -> bytes | None:
    """Return rows as bytes; None where one is nested too deeply, or has a value that only this process has."""
    try:
        return pickle.dumps([_without_columns(row) if row.line else tuple(row) for row in rows], 5)
    except Exception:  # noqa: BLE001
        return None


class Unpacking:
    """Makes the requests of packed rows, at a worker."""

    def __init__(self, job: Job) -> None:
        self.rendering = Rendering(job)
        """Makes requests of the rows."""
        self._models = {model: number for number, model in enumerate(job.models)}
        self._samples = job.model.num_samples
        self._packed = b""
        self._rows: dict[int, tuple[Any, ...]] = {}  # those in it, by their numbers
        self._row = -1
        self._entries: list[Request] | list[Entry] = []  # of that row: those that follow are often of the same

    def entries(self, asked: Iterable[Request | PackedRow]) -> Iterator[Entry]:
        """Yield what each is: a request, or why there is none."""
        for each in asked:
            yield each if isinstance(each, Request) else self._entry(each)

    def _entry(self, asked: PackedRow) -> Entry:
        if asked.packed != self._packed:
            loaded = pickle.loads(asked.packed)  # noqa: S301  # of this run's own driver
            self._packed, self._rows, self._row = asked.packed, {each[0]: each for each in loaded}, -1
        if asked.row != self._row:
            row = _new(Row, self._rows[asked.row])
            if row.columns is None and row.problem is None:
                row = row._replace(columns=exact(row.line))
            self._row, self._entries = asked.row, [*self.rendering.entries(row)]
        return self._entries[self._models[asked.model] * self._samples + asked.sample]


def _without_columns(row: Row) -> tuple[object, ...]:
    """Return a row without its columns, which its line says too."""
    return (row.number, None, *row[2:])
