"""Rows on their way to the workers that make their requests. Pure.

The process that reads the input makes the requests itself where those of several rows are compared or joined, and where
rows name files or models of their own.
"""

import pickle
from collections.abc import Iterable, Iterator

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


class Packing:
    """Packs the rows of a job, each as often as it has requests."""

    def __init__(self, job: Job, rendering: Rendering) -> None:
        self._rendering = rendering
        self._asked = [(model, sample) for model in job.models for sample in range(job.model.num_samples)]

    def entries(self, rows: Iterable[Row]) -> list[Entry | PackedRow]:
        """Return rows packed; in place of one that cannot be packed, its requests."""
        entries: list[Entry | PackedRow] = []
        for row in rows:
            try:
                packed = pickle.dumps(_without_columns(row) if row.line else tuple(row), 5)
            except Exception:  # noqa: BLE001  # nested too deeply, or a value that only this process has
                entries += self._rendering.entries(row)
                continue
            for model, sample in self._asked:
                entries.append(_new(PackedRow, (row.number, model, sample, packed)))
        return entries


class Unpacking:
    """Makes the requests of packed rows, at a worker."""

    def __init__(self, job: Job) -> None:
        self.rendering = Rendering(job)
        """Makes requests of the rows."""
        self._models = {model: number for number, model in enumerate(job.models)}
        self._samples = job.model.num_samples
        self._packed = b""
        self._entries: list[Request] | list[Entry] = []  # of the last row: those that follow are often of the same

    def entries(self, asked: Iterable[Request | PackedRow]) -> Iterator[Entry]:
        """Yield what each is: a request, or why there is none."""
        for each in asked:
            yield each if isinstance(each, Request) else self._entry(each)

    def _entry(self, asked: PackedRow) -> Entry:
        if asked.packed != self._packed:
            row = _new(Row, pickle.loads(asked.packed))  # noqa: S301  # of this run's own driver
            if row.columns is None and row.problem is None:
                row = row._replace(columns=exact(row.line))
            self._packed, self._entries = asked.packed, [*self.rendering.entries(row)]
        return self._entries[self._models[asked.model] * self._samples + asked.sample]


def _without_columns(row: Row) -> tuple[object, ...]:
    """Return a row without its columns, which its line says too."""
    return (row.number, None, *row[2:])
