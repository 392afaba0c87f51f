"""What commands say of a run, for people."""

from batchrun.export import Summary
from batchrun.report.stats import duration_text

_STATES = {"completed": "done", "interrupted": "stopped"}
"""How a state is called at the head of a line; the message at the end has the rest."""


def ending_text(summary: Summary) -> str:
    """Return how a run ended: state, counts, money, where the answers are."""
    lines = [*counts_lines(summary), f"answers   {summary.results}"]
    if summary.message:
        lines.append(summary.message)
    return "\n".join(lines)


def counts_lines(summary: Summary) -> list[str]:
    """Return rows, tokens and money, a line each."""
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
    return lines
