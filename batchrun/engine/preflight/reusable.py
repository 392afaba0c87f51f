"""Counts, for `check`, the requests of a job that other runs have had answered: what `run` would take from them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

from batchrun.checkpoint.reuse import Requests, RunAnswers
from batchrun.checkpoint.tables import FILE_NAME, pack
from batchrun.endpoint.pool.repair import Repair
from batchrun.engine.preflight.estimate import Asked
from batchrun.engine.preflight.survey import Survey
from batchrun.engine.reuse import listing, matches, other_keys, other_runs
from batchrun.job.sections import Job
from batchrun.prompts.source import Entry, Source
from batchrun.records import Request


class Reusable:
    """The requests of a job, and the runs that it reuses; of a job that reuses none, nothing is done."""

    def __init__(self, job: Job, source: Source, *, simulated: bool) -> None:
        self._job, self._source, self._simulated = job, source, simulated
        self._numbers: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        """How many requests each `run` answers, as `rows`: as in run.json."""

    def __enter__(self) -> Self:
        """Open the other runs.

        Raises:
            JobError: one of them cannot be used.
        """
        self._opened = ExitStack()
        with ExitStack() as opened:
            self._others = other_runs(self._job, opened, simulated=self._simulated)
            if self._others:
                self._requests = opened.enter_context(Requests(shares_answers=self._job.input.dedupe))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def listed(self, batches: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
        """Pass the batches of the whole input on, and note their requests."""
        if not self._others:
            yield from batches
            return
        others = other_keys(self._others)
        with listing(self._source, others):
            for batch in batches:
                self._requests.add(
                    (pack(each.row, self._number_of(each.model), each.sample), each.key, each.sample, None)
                    for each in batch
                    if isinstance(each, Request)
                )
                self._requests.add_alike(others.taken())
                yield batch

    def drop(self, settled: Iterable[tuple[str, int]]) -> None:
        """Leave out the requests, given as model and row, that have an outcome."""
        if self._others:
            known: dict[str, array[int]] = {}
            for model, row in settled:
                known.setdefault(model, array("q")).append(row)
            self._keep(known, is_in=False)

    def only(self, rows_by_model: Mapping[str, Iterable[int]]) -> None:
        """Look only for the requests of these rows."""
        if self._others:
            self._keep({model: array("q", rows) for model, rows in rows_by_model.items()}, is_in=True)

    def left(self, survey: Survey, left: dict[str, Asked]) -> dict[str, Asked]:
        """Return what is left to be sent, without what the other runs answer; set `rows`."""
        if not self._others:
            return left
        names = {number: name for name, number in self._numbers.items()}
        counts = dict.fromkeys(self._job.input.reuse, 0)
        taken: dict[str, array[int]] = {}
        last: tuple[int, bytes, int] | None = None
        repair = None if self._job.response.schema is None else Repair(self._job.response)
        for run, found in matches(self._requests, self._others, names, self._used(), repair):
            counts[run] += len(found)
            for each in found:
                asked = each.model, each.key, each.sample
                if not (self._job.input.dedupe and asked == last):  # of those that share an answer, one would be sent
                    taken.setdefault(names[each.model], array("q")).append(each.row)
                last = asked
        self.rows = [{"run": run, "rows": count} for run, count in counts.items() if count]
        return survey.less(left, taken)

    def _used(self) -> Mapping[str, list[tuple[str, bytes, int, int]]]:
        if not (self._job.run_directory / FILE_NAME).exists():
            return {}
        with RunAnswers(self._job.run_directory) as own:
            return {run: own.used(run) for run in self._job.input.reuse}

    def _keep(self, rows_by_model: Mapping[str, "array[int]"], *, is_in: bool) -> None:
        rows = {self._number_of(model): array("q", sorted(rows)) for model, rows in rows_by_model.items()}
        nothing = array("q")

        def is_wanted(row: int, model: int) -> bool:
            listed = rows.get(model, nothing)
            place = bisect_left(listed, row)
            return (place < len(listed) and listed[place] == row) == is_in

        self._requests.keep(is_wanted)

    def _number_of(self, model: str) -> int:
        return self._numbers.setdefault(model, len(self._numbers))
