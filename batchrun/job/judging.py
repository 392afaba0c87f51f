"""The job of judging: what `[judge]` of a job asks, as a job. Pure."""

from dataclasses import replace

from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Limits, Model, Output, Response
from batchrun.job.serving import plain_name, serving, unserved_text

JUDGE = "judge"
"""Folder in a run directory: the run of the judge."""

ANSWERS = "answers.parquet"
"""The answers to judge, in this folder."""

JUDGED = ("judged_row", "judged_model", "judged_sample", "judged_at")
"""Columns of that file that say which answer it is: row, model and sample of the run, and when the row was settled."""

SEEN = ("question", "answer", "target")
"""Columns of that file that templates read."""


_SETTINGS = {
    "prompt.user": "judge.template",
    "prompt.system": "judge.system",
    "model.name": "judge.model",
    "response.schema": "judge.schema or judge.labels",
    "response.mode": "judge.mode",
    "the input": "the answers",
}


def is_judge(job: Job) -> bool:
    """Return whether a job is that of judging the answers of another one."""
    return job.output.keep == JUDGED


def stated_setting(job: Job, name: str) -> str:
    """Return what a setting of a job is called where users set it: for the job of a judge, in `[judge]`."""
    if not is_judge(job):
        return name
    return _SETTINGS.get(name, name.replace("model.", "judge."))


def judge_job(job: Job, limits: Limits | None = None) -> Job:
    """Return the job of judging a job's answers.

    Equal answers to equal questions are judged once, unless the temperature makes judgments differ.

    Args:
        job: has a judge.
        limits: instead of the job's.

    Raises:
        JobError: none of the job's endpoints serves the judge, or it is not clear which one does.
    """
    judge = job.judge
    assert judge.model is not None
    folder = job.run_directory / JUDGE
    endpoints = _endpoints(job)
    return Job(
        name=f"{job.name}-{JUDGE}",
        input=Input(path=(str(folder / ANSWERS),), dedupe=not judge.temperature),
        prompt=PromptTemplates(system=judge.system, user=judge.user_template),
        model=Model(
            names=(judge.model,),
            temperature=judge.temperature,
            max_tokens=judge.max_tokens,
            extra_body=judge.extra_body,
        ),
        endpoint=next(iter(endpoints.values())),
        endpoints=endpoints,
        limits=limits or job.limits,
        output=Output(dir=str(folder), keep=JUDGED),
        response=Response(schema=judge.answer_schema, mode=judge.mode),
        engine=job.engine,
        prices=job.prices,
    )


def _endpoints(job: Job) -> dict[str, Endpoint]:
    """Return the judge's endpoints: the job's with other settings, unless it names another base URL or provider.

    Raises:
        JobError: it is not clear which of several endpoints has the other settings, or none of them serves the judge.
    """
    stated = job.judge.endpoint
    if "base_url" in stated or "provider" in stated:
        return {"": Endpoint(**stated)}
    if stated and job.has_several_endpoints:
        raise JobError("judge.endpoint must have a base_url or a provider: the job has several endpoints")
    judge = plain_name(job.judge.model or "", job.endpoints)
    if not serving(job.endpoints, judge):
        must = unserved_text(job.endpoints, judge)
        raise JobError(f'judge.model = "{job.judge.model}"; {must} (or set judge.endpoint)')
    return {name: replace(endpoint, **stated) for name, endpoint in job.endpoints.items()}


def target_of(job: Job) -> str | None:
    """Return the column with the right answer for the judge."""
    return job.judge.target or job.evaluate.target
