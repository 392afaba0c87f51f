"""The summary of a run: for people who started it, and in run.json for scripts."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchrun import __version__
from batchrun.checkpoint.history import paused_s, running_s
from batchrun.job.catalogue import cost_text
from batchrun.job.sections import Job
from batchrun.prompts.count import left_s
from batchrun.records import Parts, summed
from batchrun.results.batches import batches_entry, cost_with, open_batches
from batchrun.results.endpoint_entries import endpoint_entries
from batchrun.results.executions import execution_entries, pause_text, utc_text
from batchrun.results.prices import PriceOf, has_price, price_entries, prices_at
from batchrun.results.recorded import NO_FINDINGS, NOTHING_RECORDED, Findings, Recorded, Status
from batchrun.results.run_directory import RESULTS, USAGE
from batchrun.results.usage import cost_of, fallback_rows, least_cost_of, model_rows, reused_rows
from batchrun.storage.processes import this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """State and totals of a run, also while it runs: returned by `run`, and written to `run.json` and by `--json`."""

    state: str
    """`running`, `completed`, `stopped` (resumable) or `interrupted` (resumable)."""
    exit_code: int | None
    """As in the table of exit codes (docs/reference.md); None while it runs."""
    message: str
    """Why it stopped, or what was not published or uploaded, and what to do; empty when all is done."""
    directory: str
    results: str
    """Path of results.parquet."""
    usage: str
    """Path of usage.parquet."""
    rows: int
    """Rows in the results."""
    completed: int
    failed: int
    attempts: int
    """While it runs, those of rows that wait to be sent again are not counted yet, as in `throttled`: both are null in
    run.json then, also of its models and of the last execution."""
    throttled: int
    prompt_tokens: int | None
    """Of all executions; None when no answer stated them, as in the two that follow."""
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None
    """What the answers of all executions have cost; None when a price is not known."""
    duration_s: float | None
    """Of the last execution."""
    pid: int | None
    """Of the process that works on it."""
    models: list[dict[str, Any]]
    """One entry per model, with the columns of usage.parquet but `endpoint` and `answered_by`."""
    prices: list[dict[str, Any]]
    """What a million tokens of each `model` cost in US dollars, where that is known, with `source` and `as_of`;
    with the `endpoint` where the job has several."""
    failures: list[dict[str, Any]]
    """The failed rows by `kind`, most frequent first: number of `rows`, and the message of one as `example`."""
    scores: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per model and `column` of scores, the column `score` first: `mean` with its 95 % `interval`, numbers of
    rows `scored` and `unscored`, `pass_at` k for several samples, for `labels` accuracy, classes and confusion, and
    for `groups` the mean of each."""
    agreement: dict[str, Any] | None = None
    """How far the answers to a prompt agree, if they `vote`: Krippendorff's `alpha` by its `metric` (nominal, or
    interval for numbers), over the `prompts` with several `answers`, of which some are `unanimous` or `tied`."""
    judge: dict[str, Any] | None = None
    """What the judge's run in RUN/judge has: its `model`, `state`, rows `completed` and `failed`, `prompt_tokens`,
    `completion_tokens`, `cost_usd` and `set_aside_usd`, with those of `earlier` judges; None without a judge. The other
    fields leave it out."""
    answers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per model: of its `completed` rows, how many are `empty` (no text, tool call or refusal; a number for
    each finish_reason), `unusual` (a text with a finish_reason that is not a usual one; a number for each), `cut_off`,
    `refused`, or state no token counts (`unstated`; of these `partly_stated` some) or `contradictory` ones."""
    simulated: bool = False
    """Whether the simulator made the answers up; then nothing was paid."""
    set_aside_usd: float = 0.0
    """The most that requests have cost whose answer was not recorded or stated no tokens, as far as a cap was set;
    without those that are in flight."""
    set_aside_tokens: int = 0
    """The same in tokens."""
    unrecorded: int = 0
    """Rows that had been sent and not recorded when a process died; over all executions."""
    copies: int = 0
    """Rows that have the answer of a row that asks the same (`dedupe`): nothing was sent for them."""
    endpoints: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per endpoint where there are several. Its `name` in the job, and `base_url` (None where the job has
    it no more); of its rows `requests`, `completed`, `failed`, `attempts`, `throttled`, token counts, `cost_usd` and
    `least_cost_usd` (of the models whose price is known there); requests `in_flight`, and its `limit`. While the run
    runs, its `state`: `open`, `away` or `closed` (it is sent nothing more), `since` when, and a `message`; `away` and
    `closed` at the end stay."""
    engine: dict[str, Any] | None = None
    """Where an execution had workers on a cluster, or the last one should: `kind` of the last execution (`local` or
    `ray`); the `workers` of the last one that had any, each with `worker` (its number), `node`, `in_flight`, `limit`
    (the most that it may have in flight), `rows` (that have no outcome yet), `answered` (in that execution, with those
    of dead workers in its place) and `state` (`open`, `silent`, `starting`, or `ended` with that execution); and over
    all executions, how many workers were lost (`workers_lost`), and how many rows they had (`put_back`). None
    elsewhere."""
    batches: dict[str, Any] | None = None
    """Of a run that was sent in batches: how many are `collected`, `not_taken` (refused by the provider), `gone` (the
    provider did not have them any more) and `given_up` (`--cancel` with a key that does not see them); those that are
    `open`, each with `number`, `model`, `id` and `status` of the provider (before it has one: `uploading`, or
    `waiting` for room in the provider's queue; when the run has stopped: `not_sent`, or `not_known` of one that was
    just being created), `requests`, of these `completed` and `failed` so far, and `expires_at`; and what is set aside
    for these (`set_aside_usd`, `set_aside_tokens`). None elsewhere."""
    reused: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per `run` whose answers were taken (`reuse`), and for how many `rows`: nothing was sent for them."""
    fallbacks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per `model` and its fallback, `answered_by`, where that has answered `rows`: they stay the model's."""
    newly_settled: int | None = None
    """Rows that the last execution settled, 0 when it had nothing to do; None when it did not record this."""
    executions: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One entry per execution, oldest first. `started_at`, `ended_at`, `until` (when it ended, or was last seen),
    `state`, `ended_by` (what ended it, in one word: see `ExecutionTimes`), `message`; `running_s` and, as a part of
    it, `paused_s`; of the rows that it settled: `rows`, `completed`, `failed`, `attempts`, `prompt_tokens`,
    `completion_tokens`, `cost_usd` (null where an older version did not record them, or a price is not known) and
    `least_cost_usd` (of the models whose price is known); and its `pauses`: `model`, `kind`, `message`, `started_at`,
    `ended_at`. `endpoint_pauses` are those of each `endpoint` where there are several; `kind` is `closed` where it was
    sent nothing more. Times are in UTC; `ended_at` is null while something lasts, and where the process died."""
    running_s: float | None = None
    """How long all executions have run, without the time between them; None when no execution was recorded."""
    paused_s: float | None = None
    """For how many of these seconds at least one model was paused."""
    total_rows: int | None = None
    """Rows that the results will have, as far as the input was read; None while nothing is known."""
    total_is_exact: bool = False
    """Whether that number is certain; otherwise it is a guess."""
    rate_per_s: float | None = None
    """Rows settled per second in recent minutes; None in a pause, and while it is not known or the run does not run."""
    left_s: float | None = None
    """How many seconds the rows that are left take at this rate."""
    next_probe_at: str | None = None
    """When a paused endpoint is asked next whether it answers again, in UTC; None also while it is being asked."""
    stopping: str | None = None
    """Why a run that still runs sends nothing more: it waits for what is in flight; None while it sends."""
    drained_by: str | None = None
    """Until when it waits for that at most, in UTC."""
    boot: str = dataclasses.field(default_factory=lambda: this_machine().boot)
    """Identifies the start of the machine that wrote this: after another one, `pid` may be another process."""
    version: str = __version__

    @property
    def whose_pauses(self) -> str:
        """Which models were paused, such as ` for m-two`; empty where all of them were."""
        paused = {pause["model"] for entry in self.executions for pause in entry["pauses"]}
        names = [each["model"] for each in self.models if each["model"] in paused]
        return f" for {', '.join(names)}" if 0 < len(names) < len(self.models) else ""

    @property
    def pause(self) -> str | None:
        """Since when models are paused, why, and when they are asked next; None when none is, or it does not run."""
        if self.state != "running" or not self.executions or self.stopping is not None:
            return None
        pauses = [each for each in self.executions[-1]["pauses"] if each["ended_at"] is None]
        return pause_text(pauses, self.next_probe_at, is_of_several=self.has_several_models)

    @property
    def has_several_models(self) -> bool:
        """Whether several models were asked, as far as any has settled a row or was paused."""
        pauses = (pause["model"] for each in self.executions for pause in each["pauses"])
        return len({each["model"] for each in self.models}.union(pauses)) > 1

    @property
    def least_cost_usd(self) -> float | None:
        """What the answers of those models have cost whose cost is known; None where it is known of none."""
        return least_cost_of(self.models)

    @property
    def cost_text(self) -> str:
        """What the run has cost, for people: one amount, or two where the cost of some answers is not known."""
        if self.cost_usd is None and self.completed and self.prompt_tokens is None and self.completion_tokens is None:
            return "not known: no answer states its tokens"
        sent = [each for each in self.models if each["attempts"]]
        priced = [each for each in sent if each["cost_usd"]]
        if self.cost_usd is not None or not priced:
            is_unknown = not self.prices and not self.cost_usd
            return cost_with(self.batches, cost_text(self.cost_usd, self.set_aside_usd), is_unknown=is_unknown)
        known = cost_text(self.least_cost_usd, self.set_aside_usd)
        others = ", ".join(each["model"] for each in sent if each["cost_usd"] is None)
        return f"at least {known}, for {', '.join(each['model'] for each in priced)}; not known for {others}"

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether the last execution found every row settled."""
        return self.state == "completed" and self.newly_settled == 0 and self.rows > 0


