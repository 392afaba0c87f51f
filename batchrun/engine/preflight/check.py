"""Looks at a job before it is sent: all of it, for `check`, or its first rows, as every run begins."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import Any, NamedTuple

from batchrun.answers.schema import AnswerSchema
from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import Foreseen, foresee
from batchrun.checkpoint.reader import Answered, Checkpoint
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.endpoint.key import find_project
from batchrun.engine.caps import cap_usd_of
from batchrun.engine.preflight.known import NO_PAST, Past, learned
from batchrun.engine.preflight.outlook import Outlook, ahead_lines, asked_of, excess, look_ahead, model_notes
from batchrun.engine.preflight.probe import Probed
from batchrun.engine.preflight.survey import Cause, Ids, Long, Repeated, Survey
from batchrun.engine.resume import AGAIN_CURE, again_question, change_text, may_not_fit, refuse_other_kind
from batchrun.engine.shared_limit import LimitMemory
from batchrun.errors import InputError, JobError
from batchrun.job.sections import Job
from batchrun.prompts.count import output_rows, rows_left
from batchrun.prompts.source import Entry, Source
from batchrun.records import ModelTotals, Request, RowCount, summed
from batchrun.results.identity import changed_settings, origin_of
from batchrun.results.scores import check_evaluation

_SAMPLE_ROWS = 1_000
_SAMPLE_BYTES = 4 << 20
_SAMPLE_S = 0.2
"""How much of the input a run looks at before it sends: what is read in less time than anybody notices."""

_SAMPLING_SHARE = 0.1
"""How far the mean of a file's first prompts may be from that of all: an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `check` found."""

    files: list[str]
    rows: int
    bad_rows: int
    causes: list[Cause]
    repeated: Repeated | None
    prompts: list[dict[str, Any]]
    """Row, id and messages of the first three."""
    longest: list[Long]
    windows: dict[str, int | None]
    """Model → its context window, in tokens."""
    requests: int
    """In all."""
    settled: int
    """Of these, in the run directory already."""
    ahead: Outlook
    counted_by: str
    """How the tokens of prompts were counted: `characters`, `tokenizer`, or `answers`."""
    spent_usd: float
    """What the answers so far have stated."""
    set_aside_usd: float
    """The most that requests have cost whose answer was not recorded or stated no tokens."""
    notes: list[str]
    probes: list[Probed]
    changed: str | None
    """What an edit of the job or the input does to the rows of the run directory; None when there was none."""
    refusal: str | None
    """Why `run` would refuse, or ask for `--yes`; None when it would do neither."""


# The whole input.


def check(
    job: Job,
    source: Source,
    *,
    today: date,
    on_read: Callable[[float | None], None],
    probe: Callable[[Survey], list[Probed]] = lambda survey: [],
    simulated: bool = False,
) -> Report:
    """Read a job's whole input and return what was found; nothing is written, and only `probe` may send.

    Args:
        job: what to run.
        source: the job's input, open.
        today: for models that are switched off.
        on_read: called now and then with the fraction that was read, 0 to 1.
        probe: sends what the survey names.
        simulated: whether the simulator would answer.

    Raises:
        InputError: the input ends too early.
        JobError: the job's scorer or schema is not valid, or the run directory holds answers of the other kind.
        RunDirectoryError: the checkpoint cannot be read.
    """
    past, survey, edit = _surveyed(job, source, on_read, simulated=simulated)
    probes = probe(survey)
    known, counted_by = learned(survey, past, probes)
    share = survey.unique_share
    left = {model: (part.requests - part.settled) * share for model, part in survey.models.items()}
    ahead = look_ahead(job, asked_of(survey, left), known, slots=_known_limit(job) or past.limit)
    return Report(
        files=[file.shown for file in source.files],
        rows=survey.rows,
        bad_rows=survey.bad_rows,
        causes=survey.causes(),
        repeated=survey.ids.repeated(),
        prompts=survey.prompts,
        longest=sorted(survey.longest, reverse=True),
        windows={model: part.context_tokens for model, part in survey.models.items()},
        requests=sum(part.requests for part in survey.models.values()),
        settled=sum(part.settled for part in survey.models.values()),
        ahead=ahead,
        counted_by=counted_by,
        spent_usd=past.used.spent.usd,
        set_aside_usd=past.used.set_aside.usd,
        notes=[*source.notices, *model_notes(job, survey, today)],
        probes=probes,
        changed=edit.text,
        refusal=_unpriced(job, simulated=simulated) or edit.refusal or excess(job, ahead, past.used),
    )


class _Edit(NamedTuple):
    """What an edit of the job or the input means for the rows of the run directory."""

    text: str | None = None
    refusal: str | None = None


def _surveyed(
    job: Job, source: Source, on_read: Callable[[float | None], None], *, simulated: bool
) -> tuple[Past, Survey, _Edit]:
    """Read the whole input, and the run directory if there is one; check the job's scorer and schema first."""
    check_evaluation(job)
    if job.response.schema is not None:
        AnswerSchema(job.response.schema)
    if not (job.run_directory / FILE_NAME).exists():
        survey = _survey(job, ())
        for _ in _read(source, survey, on_read):
            pass
        return NO_PAST, survey, _Edit()
    with Checkpoint(job.run_directory) as checkpoint:
        past = Past.of(checkpoint, job)
        unrecorded = checkpoint.in_flight() + (checkpoint.fact(facts.UNRECORDED) or 0)
        refuse_other_kind(checkpoint, job.run_directory, past.totals, unrecorded, simulated=simulated)
        survey = _survey(job, past.answered)
        foreseen = foresee(job.run_directory, _read(source, survey, on_read))
        for model, count in foreseen.settled.items():
            survey.note_settled(model, count)
        return past, survey, _edit_of(checkpoint, job, source, past, foreseen)


