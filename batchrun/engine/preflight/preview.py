"""Shows what is ahead of a run before it sends: estimated from the first rows of its input.

Nobody is refused on a guess. A run is refused where the requests that were really read exceed a cap at the low end of
their estimate, or all requests do and their number is exact. To find out, more rows are read, for a few seconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from math import ceil
from typing import NamedTuple

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.engine.preflight.judge_outlook import judge_line
from batchrun.engine.preflight.known import Past, learned, survey_for
from batchrun.engine.preflight.outlook import (
    Excess,
    Outlook,
    ahead_lines,
    asked_of,
    excess,
    look_ahead,
    model_notes,
    product_text,
)
from batchrun.engine.preflight.prompt_fit import lengths_by_bytes, lengths_to_limit
from batchrun.engine.preflight.ranges import ALIKE, Range
from batchrun.engine.preflight.survey import ModelSurvey, Survey
from batchrun.engine.preflight.tokens import text_density
from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.count import output_rows, rows_left
from batchrun.prompts.input.parquet_file import stated_rows
from batchrun.prompts.source import Entry, Source
from batchrun.records import ModelTotals, Request, RowCount, summed

_SAMPLE_ROWS = 1_000
_SAMPLE_BYTES = 4 << 20
_SAMPLE_S = 0.2
"""How much of the input a run looks at before it sends: what is read in less time than anybody notices."""

_WHOLE_S = 1.0
"""How long all rows are read instead, where that is enough: then nothing is a guess."""

_SEEK_S = 1.0
"""How long the first rows that are left are looked for among those that are settled."""

_SAMPLING_SHARE = 0.1
"""How far the mean of a file's first prompts may be from that of all like them: an assumption."""

_UNSEEN_SHARE = 0.5
"""And where none of the rows left was seen: an assumption."""

_CERTAIN_S = 5.0
"""How long more rows are read where the estimate is above a cap."""

_LOOK_EVERY_S = 0.5
"""How often these rows are compared with the cap."""


class Preview(NamedTuple):
    """What a run says before it sends."""

    lines: tuple[str, ...] = ()
    refusal: str | None = None
    """Why the remaining requests will exceed the job's caps; None when they may not."""


def preview(
    job: Job, source: Source, *, known_limits: Mapping[str, int] | None, is_begun: bool, retries: bool, today: date
) -> Preview:
    """Return what is ahead of a run; nothing when nothing is left.

    Takes a few tenths of a second, whatever the size of the input; a few seconds where the estimate is above a cap.

    Args:
        job: that is run; its directory has a checkpoint.
        source: the job's input, of files; it can be gone through from the beginning afterwards.
        known_limits: how many requests each endpoint takes at once, by its name, if that was learned on this machine.
        is_begun: whether the user has agreed to the job's caps before.
        retries: whether failed rows will be sent again.
        today: for models that are switched off.
    """
    with Checkpoint(job.run_directory) as checkpoint:
        past = Past.of(checkpoint, job)
        rows = _FirstRows(job, source, past, retries=retries, slots=known_limits or past.limits)
        try:
            rows.read_sample()
            if past.totals:
                rows.read_left(checkpoint)
            if not rows.left():
                return Preview()
            certain = None if is_begun or rows.excess() is None else rows.certain_excess()
        except InputError:
            return Preview()  # the run itself will come upon it, after the rows before it
    judging = judge_line(job, rows.ahead())
    lines = [
        *rows.lines(),
        *filter(None, [judging]),
        *(f"note: {note}" for note in model_notes(job, rows.survey, today, is_whole=source.is_complete)),
    ]
    if certain is None and (excess := rows.excess()) is not None:
        by = "" if source.is_complete else "as estimated from the first rows, "
        lines.append(f"note: {by}{excess.reason}; what fits is sent, and the run stops at the cap")
    return Preview(tuple(lines), None if certain is None else certain.text)


class _LateError(Exception):
    """Too many settled rows come before the first that is left."""


