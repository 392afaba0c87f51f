"""The text that commands print about a run."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchrun.cli.batch_texts import batch_lines
from batchrun.cli.endpoint_texts import endpoint_lines
from batchrun.job.catalogue import cost_text
from batchrun.job.evaluate import SCORE
from batchrun.job.judging import JUDGE
from batchrun.records import RowCount, WorkerFigures
from batchrun.report.texts import agreement_text, counted, duration_text, rows_text, tokens_text
from batchrun.report.workers import lost_text, workers_text
from batchrun.results.answer_counts import answer_lines
from batchrun.results.executions import local_time
from batchrun.results.summary import Summary

_STATES = {"completed": "done", "interrupted": "stopped"}
"""State → the word at the head of the line, where it differs. The message at the end says more."""

_MOST_GROUPS = 12
"""Most groups of a model whose scores are printed: more would hide the rest. An assumption."""


def ending_text(summary: Summary) -> str:
    """Return how a run ended: state, counts, cost, scores, path of the results.

    Tokens and cost are left out when the run had nothing to do: earlier executions used them.
    """
    lines = _nothing_to_do_lines(summary) if summary.had_nothing_to_do else counts_lines(summary)
    lines += _next_step_lines(summary)
    lines.append(f"answers   {summary.results}")
    if summary.message:
        lines.append(summary.message)
    return "\n".join(lines)


def _nothing_to_do_lines(summary: Summary) -> list[str]:
    lines = [f"{'done':<9} nothing to send: {_rows_text(summary)}", *_failure_lines(summary), *_unsent_lines(summary)]
    evaluated = evaluation_lines(summary.scores, summary.agreement)
    return [*lines, *_judge_lines(summary), *evaluated, *answer_lines(summary.answers)]


def _next_step_lines(summary: Summary) -> list[str]:
    """Return what can be done about the failed rows of a run that has ended."""
    if summary.state != "completed" or not summary.failed:
        return []
    kinds = {each["kind"] for each in summary.failures}
    steps = [f"to see the failed rows: batchrun show {shlex.quote(summary.directory)} --failed"]
    if kinds - {"bad_row"}:
        steps.append("to send failed rows again, add --retry-failed")
    if "bad_row" in kinds:
        steps.append("bad rows are sent when they are fixed in the input and the same command is run again")
    return [f"{'next' if not number else '':<9} {step}" for number, step in enumerate(steps)]


def _rows_text(summary: Summary) -> str:
    return f"{summary.completed:,} of {counted(summary.rows, 'row')} completed, {summary.failed:,} failed"


def _failure_lines(summary: Summary) -> list[str]:
    return [f"          {each['rows']:,} {each['kind']}: {each['example']}" for each in summary.failures]


def _unsent_lines(summary: Summary) -> list[str]:
    """Return for which rows nothing was sent, although they have an answer."""
    copies = f"{counted(summary.copies, 'row')} {'has' if summary.copies == 1 else 'have'}"
    lines = [f"copies    {copies} the answer of a row that asks the same, at no cost"] if summary.copies else []
    return lines + [
        f"reused    {counted(each['rows'], 'answer')} of {each['run']}, at no cost" for each in summary.reused
    ]


def _fallback_lines(summary: Summary) -> list[str]:
    """Return how many rows fallbacks have answered."""
    return [
        f"fallback  {counted(each['rows'], 'row')} of {each['model']}"
        f" {'was' if each['rows'] == 1 else 'were'} answered by {each['answered_by']}"
        for each in summary.fallbacks
    ]


def _state_word(summary: Summary) -> str:
    return "stopping" if summary.stopping is not None else _STATES.get(summary.state, summary.state)


def counts_lines(summary: Summary) -> list[str]:
    """Return one line each for rows, tokens, cost and scores."""
    rows = _rows_text(summary)
    if summary.state != "completed":
        so_far = f"{counted(summary.completed, 'row')} completed, {summary.failed:,} failed so far"
        rows = f"{so_far}{_progress_text(summary)}"
    cost = summary.cost_text
    if summary.simulated:
        cost = "none: the simulator made the answers up" + (f" (for real: {cost})" if summary.cost_usd else "")
    lines = [
        f"{_state_word(summary):<9} {rows}{_time_text(summary)}",
        *_pace_lines(summary),
        *_failure_lines(summary),
        *_unsent_lines(summary),
        *_fallback_lines(summary),
        f"tokens    {tokens_text(summary.prompt_tokens, summary.completion_tokens)}",
        f"cost      {cost}",
    ]
    if summary.throttled and summary.state == "running":  # the attempts of rows that wait are not counted yet
        lines.append(f"throttled at least {summary.throttled:,} so far")
    elif summary.throttled:
        lines.append(f"throttled {summary.throttled:,} of {counted(summary.attempts, 'request')} sent")
    lines += endpoint_lines(summary) + _worker_lines(summary) + batch_lines(summary)
    evaluated = evaluation_lines(summary.scores, summary.agreement)
    return [*lines, *_judge_lines(summary), *evaluated, *answer_lines(summary.answers)]


def _worker_lines(summary: Summary) -> list[str]:
    """Return who sends on a cluster, and who was lost."""
    if (engine := summary.engine) is None:
        return []
    known = [WorkerFigures(**each) for each in engine["workers"]]
    workers = [each for each in known if not each.has_ended]
    texts = [workers_text(workers) if workers else "", lost_text(engine["workers_lost"], engine["put_back"])]
    return [f"workers   {'; '.join(filter(None, texts))}"] if any(texts) else []


def _judge_lines(summary: Summary) -> list[str]:
    """Return what the judge has done and cost."""
    if (judge := summary.judge) is None:
        return []
    see = f"batchrun show {shlex.quote(str(Path(summary.directory, JUDGE)))} --failed"
    failed = f", {judge['failed']:,} could not be judged (see {see})" if judge["failed"] else ""
    cost = cost_text(judge["cost_usd"], judge["set_aside_usd"])
    if summary.simulated:
        cost = f"simulated (for real: {cost})" if judge["cost_usd"] else "simulated"
    cost += f", with that of {', '.join(judge['earlier'])}" if judge["earlier"] else ""
    return [f"judge     {judge['model']}: {counted(judge['completed'], 'answer')} judged{failed}; cost {cost}"]


def _progress_text(summary: Summary) -> str:
    """Return the share of all rows that is settled, if their number is known."""
    if summary.total_rows is None or not summary.total_rows:
        return ""
    total = rows_text(RowCount(summary.total_rows, summary.total_is_exact))
    return f", of {total} ({min(100, 100 * summary.rows // summary.total_rows)} %)"


def _pace_lines(summary: Summary) -> list[str]:
    """Return the rate of a live run and the time that is left, or why it is paused."""
    if summary.stopping is not None:
        until = "" if summary.drained_by is None else f", until {local_time(summary.drained_by):%H:%M:%S} at most"
        return [f"waiting   for the answers in flight{until}: {summary.stopping}"]
    paused = [] if summary.pause is None else [f"paused    {summary.pause}"]
    if summary.rate_per_s is None:
        return paused
    left = "" if summary.left_s is None else f", about {duration_text(summary.left_s)} left"
    return [*paused, f"rate      {summary.rate_per_s:.3g} rows/s{left}"]


def _time_text(summary: Summary) -> str:
    """Return how long all executions have run; of a run of an older version, how long the last one took."""
    if summary.running_s is None:
        return "" if summary.duration_s is None else f" in {duration_text(summary.duration_s)}"
    count = len(summary.executions)
    paused = f", {duration_text(summary.paused_s)} of it paused{summary.whose_pauses}" if summary.paused_s else ""
    return f" in {f'{count:,} executions, ' if count > 1 else ''}{duration_text(summary.running_s)}{paused}"


def evaluation_lines(scores: Sequence[Mapping[str, Any]], agreement: Mapping[str, Any] | None) -> list[str]:
    """Return the scores, and how far the answers agree where they vote."""
    return [*score_lines(scores), *([] if agreement is None else [agreement_line(agreement)])]


def score_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per model and column with its mean score; for the first column also one per group.

    run.json has classes, confusion and all groups too.
    """
    lines, column = [], ""
    for each in scores:
        head = each.get("column", SCORE)  # an older version has no name for its only column
        lines.append(f"{head if head != column else '':<9} {each['model']}: {_score(each)}")
        column = head
        groups = each.get("groups", ()) if head == scores[0].get("column", SCORE) else ()
        if len(groups) > _MOST_GROUPS:
            lines.append(f"{'':<9}   {counted(len(groups), 'group')}: see the report, or run.json")
        else:
            lines += [f"{'':<9}   {group['group'] or 'no group'}: {_mean(group)}" for group in groups]
    return lines


def _score(scores: Mapping[str, Any]) -> str:
    parts = [_mean(scores)]
    if scores["mean"] is None:
        return parts[0]
    parts += [f"pass@{k} {share:.4g}" for k, share in scores["pass_at"].items()]
    if scores["labels"]:
        # The mean is the accuracy.
        parts.append(f"macro F1 {scores['labels']['macro_f1']:.4g} over {len(scores['labels']['classes'])} labels")
    if scores["unscored"]:
        parts.append(f"{counted(scores['unscored'], 'row')} without a score")
    return "; ".join(parts)


def _mean(scores: Mapping[str, Any]) -> str:
    if scores["mean"] is None:
        return f"none of {counted(scores['unscored'], 'row')} could be scored"
    within = "" if scores["interval"] is None else " (95 %: {:.4g} to {:.4g})".format(*scores["interval"])
    return f"{scores['mean']:.4g}{within} over {counted(scores['scored'], 'answer')}"


def agreement_line(agreement: Mapping[str, Any]) -> str:
    """Return how far the answers to a prompt agree."""
    return f"{'vote':<9} {agreement_text(agreement)}"
