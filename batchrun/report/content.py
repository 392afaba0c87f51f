"""Writes report.html: reads a run directory and fills the page."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun import __version__
from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Job
from batchrun.report.batches import BatchTable, batch_table, ended_texts
from batchrun.report.cells import cut
from batchrun.report.charts import Chart, bars, chart_of, is_barred
from batchrun.report.clock import Clock
from batchrun.report.compare import Comparison, compare
from batchrun.report.events import Event, bands_of, events_of, gaps_of, lines_of, spans_of
from batchrun.report.labels import ALL_MODELS, Labels, count_labels
from batchrun.report.page import SAMPLE_BYTES, Page, render
from batchrun.report.part_tables import endpoint_entries, model_entries
from batchrun.report.plots import Figure, LimitPoint, endpoint_figures, figures
from batchrun.report.sample import FAILED_ROWS, ROWS, chosen_rows, read_sample
from batchrun.report.scores import score_tables
from batchrun.report.settings import facts_of, texts_of
from batchrun.report.table import Layout, layout_of
from batchrun.report.tally import Tally, tally
from batchrun.report.texts import agreement_text, duration_text, stated_text
from batchrun.results.answer_counts import answer_lines
from batchrun.results.batches import figures_in
from batchrun.results.columns import SCORE
from batchrun.results.replace import replacing
from batchrun.results.run_directory import REPORT, stored_job
from batchrun.results.sound import SoundResults, sound_results
from batchrun.results.state import summary_of
from batchrun.results.summary import Summary
from batchrun.results.writer import read_scorer

_EXAMPLE_CHARS = 1_000

_STATES = {"completed": "done", "interrupted": "stopped"}

_RESPONSE = "response"


class Reported(NamedTuple):
    """A report that was written."""

    path: Path
    notices: list[str]
    """Messages about the results, if they had to be written first."""


def write_report(directory: Path) -> Reported:
    """Write report.html, and before it results.parquet if it is missing or older than the checkpoint.

    Takes a few seconds for a million rows, and memory for a batch of rows.

    Raises:
        RunDirectoryError: the directory holds no run, it cannot be read, or a file cannot be written.
    """
    with sound_results(directory) as results:
        page = _read(directory, results)
    with replacing(directory / REPORT) as temporary:
        temporary.write_text(render(page), encoding="utf-8", newline="\n")
    return Reported(directory / REPORT, results.notices)


def _read(directory: Path, results: SoundResults) -> Page:
    """Return the content of the page."""
    path = results.path
    summary = summary_of(directory, results=path)
    try:
        with Checkpoint(directory) as checkpoint:
            job = stored_job(checkpoint)
            entries = summary.executions
            found = tally(
                path,
                failed_rows=FAILED_ROWS,
                gaps=gaps_of(entries),
                spans=spans_of(entries),
                has_endpoints=bool(summary.endpoints),
            )
            events = events_of(summary.executions, is_of_several=summary.has_several_models)
            voted = [] if summary.agreement is None else [summary.agreement["column"]]
            plots = _plots(checkpoint, found, events, summary)
        damage = [] if results.are_all else results.notices
        return _page(summary, job, found, _Answers(path, job, found, voted), (events, plots), damage)
    except (OSError, pa.ArrowException) as problem:
        cure = f"write it again: batchrun export {directory}"
        raise RunDirectoryError(f"{path}: cannot be read ({problem}); {cure}") from problem


class _Plots(NamedTuple):
    of_run: list[Figure]
    of_endpoints: list[Figure]
    """One of each endpoint, where there are several."""


def _plots(checkpoint: Checkpoint, found: Tally, events: Sequence[Event], summary: Summary) -> _Plots:
    if found.timeline is None:
        return _Plots([], [])
    limits = [LimitPoint(*each) for each in checkpoint.limits()]
    clock, throttles = found.timeline.clock, _throttles(checkpoint, found)
    of_run = figures(found, limits, throttles, bands=bands_of(events, clock), running_s=summary.running_s)
    names = [each["name"] for each in summary.endpoints if each["name"] in found.endpoints]
    own: dict[str, list[LimitPoint]] = {name: [] for name in names}
    for limit in checkpoint.endpoint_limits():
        if limit.endpoint in own:
            own[limit.endpoint].append(LimitPoint(limit.at_ms, limit.requests))
    bands = {name: bands_of(events, clock, name) for name in names}
    timelines = {name: found.endpoints[name].timeline for name in names}
    return _Plots(of_run, endpoint_figures(timelines, own, bands))


def _throttles(checkpoint: Checkpoint, found: Tally) -> dict[int, int]:
    """Return how many requests were throttled in each bin of the timeline."""
    if found.timeline is None:
        return {}
    inside: Counter[int] = Counter()
    width_ms = found.timeline.width_ms
    segments = found.timeline.clock.segments
    for start_ms, end_ms in segments:
        for number, throttled in checkpoint.throttles(start_ms, width_ms).items():
            at_ms = start_ms + number * width_ms
            is_earlier, is_later = number < 0, at_ms > end_ms
            if not (is_earlier and start_ms > segments[0][0]) and not (is_later and end_ms < segments[-1][1]):
                inside[found.timeline.bin_of(at_ms + width_ms / 2)] += throttled
    return dict(inside)


class _Answers:
    """What the answers of the results say: their distributions, differences, and a sample of them."""

    def __init__(self, path: Path, job: Job, found: Tally, voted: list[str]) -> None:
        with pq.ParquetFile(path) as file:
            self.layout: Layout = layout_of(file.schema_arrow.names, job)
        scored = [SCORE.name] if self.layout.is_scored else []
        names = [*(self.layout.typed or [_RESPONSE]), *scored]
        counted = count_labels(path, names, list(found.models), per_prompt=found.rows / max(1, found.prompts))
        self.charts = [chart for each in counted if (chart := self._chart(each)) is not None]
        self.comparison: Comparison | None = None
        if found.prompts < found.rows:
            self.comparison = compare(path, voted or _comparable(counted), most=ROWS)
        differing = [] if self.comparison is None else self.comparison.first
        compared = [] if self.comparison is None else self.comparison.columns
        self.sample = read_sample(path, self.layout, chosen_rows(found, differing), SAMPLE_BYTES, compared)

    def _chart(self, labels: Labels) -> Chart | None:
        is_binary = labels.name == SCORE.name and (labels.different or 0) <= 2  # the mean says it all
        return None if is_binary else chart_of(labels)


def _comparable(counted: Sequence[Labels]) -> list[str]:
    """Return the columns by which answers are compared: labels, else the score."""
    labels = [each.name for each in counted if is_barred(each) and not each.is_list]
    return [name for name in labels if name != SCORE.name] or labels


def _page(
    summary: Summary,
    job: Job,
    found: Tally,
    answers: _Answers,
    history: tuple[Sequence[Event], _Plots],
    damage: Sequence[str],
) -> Page:
    events, plots = history
    now = datetime.now().astimezone()
    clock = Clock(0, 0) if found.timeline is None else found.timeline.clock
    scorer = read_scorer(Path(summary.results))
    is_jobs = scorer is None or not scorer.startswith("the function ")
    return Page(
        name=job.name,
        state=_state(summary),
        is_done=summary.state == "completed" and not summary.failed,
        message="\n".join(filter(None, [summary.message, *damage, *answer_lines(summary.answers)])),
        facts=facts_of(summary, job, None if is_jobs else scorer) | ({} if events else _times(clock, found)),
        texts=texts_of(job),
        totals=_totals(summary),
        batches=_batch_table(summary, now, clock),
        charts=[*answers.charts, *_finish_reasons(found)],
        models=model_entries(summary.models, found),
        endpoints=endpoint_entries(summary.endpoints, found),
        endpoint_figures=plots.of_endpoints,
        failures=[each | {"example": cut(each["example"] or "", _EXAMPLE_CHARS)} for each in summary.failures],
        events=lines_of(events, clock),
        events_left_out=max(0, len(events) - len(lines_of(events, clock))),
        figures=plots.of_run,
        scores=score_tables(summary.scores),
        scorer=scorer or "",
        agreement="" if summary.agreement is None else agreement_text(summary.agreement),
        comparison=answers.comparison,
        layout=answers.layout,
        sample=answers.sample,
        rows=found.rows,
        prompts=found.prompts,
        zone=clock.zone_name,
        version=__version__,
        made_at=f"{now:%Y-%m-%d %H:%M:%S %Z}",
    )


def _times(clock: Clock, found: Tally) -> dict[str, str]:
    """Return when a run of an older version was sent, which has no history."""
    if not found.rows:
        return {}
    ends = {"first request": clock.start_ms, "last answer": clock.end_ms}
    return {name: f"{clock.local(at_ms):%Y-%m-%d %H:%M:%S %Z}" for name, at_ms in ends.items()}


def _state(summary: Summary) -> str:
    if summary.state == "completed" and summary.failed:
        return f"finished, {summary.failed:,} failed"
    return _STATES.get(summary.state, summary.state)


def _workers(summary: Summary) -> dict[str, str]:
    engine = summary.engine or {}
    names = {"workers lost": "workers_lost", "rows of these, sent again": "put_back"}
    return {text: f"{engine[name]:,}" for text, name in names.items() if engine.get(name)}


def _batches(summary: Summary) -> dict[str, str]:
    batches = summary.batches or {}
    left = {"batches that are not collected": f"{len(batches['open']):,}"} if batches.get("open") else {}
    ends = {"not_taken": "batches not taken", "gone": "batches gone", "given_up": "batches given up"}
    lost = {text: f"{batches[name]:,}" for name, text in ends.items() if batches.get(name)}
    return {"batches collected": f"{batches['collected']:,}", **lost, **left} if batches else {}


def _batch_table(summary: Summary, now: datetime, clock: Clock) -> BatchTable | None:
    """Return the batches of a run; None where it has none, or all are collected: the totals count these."""
    if not summary.batches or not summary.batches["open"]:
        return None
    return batch_table(
        figures_in(summary.batches),
        ended_texts(summary.batches),
        int(now.timestamp() * 1000),
        lambda at_ms: f"{clock.local(at_ms):%Y-%m-%d %H:%M:%S %Z}",
        is_running=summary.state == "running",
    )


def _totals(summary: Summary) -> dict[str, str]:
    totals = {
        "rows completed": f"{summary.completed:,}",
        "rows failed": f"{summary.failed:,}",
        **({"rows copied": f"{summary.copies:,}"} if summary.copies else {}),
        **{f"rows reused from {each['run']}": f"{each['rows']:,}" for each in summary.reused},
        **{
            f"rows of {each['model']} answered by {each['answered_by']}": f"{each['rows']:,}"
            for each in summary.fallbacks
        },
        **_workers(summary),
        **_batches(summary),
        "tokens in": stated_text(summary.prompt_tokens),
        "tokens out": stated_text(summary.completion_tokens),
        "simulated cost" if summary.simulated else "cost": summary.cost_text,
        "requests sent": f"{summary.attempts:,}",
        "requests throttled": f"{summary.throttled:,}",
    }
    if summary.running_s is not None:
        count = len(summary.executions)
        over = f", {count:,} executions" if count > 1 else ""
        totals[f"running time{over}"] = duration_text(summary.running_s)
        if summary.paused_s:
            totals[f"of it paused{summary.whose_pauses}"] = duration_text(summary.paused_s)
    elif summary.duration_s is not None:  # of an older version
        totals["last execution"] = duration_text(summary.duration_s)
    return totals


def _finish_reasons(found: Tally) -> list[Chart]:
    models = found.models
    counts = {model: its.finish_reasons for model, its in models.items()}
    if len(models) > 4:
        counts = {ALL_MODELS: sum(counts.values(), Counter[str]())}
    rows = {model: reasons.total() for model, reasons in counts.items()}
    return [bars("finish_reason", counts, rows)] if any(rows.values()) else []
