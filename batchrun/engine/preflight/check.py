"""Looks at a job before it is sent, at all of its input, for `check`. `preview` looks at the first rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from batchrun.answers.schema import AnswerSchema
from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import foresee, settled_in
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.endpoint.key import find_project
from batchrun.endpoint.pool.budget import Amount, Used
from batchrun.engine.caps import cap_usd_of
from batchrun.engine.preflight.estimate import Asked
from batchrun.engine.preflight.judge_outlook import judge_line, judgments_line
from batchrun.engine.preflight.known import NO_PAST, Past, learned, survey_for
from batchrun.engine.preflight.outlook import Outlook, asked_of, excess, look_ahead, model_notes
from batchrun.engine.preflight.probe import Probed
from batchrun.engine.preflight.reusable import Reusable
from batchrun.engine.preflight.survey import Cause, Long, Repeated, Survey
from batchrun.engine.restart import refuse_lost
from batchrun.engine.resume import (
    ENDPOINT_CURE,
    change_text,
    endpoint_question,
    may_not_fit,
    refuse_other_kind,
    replace_cure,
    replace_question,
)
from batchrun.engine.shared_limit import learned_limits, memory_of
from batchrun.errors import BatchrunError, JobError
from batchrun.job.judging import ANSWERS, JUDGE, judge_job
from batchrun.job.sections import Job
from batchrun.prompts.judge_template import check_judge
from batchrun.prompts.source import Entry, Source
from batchrun.records import summed
from batchrun.results.identity import agreement_of, changed_text, has_agreed, origin_of
from batchrun.results.row_scorers import check_evaluation


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
    reused: Sequence[dict[str, Any]]
    """Of the others, how many `rows` each `run` of `reuse` answers."""
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

    @property
    def used(self) -> Used:
        """What the requests so far have cost."""
        return Used(Amount(self.spent_usd), Amount(self.set_aside_usd))


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
    past, survey, *_ = found = _look(job, source, on_read, simulated=simulated)
    probes = probe(survey)
    known, counted_by = learned(survey, past, probes)
    ahead = look_ahead(job, found.left, known, slots=_known_limits(job) or past.limits)
    judging, refused = _judging(job, past, ahead, today=today, simulated=simulated)
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
        reused=found.reused,
        ahead=ahead,
        counted_by=counted_by,
        spent_usd=past.used.spent.usd,
        set_aside_usd=past.used.set_aside.usd,
        notes=[*source.notices, *model_notes(job, survey, today, is_whole=True), *filter(None, [judging])],
        probes=probes,
        changed=found.changed,
        refusal=_unpriced(job, simulated=simulated) or found.refusal or _above(job, found, ahead) or refused,
    )


def _judging(job: Job, past: Past, ahead: Outlook, *, today: date, simulated: bool) -> tuple[str | None, str | None]:
    """Return what judging will take, and why `run` would refuse it."""
    if job.judge.model is None or ahead.requests:
        return judge_line(job, ahead), None
    answers = summed(past.totals.values()).completed
    judged = _judged(job, answers, today=today, simulated=simulated)
    if judged is None:
        return judgments_line(job.judge.model, answers, None, None), None
    return judgments_line(job.judge.model, answers, judged.ahead, judged.changed), judged.refusal


def _judged(job: Job, answers: int, *, today: date, simulated: bool) -> Report | None:
    """Return what was found of the judge's own job; None where it has not seen all these answers."""
    path = job.run_directory / JUDGE / ANSWERS
    if not path.exists():
        return None
    with closing(Source(judge_job(job))) as source:
        source.open()
        found = check(judge_job(job), source, today=today, on_read=lambda share: None, simulated=simulated)
    return found if found.rows == answers else None


class _Found(NamedTuple):
    """What is in the input, and in the run directory if there is one."""

    past: Past
    survey: Survey
    left: Mapping[str, Asked]
    """What is to be sent, by model."""
    changed: str | None = None
    """What an edit of the job or the input does."""
    refusal: str | None = None
    """Why `run` would ask for `--yes` because of what is in the directory."""
    is_agreed: bool = False
    """Whether the user has agreed to the caps before."""
    reused: Sequence[dict[str, Any]] = ()
    """How many requests other runs answer."""


def _look(job: Job, source: Source, on_read: Callable[[float | None], None], *, simulated: bool) -> _Found:
    with Reusable(job, source, simulated=simulated) as reusable:
        found = _looked(job, source, on_read, reusable, simulated=simulated)
        return found._replace(reused=reusable.rows)


