"""What an execution does before it sends: fit the checkpoint to the job, ask the user, show what is ahead."""

from collections.abc import Mapping
from datetime import date

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import read_batches
from batchrun.checkpoint.old_rows import bring_up_to_date
from batchrun.checkpoint.store import Store
from batchrun.endpoint.pool.repair import Repair
from batchrun.engine.access import Access
from batchrun.engine.batches.open import found_again, refuse_to_leave
from batchrun.engine.batches.recovered import complete
from batchrun.engine.batches.unsent import forget_unsent
from batchrun.engine.caps import budget_of
from batchrun.engine.options import Options
from batchrun.engine.preflight.preview import preview
from batchrun.engine.prepared import Prepared
from batchrun.engine.resume import agree_on_endpoint, begin, fit, refuse_other_kind, retry
from batchrun.engine.reuse import refuse_unusable, take_over
from batchrun.engine.row_counter import count_quickly
from batchrun.engine.shared_limit import LimitMemory, learned_limits
from batchrun.engine.unsettled import is_all_settled
from batchrun.errors import JobError
from batchrun.job.endpoint import BATCH
from batchrun.job.sections import Job
from batchrun.prompts.source import Source
from batchrun.records import summed
from batchrun.results.identity import agreement_of, has_agreed
from batchrun.results.used import keep_set_aside, used_elsewhere, used_in


def prepare(
    job: Job,
    options: Options,
    source: Source,
    store: Store,
    *,
    access: Mapping[str, Access],
    memories: Mapping[str, LimitMemory],
    repair: Repair | None,
) -> Prepared:
    """Fit the checkpoint to the job, and show what is ahead. What the run will be is recorded last.

    Args:
        job: to run.
        options: how.
        source: its input, open.
        store: open, not started.
        access: to each endpoint.
        memories: what is known of the limit of each endpoint.
        repair: asks again for answers that do not fit the job's schema.

    Raises:
        JobError: the directory holds other answers, the run would cost more than the user has agreed to, or a price is
            missing to keep a cap.
    """
    bring_up_to_date(store, options.progress.say)
    fits, settled_before = _fitted(job, options, source, store, repair)
    used_before = used_in(store, job, store.parts)
    budget = budget_of(job, used_before, used_elsewhere(job), simulated=options.simulate)
    if not any(file.is_stdin for file in source.files):  # whose rows can be read only once
        count_quickly(job, source)
        _show_what_is_ahead(job, options, source, store, memories, fits=fits)
    keep_set_aside(store, used_before.set_aside)
    if options.retry_failed:
        settled_before = _retry(job, options, source, store, repair, fits=fits)
    store.share_answers(is_wanted=job.input.dedupe)
    begin(store, job, source, simulated=options.simulate, say=options.progress.say)
    return Prepared(
        job=job,
        access=access,
        source=source,
        store=store,
        fits=fits,
        repair=repair,
        used_before=used_before,
        settled_before=settled_before,
        budget=budget,
        memories=memories,
        progress=options.progress,
    )


def _fitted(job: Job, options: Options, source: Source, store: Store, repair: Repair | None) -> tuple[bool, int]:
    """Fit the checkpoint to the job; return whether settled rows are known to fit, and their number."""
    say, simulated = options.progress.say, options.simulate
    is_salvaged = store.fact(facts.SALVAGED_BATCHES) is True
    for notice in filter(None, [store.notice, *source.notices]):
        say(f"note: {notice}")
    with store.using() as connection:
        found = complete(connection, job.run_directory, is_salvaged=is_salvaged)
        batches = read_batches(connection)
    if found:
        say(f"{found_again(found)}: the checkpoint did not have {'it' if len(found) == 1 else 'them'}")
    if is_salvaged:
        store.set_fact(facts.SALVAGED_BATCHES, None)
    account, was_simulated = store.fact(facts.BATCHES_AT), store.fact(facts.SIMULATED)
    refuse_to_leave(batches, job, account=account, was_simulated=was_simulated, simulated=simulated)
    refuse_unusable(job, simulated=simulated)
    refuse_other_kind(store, job.run_directory, store.totals, store.unrecorded_ever, simulated=simulated)
    if not simulated:
        agree_on_endpoint(store, job, options.agree)
    fits = fit(store, job, source, agree=options.agree, say=say)
    settled = summed(store.totals.values()).requests
    _reuse(job, options, source, store, repair, fits=fits)
    with store.using() as connection:
        forget_unsent(connection, job.run_directory, is_by_batch=job.endpoint.via == BATCH)
    return fits, settled


def _retry(job: Job, options: Options, source: Source, store: Store, repair: Repair | None, *, fits: bool) -> int:
    """Have failed rows sent again that no other run has an answer for; return how many rows stay settled."""
    retry(store, job, options.progress.say)
    settled = summed(store.totals.values()).requests
    _reuse(job, options, source, store, repair, fits=fits, is_known=False)
    return settled


def _reuse(
    job: Job,
    options: Options,
    source: Source,
    store: Store,
    repair: Repair | None,
    *,
    fits: bool,
    is_known: bool = True,
) -> None:
    take_over(
        job,
        source,
        store,
        fits=fits,
        simulated=options.simulate,
        repair=repair,
        say=options.progress.say,
        is_known=is_known,
    )


def _show_what_is_ahead(
    job: Job, options: Options, source: Source, store: Store, memories: Mapping[str, LimitMemory], *, fits: bool
) -> None:
    """Print it. Refuse a run that will not end within its caps, unless the user agreed to it before.

    Raises:
        JobError: the run will exceed a cap, and the user did not agree to send what fits.
    """
    if not options.retry_failed and is_all_settled(job, source, store, fits=fits):
        return  # to find that by reading takes as long as the input is
    agreement = agreement_of(job, source.files)
    is_begun = has_agreed(store, agreement)
    seen = preview(
        job,
        source,
        known_limits=learned_limits(memories),
        is_begun=is_begun,
        retries=options.retry_failed,
        today=date.today(),
    )
    for line in seen.lines:
        options.progress.say(line)
    if seen.refusal is not None and not options.agree(seen.refusal):
        raise JobError(f"{seen.refusal}, or send what fits under the cap (--yes)")
    store.set_fact(facts.BEGUN, agreement)