class _FirstRows:
    """The first rows of an input, the first of those that are left, and what they show."""

    def __init__(self, job: Job, source: Source, past: Past, *, retries: bool, slots: Mapping[str, int] | None) -> None:
        self.survey = survey_for(job, past)
        self._unsettled = self.survey
        self._job, self._source, self._past = job, source, past
        self._retries, self._slots = retries, slots
        self._batches = source.batches()
        self._is_late = False
        self._begun = 0.0, 0  # share of the input and rows before the first that is left, or a few rows after it

    @property
    def _is_complete(self) -> bool:
        """Whether all rows that are left were read."""
        return self._source.is_complete and not self._is_late

    def read_sample(self) -> None:
        """Read as many rows as nobody has to wait for."""
        self._read(self.survey, lambda: self._source.input_rows)

    def read_left(self, checkpoint: Checkpoint) -> None:
        """Read as many of the rows that are left: the other ones say little of their length."""
        self._unsettled = replace(survey_for(self._job, self._past), is_from_first=False)
        self._batches = self._batches_left(checkpoint)
        try:
            self._read(self._unsettled, self._rows_left)
        except _LateError:
            self._is_late = True

    def _read(self, survey: Survey, rows_of: Callable[[], RowCount | None]) -> None:
        """Read some of so many rows, or all where that is quick."""
        began_s, size_bytes = time.monotonic(), 0
        for batch in self._batches:
            survey.add(batch)
            size_bytes += sum(len(entry.body) for entry in batch if isinstance(entry, Request))
            took_s = time.monotonic() - began_s
            is_enough = survey.rows >= _SAMPLE_ROWS or size_bytes >= _SAMPLE_BYTES or took_s > _SAMPLE_S
            if is_enough and ((rows := rows_of()) is None or took_s * rows.rows > _WHOLE_S * survey.rows):
                break

    def _batches_left(self, checkpoint: Checkpoint) -> Iterator[list[Entry]]:
        began_s, per_row = time.monotonic(), self._job.per_row
        settled: set[tuple[int, str, int]] = set()

        def settled_rows(first: int, end: int) -> list[int]:
            nonlocal settled
            if not self._unsettled.rows and time.monotonic() - began_s > _SEEK_S:
                raise _LateError
            settled = checkpoint.settled(first, end, is_failed_left=self._retries)
            counts = Counter(row for row, _, _ in settled)
            return [row for row, count in counts.items() if count >= per_row]

        first = 0 if self._retries else checkpoint.fact(facts.SETTLED_ROWS) or 0
        for batch in self._source.batches(first, settled_rows):
            if not self._unsettled.rows:
                self._begun = self._source.fraction_read or 0.0, self._source.rows_read
            yield [entry for entry in batch if (entry.row, entry.model, entry.sample) not in settled]

    def certain_excess(self) -> Excess | None:
        """Read more rows, until it is certain whether a cap will be exceeded; return why it will."""
        began_s = looked_s = time.monotonic()
        for batch in self._batches:
            self._unsettled.add(batch)
            now_s = time.monotonic()
            if now_s - looked_s >= _LOOK_EVERY_S:
                looked_s = now_s
                ahead = self._outlook(self._read_left(), ALIKE)
                if found := excess(self._job, ahead, self._past.used, f"the first {ahead.requests:,} requests alone"):
                    return found
            if now_s - began_s >= _CERTAIN_S:
                break
        rows = self._source.input_rows
        is_certain = self._is_complete or (rows is not None and rows.is_exact and not self._job.input.dedupe)
        return self.excess() if is_certain else None

    def excess(self) -> Excess | None:
        """Return why a cap will be exceeded, as far as these rows are like the others."""
        return excess(self._job, self.ahead(), self._past.used)

    def lines(self) -> list[str]:
        """Return what is ahead, in short, for people."""
        rows = self._rows_left()
        # How many of the rows left ask what a settled row asks is a guess.
        is_shared = self._job.input.dedupe and bool(self._past.totals)
        is_counted = rows is not None and rows.is_exact
        return ahead_lines(
            self.ahead(),
            self._job.limits.max_cost_usd,
            self._past.used,
            is_guess=is_shared or not self._is_complete,
            most=rows.rows if rows is not None and is_counted and not (is_shared or self._is_complete) else None,
            made_of=product_text(self._job, self._source.input_rows),
        )

    def ahead(self) -> Outlook:
        """Return what the rows that are left will use."""
        left = self.left()
        return self._outlook(left, self._lengths(sum(left.values())))

    def _outlook(self, left: dict[str, float], lengths: Range) -> Outlook:
        known, _ = learned(self.survey, self._past, [], may_load=False)
        asked = asked_of(self.survey, left) | asked_of(self._unsettled, left)
        return look_ahead(self._job, asked, known, slots=self._slots, lengths=lengths)

    def _lengths(self, left: float) -> Range:
        """Return how long all prompts are that are left, compared with those that were read, by the bytes of the input.

        Files are often sorted by length. Where the number of rows is a guess, it is one from these bytes already.
        """
        if self._is_complete:
            return ALIKE
        rows, share = self._source.input_rows, self._source.fraction_read
        seen, read = self._unsettled, self._source.rows_read
        requests = sum(part.requests for part in seen.models.values())
        has_no_lengths = stated_rows(self._source.files) is not None  # of Parquet: its rows are taken to be all alike
        if self._is_late or not requests or has_no_lengths:
            return Range.around(1.0, _UNSEEN_SHARE)
        if self._source.selects_rows:  # bytes say nothing of the rows that are used
            return Range.around(1.0, _SAMPLING_SHARE)
        total_bytes = sum(file.size_bytes for file in self._source.files)
        if rows is not None and rows.rows == self._job.input.limit and share and read:
            return lengths_to_limit(self._row_share(share, read), share, read, rows.rows)
        is_known = rows is not None and rows.is_exact
        if rows is None or not is_known or not share or rows.rows <= read or not read:
            return Range.around(1.0, _SAMPLING_SHARE)
        tokens = sum(part.tokens for part in seen.models.values()) / requests
        more_bytes = total_bytes * ((1 - share) / (rows.rows - read) - self._row_share(share, read))
        unseen = max(0.0, 1 - requests / max(left, 1.0))
        row_bytes = total_bytes * self._row_share(share, read)
        return lengths_by_bytes(tokens, row_bytes, more_bytes, unseen, text_density(seen.samples))

    def _row_share(self, share: float, read: int) -> float:
        """Return the share of the input's bytes that a row has which was read."""
        begun_share, begun_rows = self._begun
        return (share - begun_share) / (read - begun_rows) if read > begun_rows else share / read

    def _rows_left(self) -> RowCount | None:
        """Return how many rows are not settled, as far as is known."""
        sums = summed(self._past.totals.values())
        total = output_rows(self._source.input_rows, self._job.per_row, sums.requests)
        return rows_left(total, self._settled(sums))

    def _settled(self, sums: ModelTotals) -> int:
        return sums.completed if self._retries else sums.requests

    def _read_left(self) -> dict[str, float]:
        """Return how many requests to each model were read and are not settled."""
        return {model: float(part.distinct) for model, part in self._unsettled.models.items() if part.requests}

    def left(self) -> dict[str, float]:
        """Return about how many requests to each model are not settled; empty when none are, or nobody can tell."""
        if self._is_complete:
            return self._read_left()
        inputs, rows = self._source.input_rows, self._rows_left()
        if inputs is None or rows is None or (rows.is_exact and not rows.rows):
            return {}
        # Broken rows are settled like others. It is not known which model they would ask if rows name their own.
        is_broken_settled = not self._retries and self._job.models
        broken = self.survey.bad_rows * self._job.model.num_samples if is_broken_settled else 0
        left = {}
        for model, part in self._parts():
            settled = self._settled(self._past.totals.get(model, ModelTotals()))
            outcomes = part.requests + broken
            all_outcomes = inputs.rows * outcomes / self.survey.rows
            count = ceil(round((all_outcomes - settled) * part.requests / outcomes, 6))
            if count > 0:
                left[model] = max(1.0, count * part.distinct / part.requests)
        return left

    def _parts(self) -> list[tuple[str, ModelSurvey]]:
        return [(model, part) for model, part in self.survey.models.items() if part.requests]
