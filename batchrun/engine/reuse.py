"""Takes answers of other runs into this one (`[input] reuse`): the same request, the same model at the same endpoint.

Before anything is sent, the requests that are not settled are looked for in the other runs, in the order in which the
job names these. What is found is settled like any other row, with 0 attempts and at no cost, so that estimates, caps
and a resume need not know of it. It is not looked for again while neither the requests nor the other runs change.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from batchrun.answers.envelope import read_reply
from batchrun.checkpoint import facts
from batchrun.checkpoint.reuse import Found, Requests, RunAnswers
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.endpoint.pool.repair import Repair
from batchrun.engine.namesakes import EndpointOf, Namesakes, all_names, endpoints_of, possible_models, unclear_endpoints
from batchrun.errors import DamagedError, JobError, RunDirectoryError
from batchrun.job.sections import Job
from batchrun.prompts.other_keys import OtherKeys
from batchrun.prompts.source import Source
from batchrun.records import AnswerSource, Outcome, Request, Usage, summed
from batchrun.report.texts import counted
from batchrun.results.identity import origin_of

_NO_TOKENS = Usage(0, 0, 0, 0, 0)
"""Of an answer for which nothing was sent."""


def refuse_unusable(job: Job, *, simulated: bool) -> None:
    """Refuse a job that reuses a run that cannot be used, before anything is changed.

    Raises:
        JobError: another run cannot be read, is the job's own, or has answers of the other kind.
    """
    with ExitStack() as opened:
        other_runs(job, opened, simulated=simulated)


def take_over(
    job: Job,
    source: Source,
    store: Store,
    *,
    fits: bool,
    simulated: bool,
    repair: Repair | None,
    say: Callable[[str], None],
    is_known: bool = True,
) -> None:
    """Settle requests that other runs have had answered. Reads the whole input, if that can find anything new.

    Args:
        job: to run.
        source: its input, open.
        store: open, fitted to the job, not started.
        fits: whether settled rows are known to fit the input, so that they need not be read.
        simulated: whether the simulator answers: then only its answers are taken, and otherwise none of its.
        repair: knows the job's schema, which answers must fit.
        say: prints a line.
        is_known: whether what was looked for before need not be looked for again.

    Raises:
        JobError: another run cannot be used.
        InputError: the input ends too early.
    """
    if not job.input.reuse:
        return
    looked_for = _looked_for(job, source)
    if is_known and store.fact(facts.REUSED) == looked_for:
        return
    with ExitStack() as opened:
        others = other_runs(job, opened, simulated=simulated)
        say(f"reading the whole input to see which answers of {' and '.join(job.input.reuse)} can be reused")
        requests = opened.enter_context(Requests(shares_answers=job.input.dedupe))
        own = opened.enter_context(RunAnswers(job.run_directory))
        for notice in chain.from_iterable(other.notices for other in others):
            say(notice)
        models = _list(requests, source, store, other_keys(others), fits=fits)
        counts = dict.fromkeys(job.input.reuse, 0)
        for run, found in matches(requests, others, models, {run: own.used(run) for run in counts}, repair):
            store.adopt([_outcome(each, models[each.model], job) for each in found], run)
            counts[run] += len(found)
    for run, count in counts.items():
        say(f"{counted(count, 'answer')} reused from {run}, at no cost")
    store.set_fact(facts.REUSED, looked_for)
    store.expect(job.per_row)


def _looked_for(job: Job, source: Source) -> list[Any]:
    """Return what decides which answers are found."""
    runs = [[run, _state(run)] for run in job.input.reuse]
    return [origin_of(job, source.files), runs, [[each.base_url, each.models] for each in job.endpoints.values()]]


def _list(requests: Requests, source: Source, store: Store, others: OtherKeys, *, fits: bool) -> dict[int, str]:
    """List the requests that are not settled; return the models by number."""
    first, settled = (store.settled_rows, store.settled) if fits else (0, None)
    models: dict[int, str] = {}
    with listing(source, others):
        for batch in source.batches(first, settled):
            entries = [entry for entry in store.unsettled(batch) if isinstance(entry, Request)]
            requests.add((store.id_of(each), each.key, each.sample, each.custom_id) for each in entries)
            requests.add_alike(others.taken())
            models |= {store.model_id(name): name for name in dict.fromkeys(each.model for each in entries)}
    return models


@contextmanager
def listing(source: Source, others: OtherKeys) -> Iterator[None]:
    """Have the keys of requests noted under other names of their models meanwhile, where there are any."""
    source.rendering.list_other_keys(others if others.names else None)
    try:
        yield
    finally:
        source.rendering.list_other_keys(None)


class OtherRun:
    """Another run, open for reading; what is wrong with it is reported as a mistake in the job."""

    def __init__(
        self, name: str, run: RunAnswers, endpoint_of: EndpointOf, namesakes: Namesakes, unclear: Iterable[str] = ()
    ) -> None:
        self.name = name
        """As the job names it."""
        self.notices = [_unclear_text(name, endpoint) for endpoint in unclear]
        """What users should know about its answers."""
        self.namesakes = namesakes
        """The models of the job that its answers count for."""
        self._run, self._endpoint_of = run, endpoint_of

    def answers(self) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield number, group, key and sample of each answer that may be taken."""
        with _reported(self.name):
            yield from self._run.answers(self.namesakes.group_of)

    def found(self, requests: Requests, models: Mapping[int, str]) -> Iterator[list[Found]]:
        """Yield the answers that `requests` was paired with, some at a time; `models` are those of these, by number."""

        def endpoint_of(model: int, source: AnswerSource) -> str | None:
            return self._endpoint_of(models[model], source)

        with _reported(self.name):
            yield from self._run.found(requests, cache(endpoint_of))