def _unpriced(job: Job, *, simulated: bool) -> str | None:
    """Return why the job's cap on money could not be kept, as `run` says it."""
    try:
        cap_usd_of(job, simulated=simulated)
    except JobError as problem:
        return str(problem)
    return None


def _edit_of(checkpoint: Checkpoint, job: Job, source: Source, past: Past, foreseen: Foreseen) -> _Edit:
    """Return what `run` would say of an edit."""
    origin = origin_of(job, source.files)
    if not may_not_fit(checkpoint, origin, has_outcomes=bool(past.totals), has_retired=lambda: foreseen.has_retired):
        return _Edit()
    question = again_question(foreseen.change, changed_settings(checkpoint, job))
    return _Edit(change_text(foreseen.change), None if question is None else f"{question}; {AGAIN_CURE}")


def _read(source: Source, survey: Survey, on_read: Callable[[float | None], None]) -> Iterator[list[Entry]]:
    for batch in source.batches():
        survey.add(batch)
        yield batch
        on_read(source.fraction_read)


def _survey(job: Job, answered: Iterable[Answered]) -> Survey:
    return Survey(frozenset(each.row for each in answered), keys=Ids() if job.input.dedupe else None)


# The first rows.


class Preview(NamedTuple):
    """What a run says before it sends."""

    lines: tuple[str, ...] = ()
    refusal: str | None = None
    """Why the remaining requests will exceed the job's caps; None when they may not."""


def preview(job: Job, source: Source, *, known_limit: int | None, is_begun: bool, retries: bool = False) -> Preview:
    """Return what is ahead of a run, estimated from its first rows; nothing when nothing is left.

    Takes a few tenths of a second at most, whatever the size of the input.

    Args:
        job: that is run; its directory has a checkpoint.
        source: the job's input, of files; it can be gone through from the beginning afterwards.
        known_limit: how many requests the endpoint takes at once, if that was learned on this machine.
        is_begun: whether a run like this was begun before, so that its caps are known to its user.
        retries: whether failed rows will be sent again.
    """
    with Checkpoint(job.run_directory) as checkpoint:
        past = Past.of(checkpoint, job)
    survey = _survey(job, past.answered)
    try:
        _sample(source, survey)
    except InputError:
        return Preview()  # the run itself will come upon it, after the rows before it
    left = _left(job, source, survey, past, retries=retries)
    if not left:
        return Preview()
    known, _ = learned(survey, past, [], may_load=False)
    share = 0.0 if source.is_complete else _SAMPLING_SHARE
    ahead = look_ahead(job, asked_of(survey, left), known, slots=known_limit or past.limit, sampling_share=share)
    rows = _rows_left(job, source, past, retries=retries)
    is_shared = job.input.dedupe and bool(
        past.totals
    )  # how many of the rows left ask what a settled row asks is a guess
    is_read = source.is_complete and (retries or not survey.bad_rows)
    is_counted = not retries and rows is not None and rows.is_exact
    lines = ahead_lines(
        ahead,
        job.limits.max_cost_usd,
        past.used,
        is_guess=is_shared or not is_read,
        rows_left=rows.rows if rows is not None and is_counted and not (is_shared or is_read) else None,
    )
    lines += [f"note: {note}" for note in model_notes(job, survey, date.today())]
    # How many of the later rows ask what was asked before, the first ones cannot say.
    if is_begun or (job.input.dedupe and not source.is_complete):
        return Preview(tuple(lines))
    return Preview(tuple(lines), excess(job, ahead, past.used))


def _rows_left(job: Job, source: Source, past: Past, *, retries: bool) -> RowCount | None:
    """Return how many rows are not settled, as far as is known."""
    sums = summed(past.totals.values())
    return rows_left(
        output_rows(source.input_rows, job.per_row, sums.requests), sums.completed if retries else sums.requests
    )


def _left(job: Job, source: Source, survey: Survey, past: Past, *, retries: bool) -> dict[str, float]:
    """Return about how many requests to each model are not settled; empty when none are, or nobody can tell."""
    inputs, rows = source.input_rows, _rows_left(job, source, past, retries=retries)
    if inputs is None or rows is None or (rows.is_exact and not rows.rows):
        return {}
    # Broken rows are settled like others. It is not known which model they would ask if rows name their own.
    broken = 0 if retries or not job.models else survey.bad_rows * job.model.num_samples
    left = {}
    for model, part in survey.models.items():
        sums = past.totals.get(model, ModelTotals())
        settled, outcomes = sums.completed if retries else sums.requests, part.requests + broken
        count = ceil(round((inputs.rows * outcomes / survey.rows - settled) * part.requests / outcomes, 6))
        if count > 0:
            left[model] = max(1.0, count * survey.unique_share)
    return left


def _sample(source: Source, survey: Survey) -> None:
    began_s, size_bytes = time.monotonic(), 0
    for batch in source.batches():
        survey.add(batch)
        size_bytes += sum(len(entry.body) for entry in batch if isinstance(entry, Request))
        is_late = time.monotonic() - began_s > _SAMPLE_S
        if survey.rows >= _SAMPLE_ROWS or size_bytes >= _SAMPLE_BYTES or is_late:
            break


def _known_limit(job: Job) -> int | None:
    """Return how many requests the endpoint takes at once, as runs on this machine have learned; None before any."""
    with closing(LimitMemory(job.endpoint.base_url, find_project(job.endpoint), job.models)) as memory:
        return memory.learned()