def summarize(
    job: Job,
    directory: Path,
    status: Status,
    parts: Parts,
    *,
    findings: Findings = NO_FINDINGS,
    simulated: bool = False,
    recorded: Recorded = NOTHING_RECORDED,
) -> Summary:
    """Return the summary of a run.

    Args:
        job: what it runs.
        directory: where.
        status: of its last execution.
        parts: the totals, by source.
        findings: what the results showed.
        simulated: whether the simulator made the answers up.
        recorded: what else the checkpoint has noted.
    """
    prices = prices_at(job, paid=recorded.paid, meanings=recorded.meanings)
    sums = summed(parts.values())
    return Summary(
        **dataclasses.asdict(status),
        directory=str(directory),
        results=str(directory / RESULTS),
        usage=str(directory / USAGE),
        rows=sums.requests,
        completed=sums.completed,
        failed=sums.failed,
        attempts=sums.attempts,
        throttled=sums.throttled,
        prompt_tokens=sums.usage.prompt_tokens,
        completion_tokens=sums.usage.completion_tokens,
        total_tokens=sums.usage.total_tokens,
        **_costs(job, parts, prices, recorded, may_owe=status.state == "running" or recorded.unrecorded > 0),
        **findings.entries,
        simulated=simulated,
        set_aside_usd=max(0.0, round(recorded.set_aside.usd, 9)),  # sums of money leave a rest below nothing
        set_aside_tokens=int(recorded.set_aside.tokens),
        unrecorded=recorded.unrecorded,
        copies=recorded.copies,
        endpoints=endpoint_entries(job, parts, prices, recorded),
        engine=_engine(job, recorded),
        batches=batches_entry(recorded.batches, recorded.batches_held),
        reused=reused_rows(parts),
        fallbacks=fallback_rows(parts),
        **_times(recorded, prices, sums.requests),
    )