def other_keys(others: Iterable[OtherRun]) -> OtherKeys:
    """Return what collects the keys that requests have under the names of their models in other runs."""
    return OtherKeys(all_names(other.namesakes for other in others))


def matches(
    requests: Requests,
    others: Iterable[OtherRun],
    models: Mapping[int, str],
    used: Mapping[str, list[tuple[str, bytes, int, int]]],
    repair: Repair | None,
) -> Iterator[tuple[str, list[Found]]]:
    """Yield the answers of other runs to requests, each with the name of its run, some at a time.

    Args:
        requests: that are not settled.
        others: in the order in which they are looked through.
        models: of the requests, by number.
        used: by run, model, key and sample of the answers that were taken before, and how many.
        repair: knows the job's schema, which answers must fit.
    """
    for other in others:
        group_of = other.namesakes.group_of_model
        before = [
            (group, key, sample, count)
            for model, key, sample, count in used.get(other.name, ())
            if (group := group_of(model)) is not None
        ]
        requests.pair(other.answers(), before, other.namesakes.ranked(models))
        for found in other.found(requests, models):
            yield other.name, [each for each in found if _fits(each, repair)]
        requests.forget_paired()


def other_runs(job: Job, opened: ExitStack, *, simulated: bool) -> list[OtherRun]:
    """Open the runs that a job reuses.

    Raises:
        JobError: one cannot be read, is the job's own, is named twice, or has answers of the other kind.
    """
    places = [Path(run).resolve() for run in job.input.reuse]
    if twice := next(
        (run for run, place in zip(job.input.reuse, places, strict=True) if places.count(place) > 1), None
    ):
        raise JobError(f"input.reuse: {twice} is named twice; name each run once")
    runs = {run: opened.enter_context(_opened(job, run, simulated=simulated)) for run in job.input.reuse}
    sources: dict[str, list[AnswerSource]] = {}
    for name, run in runs.items():
        with _reported(name):
            sources[name] = run.answer_sources()
    models = possible_models(job, runs.values(), [source for listed in sources.values() for source in listed])
    others = []
    for name, run in runs.items():
        endpoint_of = endpoints_of(run, job, simulated=simulated)
        with _reported(name):
            answered = [source for source, sums in run.parts().items() if sums.completed]
        unclear = () if simulated else unclear_endpoints(run, job, answered)
        others.append(OtherRun(name, run, endpoint_of, Namesakes(models, sources[name], endpoint_of), unclear))
    return others


def _unclear_text(run: str, endpoint: str) -> str:
    """Return why the answers of an endpoint are not reused."""
    whose = f"endpoint {endpoint}" if endpoint else "its endpoint"
    return f"{run}: {whose} has had several base URLs or models, and older answers do not tell which: they stay unused"


@contextmanager
def _opened(job: Job, name: str, *, simulated: bool) -> Iterator[RunAnswers]:
    """Open another run.

    Raises:
        JobError: it cannot be read, is this run itself, or has answers of the other kind.
    """
    directory = Path(name)
    if directory.resolve() == job.run_directory.resolve():
        raise JobError(
            f"input.reuse: {name} is the run directory of this job, whose answers are kept anyway; leave it out"
        )
    with ExitStack() as opened:
        with _reported(name):
            run = opened.enter_context(RunAnswers(directory))
            is_simulated = run.fact(facts.SIMULATED) or False
            has_answers = summed(run.totals().values()).completed > 0
        if has_answers and is_simulated != simulated:
            kind = "real" if simulated else "simulated"
            raise JobError(f"input.reuse: {name} holds {kind} answers; simulated and real answers do not mix")
        yield run


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """Report what is wrong with another run as a mistake in the job."""
    try:
        yield
    except DamagedError as problem:
        what = str(problem).partition("; it was not changed")[0]
        cure = f"leave it out, or recover what is readable: batchrun export {name} --salvage"
        raise JobError(f"input.reuse: {what}; {cure}") from problem
    except RunDirectoryError as problem:
        raise JobError(f"input.reuse: {problem}") from problem


def _fits(found: Found, repair: Repair | None) -> bool:
    """Return whether an answer fits the schema of the job, if it has one."""
    if repair is None:
        return True
    try:
        answer = read_reply(found.body)
    except ValueError:
        return False
    return isinstance(answer, dict) and repair.complaint(answer) is None


def _outcome(found: Found, model: str, job: Job) -> Outcome:
    return Outcome(
        found.row,
        model,
        found.sample,
        found.key,
        found.custom_id,
        None,
        None,
        found.http_status,
        0,
        None,
        int(time.time() * 1000),
        found.body,
        _NO_TOKENS,
        0,
        found.endpoint,
        job.fallbacks[model] if found.is_of_fallback else "",
    )


def _state(run: str) -> list[Any]:
    """Return what changes when answers are added to a run: size and time of its files."""
    files = [Path(run, FILE_NAME + ending) for ending in ("", "-wal")]
    stats = [each.stat() for each in files if each.is_file()]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats if stat.st_size]
