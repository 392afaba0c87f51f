"""What commands say of a run, for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from batchrun.report.texts import duration_text
from batchrun.results.summary import Summary

_STATES = {"completed": "done", "interrupted": "stopped"}
"""How a state is called at the head of a line; the message at the end has the rest."""


def ending_text(summary: Summary) -> str:
    """Return how a run ended: state, counts, money, scores, where the answers are."""
    lines = [*counts_lines(summary), f"answers   {summary.results}"]
    if summary.message:
        lines.append(summary.message)
    return "\n".join(lines)


def counts_lines(summary: Summary) -> list[str]:
    """Return rows, tokens, money and scores, a line each."""
    rows = f"{summary.completed:,} of {summary.rows:,} rows completed, {summary.failed:,} failed"
    if summary.state != "completed":
        rows = f"{summary.completed:,} rows completed, {summary.failed:,} failed so far"
    took = f" in {duration_text(summary.duration_s)}" if summary.duration_s is not None else ""
    cost = "no price known" if summary.cost_usd is None else f"{summary.cost_usd:.4f} USD"
    if summary.simulated:
        cost = "none: the simulator made the answers up" + (f" (for real: {cost})" if summary.cost_usd else "")
    lines = [
        f"{_STATES.get(summary.state, summary.state):<9} {rows}{took}",
        *(f"          {each['rows']:,} {each['kind']}: {each['example']}" for each in summary.failures),
        f"tokens    {summary.prompt_tokens:,} in, {summary.completion_tokens:,} out",
        f"cost      {cost}",
    ]
    if summary.throttled:
        lines.append(f"throttled {summary.throttled:,} of {summary.attempts:,} requests sent")
    return [*lines, *score_lines(summary.scores)]


def score_lines(scores: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the scores of each model add up to, a line each; run.json has classes and confusion beside that."""
    return [f"{'score' if not number else '':<9} {each['model']}: {_score(each)}" for number, each in enumerate(scores)]


def _score(scores: Mapping[str, Any]) -> str:
    if scores["mean"] is None:
        return f"none of {scores['unscored']:,} rows could be scored"
    within = "" if scores["interval"] is None else " (95 %: {:.4g} to {:.4g})".format(*scores["interval"])
    said = [f"{scores['mean']:.4g}{within} over {scores['scored']:,} answers"]
    said += [f"pass@{k} {share:.4g}" for k, share in scores["pass_at"].items()]
    if scores["labels"]:
        # Their accuracy is the mean.
        said.append(f"macro F1 {scores['labels']['macro_f1']:.4g} over {len(scores['labels']['classes'])} labels")
    if scores["unscored"]:
        said.append(f"{scores['unscored']:,} rows without a score")
    return "; ".join(said)
