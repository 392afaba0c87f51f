"""What judging will take: a guess for answers that are ahead, and what is left of it where all answers are there."""

from batchrun.engine.preflight.estimate import Asked, forecast
from batchrun.engine.preflight.outlook import Outlook, ahead_lines, count_text, known_of, range_text
from batchrun.engine.preflight.ranges import Range
from batchrun.job.catalogue import charged, usd_text
from batchrun.job.judging import judge_job
from batchrun.job.sections import Job
from batchrun.report.texts import counted

_CHARACTERS_PER_TOKEN = 4
"""Of English text: an assumption, for the template only."""


def judge_line(job: Job, ahead: Outlook) -> str | None:
    """Return what judging will take on top of the answers; None without a judge, or when no answers are ahead."""
    if job.judge.model is None or not ahead.requests:
        return None
    judging = judge_job(job)
    seen = ahead.prompt_tokens.plus(ahead.completion_tokens)
    template = len(job.judge.user_template) / _CHARACTERS_PER_TOKEN * ahead.requests
    tokens = seen.plus(Range(template, template, template))
    bounded = ahead.requests if job.judge.max_tokens else 0
    found = forecast(
        job.judge.model,
        Asked(ahead.requests, tokens.likely, 0, bounded, bounded * (job.judge.max_tokens or 0)),
        known_of(job.judge.model),
        charged(judging, job.judge.model),
        tokens.times(1 / tokens.likely),
    )
    cost = "" if found.usd is None else f", about {range_text(found.usd, usd_text)} USD"
    tokens_text = f"about {range_text(found.prompt_tokens, count_text)} tokens in"
    tokens_text += f", {range_text(found.completion_tokens, count_text)} out"
    return f"then judging by {job.judge.model}: up to {counted(ahead.requests, 'request')}, {tokens_text}{cost}"


def judgments_line(model: str, answers: int, ahead: Outlook | None, changed: str | None) -> str | None:
    """Return what is left to judge where all answers are there; None where nothing is.

    Args:
        model: the judge.
        answers: how many there are.
        ahead: what the judge is to be sent; None where it has not seen these answers yet.
        changed: what an edit does to its judgments.
    """
    if ahead is None:
        return f"then judging by {model}: up to {counted(answers, 'request')}" if answers else None
    if not ahead.requests:
        return None
    edit = "" if changed is None else f" ({changed})"
    return f"then judging by {model}: {'; '.join(ahead_lines(ahead))}{edit}"
