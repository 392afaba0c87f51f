"""What commands say of a run, for people."""

from batchrun.export import Summary
from batchrun.report.stats import duration_text


def ending_text(summary: Summary) -> str:
    """Return how a run ended: state, counts, money, where the answers are."""
    lines = [*counts_lines(summary), f"answers   {summary.results}"]
    if summary.message:
        lines.append(f"{summary.state}: {summary.message}")
    return "\n".join(lines)


def counts_lines(summary: Summary) -> list[str]:
    """Return rows, tokens and money, a line each."""
    took = f" in {duration_text(summary.duration_s)}" if summary.duration_s is not None else ""
    cost = "no price known" if summary.cost_usd is None else f"{summary.cost_usd:.4f} USD"
    if summary.simulated:
        cost = "none: the simulator made the answers up" + (f" (for real: {cost})" if summary.cost_usd else "")
    lines = [
        f"{summary.state:<9} {summary.completed:,} of {summary.rows:,} rows completed, {summary.failed:,} failed{took}",
        f"tokens    {summary.prompt_tokens:,} in, {summary.completion_tokens:,} out",
        f"cost      {cost}",
    ]
    if summary.throttled:
        lines.insert(1, f"throttled {summary.throttled:,} of {summary.attempts:,} requests sent")
    return lines