def _engine(job: Job, recorded: Recorded) -> dict[str, Any] | None:
    """Return what is known of the workers; None where no execution had any, and the last one needs none."""
    if job.engine.kind == "local" and not (recorded.workers or recorded.workers_lost):
        return None
    return {
        "kind": job.engine.kind,
        "workers": [each._asdict() for each in recorded.workers],
        "workers_lost": recorded.workers_lost,
        "put_back": recorded.put_back,
    }


def _costs(job: Job, parts: Parts, prices: PriceOf, recorded: Recorded, *, may_owe: bool) -> dict[str, Any]:
    """Return the totals by model, the cost of the run, and the prices.

    Args:
        job: has the prices.
        parts: the totals, by source.
        prices: of each model at each endpoint.
        recorded: has the batches under way, and what the names of endpoints stand for.
        may_owe: whether requests may have been sent that are not recorded: without a price they may have cost anything.
    """
    models = model_rows({source: sums for source, sums in parts.items() if source.model}, prices)
    unpriced = {model for model in job.asked_models if not has_price(job, model)}
    unpriced |= {
        source.model
        for source in parts
        if source.model not in job.asked_models and prices(source.endpoint, source.answering_model) is None
    }
    cost_usd = cost_of(models)
    priced = [*(each["model"] for each in models), *(source.answering_model for source in parts)]
    priced += [each.model for each in open_batches(recorded.batches)]
    if may_owe and unpriced:
        models = [{**each, "cost_usd": None} if each["model"] in unpriced else each for each in models]
        cost_usd = cost_of(models) if any(each["attempts"] for each in models) else None
    entries = price_entries(job, dict.fromkeys(priced), parts, prices, recorded.meanings)
    return {"models": models, "cost_usd": cost_usd, "prices": entries}


def _times(recorded: Recorded, prices: PriceOf, settled: int) -> dict[str, Any]:
    now_ms, executions, total = int(time.time() * 1000), recorded.executions, recorded.total
    return {
        "total_rows": None if total is None else total.rows,
        "total_is_exact": total is not None and total.is_exact,
        "rate_per_s": recorded.rate_per_s,
        "left_s": left_s(
            total, settled + recorded.unwanted, recorded.rate_per_s, is_paused=recorded.probe_at_ms is not None
        ),
        "next_probe_at": utc_text(recorded.probe_at_ms),
        "stopping": recorded.stopping,
        "drained_by": utc_text(recorded.drained_by_ms),
        "executions": execution_entries(executions, now_ms, prices),
        "running_s": running_s(executions, now_ms) if executions else None,
        "paused_s": paused_s(executions, now_ms) if executions else None,
    }
