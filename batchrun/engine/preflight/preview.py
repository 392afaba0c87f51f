"""Shows what is ahead of a run before it sends: estimated from the first rows of its input.

Nobody is refused on a guess. A run is refused where the requests that were really read exceed a cap at the low end of
their estimate, or all requests do and their number is exact. To find out, more rows are read, for a few seconds.
"""

import time
from datetime import date
from math import ceil
from typing import NamedTuple

from batchrun.checkpoint.reader import Checkpoint
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
from batchrun.engine.preflight.survey import ModelSurvey
from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.count import output_rows, rows_left
from batchrun.prompts.source import Source
from batchrun.records import ModelTotals, Request, RowCount, summed

_SAMPLE_ROWS = 1_000
_SAMPLE_BYTES = 4 << 20
_SAMPLE_S = 0.2
"""How much of the input a run looks at before it sends: what is read in less time than anybody notices."""

_SAMPLING_SHARE = 0.1
"""How far the mean of a file's first prompts may be from that of all: an assumption."""

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
    job: Job, source: Source, *, known_limit: int | None, is_begun: bool, retries: bool, today: date
) -> Preview:
    """Return what is ahead of a run; nothing when nothing is left.

    Takes a few tenths of a second, whatever the size of the input; a few seconds where the estimate is above a cap.

    Args:
        job: that is run; its directory has a checkpoint.
        source: the job's input, of files; it can be gone through from the beginning afterwards.
        known_limit: how many requests the endpoint takes at once, if that was learned on this machine.
        is_begun: whether the user has agreed to the job's caps before.
        retries: whether failed rows will be sent again.
        today: for models that are switched off.
    """
    with Checkpoint(job.run_directory) as checkpoint:
        past = Past.of(checkpoint, job)
    rows = _FirstRows(job, source, past, retries=retries, slots=known_limit or past.limit)
    try:
        rows.read_sample()
        if not rows.left():
            return Preview()
        certain = None if is_begun or rows.excess() is None else rows.certain_excess()
    except InputError:
        return Preview()  # the run itself will come upon it, after the rows before it
    lines = [*rows.lines(), *(f"note: {note}" for note in model_notes(job, rows.survey, today))]
    if certain is None and (excess := rows.excess()) is not None:
        by = "" if source.is_complete else "as estimated from the first rows, "
        lines.append(f"note: {by}{excess.reason}; what fits is sent, and the run stops at the cap")
    return Preview(tuple(lines), None if certain is None else certain.text)


class _FirstRows:
    """The first rows of an input, and what they show."""

    def __init__(self, job: Job, source: Source, past: Past, *, retries: bool, slots: int | None) -> None:
        self.survey = survey_for(job, past)
        self._job, self._source, self._past = job, source, past
        self._retries, self._slots = retries, slots
        self._batches = source.batches()

    def read_sample(self) -> None:
        """Read as many rows as nobody has to wait for."""
        began_s, size_bytes = time.monotonic(), 0
        for batch in self._batches:
            self.survey.add(batch)
            size_bytes += sum(len(entry.body) for entry in batch if isinstance(entry, Request))
            is_late = time.monotonic() - began_s > _SAMPLE_S
            if self.survey.rows >= _SAMPLE_ROWS or size_bytes >= _SAMPLE_BYTES or is_late:
                break

    def certain_excess(self) -> Excess | None:
        """Read more rows, until it is certain whether a cap will be exceeded; return why it will."""
        began_s = looked_s = time.monotonic()
        for batch in self._batches:
            self.survey.add(batch)
            now_s = time.monotonic()
            if now_s - looked_s >= _LOOK_EVERY_S:
                looked_s = now_s
                ahead = self._outlook(self._read_left(), 0.0)
                if found := excess(self._job, ahead, self._past.used, f"the first {ahead.requests:,} requests alone"):
                    return found
            if now_s - began_s >= _CERTAIN_S:
                break
        rows = self._source.input_rows
        is_certain = self._source.is_complete or (rows is not None and rows.is_exact and not self._job.input.dedupe)
        return self.excess() if is_certain else None

    def excess(self) -> Excess | None:
        """Return why a cap will be exceeded, as far as these rows are like the others."""
        return excess(self._job, self._ahead(), self._past.used)

    def lines(self) -> list[str]:
        """Return what is ahead, in short, for people."""
        rows = self._rows_left()
        # How many of the rows left ask what a settled row asks is a guess.
        is_shared = self._job.input.dedupe and bool(self._past.totals)
        is_read = self._source.is_complete and (self._retries or not self.survey.bad_rows)
        is_counted = not self._retries and rows is not None and rows.is_exact
        return ahead_lines(
            self._ahead(),
            self._job.limits.max_cost_usd,
            self._past.used,
            is_guess=is_shared or not is_read,
            rows_left=rows.rows if rows is not None and is_counted and not (is_shared or is_read) else None,
            made_of=product_text(self._job, self._source.input_rows),
        )

    def _ahead(self) -> Outlook:
        return self._outlook(self.left(), 0.0 if self._source.is_complete else _SAMPLING_SHARE)

    def _outlook(self, left: dict[str, float], sampling_share: float) -> Outlook:
        known, _ = learned(self.survey, self._past, [], may_load=False)
        asked = asked_of(self.survey, left, self._length_ratio())
        return look_ahead(self._job, asked, known, slots=self._slots, sampling_share=sampling_share)

    def _length_ratio(self) -> float:
        """Return how long all prompts are in the mean, compared with those that were read, by the bytes of the input.

        Files are often sorted by length. Where the number of rows is a guess, it is one from these bytes already.
        """
        rows, share = self._source.input_rows, self._source.fraction_read
        if rows is None or not rows.is_exact or not share or rows.rows == self._job.input.limit:
            return 1.0
        return self._source.rows_read / rows.rows / share

    def _rows_left(self) -> RowCount | None:
        """Return how many rows are not settled, as far as is known."""
        sums = summed(self._past.totals.values())
        total = output_rows(self._source.input_rows, self._job.per_row, sums.requests)
        return rows_left(total, self._settled(sums))

    def _settled(self, sums: ModelTotals) -> int:
        return sums.completed if self._retries else sums.requests

    def _read_left(self) -> dict[str, float]:
        """Return how many requests to each model were read and are not settled, at least: all settled ones may be."""
        totals = self._past.totals
        left = {model: part.distinct - self._settled(totals.get(model, ModelTotals())) for model, part in self._parts()}
        return {model: float(count) for model, count in left.items() if count > 0}

    def left(self) -> dict[str, float]:
        """Return about how many requests to each model are not settled; empty when none are, or nobody can tell."""
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
