"""Checks the templates of a judge before anything is sent."""

from collections.abc import Collection

from batchrun.answers.schema import AnswerSchema
from batchrun.errors import JobError
from batchrun.job.judging import SEEN, judge_job
from batchrun.job.sections import Job
from batchrun.prompts.template import Template

JUDGE_TEMPLATES = ("judge.system", "judge.template")
"""The settings that hold them."""


def check_judge(job: Job) -> None:
    """Check what a job says about its judge; nothing where it has none.

    Raises:
        JobError: a setting is wrong, or a template does not compile.
    """
    if job.judge.model is None:
        return
    _templates(job)
    try:
        AnswerSchema(judge_job(job).response.schema or {})
    except JobError as problem:
        raise JobError(str(problem).replace("response.schema", "judge.schema", 1)) from problem


def missing_columns(job: Job, known: Collection[str]) -> list[tuple[str, str]]:
    """Return the columns that the judge needs and that the input does not have, each with the setting that names it."""
    if job.judge.model is None:
        return []
    named = [] if job.judge.target is None or job.judge.target in known else [("judge.target", job.judge.target)]
    missing = ((each.setting, name) for each in _templates(job) for name in each.missing([*known, *SEEN]))
    return [*named, *missing]


def check_sees_answer(job: Job) -> None:
    """Refuse a judge whose templates do not read the answer; raises `JobError`."""
    read = [each.columns for each in _templates(job)] if job.judge.model is not None else [None]
    if not any(columns is None or "answer" in columns for columns in read):
        raise JobError("judge.template does not read the answer that it is to judge, which is {{ answer }}")


def _templates(job: Job) -> list[Template]:
    texts = (job.judge.system, job.judge.user_template)
    return [Template(text, each) for each, text in zip(JUDGE_TEMPLATES, texts, strict=True) if text is not None]