def _above(job: Job, found: _Found, ahead: Outlook) -> str | None:
    """Return why what is ahead exceeds a cap that the user has not agreed to."""
    above = None if found.is_agreed else excess(job, ahead, found.past.used)
    return above and above.text


def _looked(
    job: Job, source: Source, on_read: Callable[[float | None], None], reusable: Reusable, *, simulated: bool
) -> _Found:
    """Read the whole input, and the run directory; check the job's scorer and schema first."""
    check_evaluation(job)
    check_judge(job)
    if job.response.schema is not None:
        AnswerSchema(job.response.schema)
    if not (job.run_directory / FILE_NAME).exists():
        survey = survey_for(job, NO_PAST)
        for _ in reusable.listed(_read(source, survey, on_read)):
            pass
        left = asked_of(survey, {model: part.distinct for model, part in survey.models.items()})
        return _Found(NO_PAST, survey, reusable.left(survey, left), refusal=_lost(job))
    with Checkpoint(job.run_directory) as checkpoint:
        past = Past.of(checkpoint, job)
        unrecorded = checkpoint.in_flight() + (checkpoint.fact(facts.UNRECORDED) or 0)
        refuse_other_kind(checkpoint, job.run_directory, past.totals, unrecorded, simulated=simulated)
        survey = survey_for(job, past)
        left, changed, refusal = _compared(checkpoint, job, source, survey, on_read, reusable)
        left = reusable.left(survey, left)
        if not simulated and (question := endpoint_question(checkpoint, job, past.totals)):
            refusal = f"{question}; {ENDPOINT_CURE}"
        is_agreed = has_agreed(checkpoint, agreement_of(job, source.files))
        return _Found(past, survey, left, changed, refusal, is_agreed)


def _lost(job: Job) -> str | None:
    """Return why `run` would refuse a directory whose checkpoint is gone, or ask."""
    try:
        refuse_lost(job.run_directory, lambda question: False)
    except BatchrunError as problem:
        return str(problem)
    return None


def _unpriced(job: Job, *, simulated: bool) -> str | None:
    """Return why the job's cap on money could not be kept, as `run` says it."""
    try:
        cap_usd_of(job, simulated=simulated)
    except JobError as problem:
        return str(problem)
    return None


def _compared(
    checkpoint: Checkpoint,
    job: Job,
    source: Source,
    survey: Survey,
    on_read: Callable[[float | None], None],
    reusable: Reusable,
) -> tuple[dict[str, Asked], str | None, str | None]:
    """Read the whole input; return what is left, by model, and what `run` would say of an edit and ask.

    Requests are compared with their outcomes only where that is needed: it takes more than twice as long as reading.
    """
    origin, settled = origin_of(job, source.files), settled_in(job.run_directory)
    batches = reusable.listed(_read(source, survey, on_read))
    is_stdin = any(file.is_stdin for file in source.files)
    is_edited = may_not_fit(
        checkpoint, origin, has_outcomes=bool(checkpoint.totals()), has_retired=lambda: settled.has_retired
    )
    if not (is_edited or is_stdin or job.input.dedupe):
        for _ in batches:
            pass
        _note_settled(survey, settled.by_model)
        reusable.drop(checkpoint.settled_requests())
        return survey.without(checkpoint.settled_requests()), None, None
    foreseen = foresee(job.run_directory, batches, shares_answers=job.input.dedupe)
    _note_settled(survey, foreseen.settled)
    is_other_stdin = is_stdin and foreseen.change.gone > 0
    left = survey.only(foreseen.new_rows)
    if not (is_edited or is_other_stdin):
        reusable.drop(checkpoint.settled_requests())
        return left, None, None
    reusable.only(foreseen.new_rows)
    changed = changed_text(checkpoint, job, origin, is_other_stdin=is_other_stdin)
    question = replace_question(foreseen.change, changed, job)
    refusal = None if question is None else f"{question}; {replace_cure(job, foreseen.change)}"
    return left, change_text(foreseen.change, changed), refusal


def _note_settled(survey: Survey, settled: Mapping[str, int]) -> None:
    for model, count in settled.items():
        survey.note_settled(model, count)


def _read(source: Source, survey: Survey, on_read: Callable[[float | None], None]) -> Iterator[list[Entry]]:
    for batch in source.batches():
        survey.add(batch)
        yield batch
        on_read(source.fraction_read)


def _known_limits(job: Job) -> dict[str, int] | None:
    """Return how many requests each endpoint takes at once, as runs on this machine have learned; None before any."""
    with ExitStack() as opened:
        memories = {
            name: opened.enter_context(closing(memory_of(job, name, endpoint.base_url, find_project(endpoint))))
            for name, endpoint in job.endpoints.items()
        }
        return learned_limits(memories)
