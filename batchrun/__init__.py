"""Send a file of prompts to OpenAI-compatible endpoints and get one table with an answer in every row.

    import batchrun

    answers = batchrun.answer(frame, "Label this review: {{ text }}", model="MODEL", schema=Label, out="runs/labels")
    answers.to_pandas()

One call: `answer` takes a data frame of any library, dicts, strings or files, and returns `Answers`; `await aanswer(…)`
does the same inside of an event loop. `open_run(directory)` opens the answers of any run. The same call resumes.

Whole jobs: `run(job)` runs a `Job` and returns its `Summary`, also in a notebook; `await arun(job)` does the same
inside of an event loop. Both take `Options`, raise a `BatchrunError` when the run cannot begin or continue, and
`Interrupted` when it was interrupted and has drained. `load_job(path)` reads a job file; `Job` describes the same in
Python, with one class per section of the file: `Input`, `PromptTemplates`, `Model`, `Limits`, `Output` and so on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.api.answers import Answers as Answers
    from batchrun.api.calls import aanswer as aanswer
    from batchrun.api.calls import answer as answer
    from batchrun.api.calls import open_run as open_run
    from batchrun.api.run import Interrupted as Interrupted
    from batchrun.api.run import arun as arun
    from batchrun.api.run import run as run
    from batchrun.engine.options import Options as Options
    from batchrun.errors import BatchrunError as BatchrunError
    from batchrun.job.endpoint import Endpoint as Endpoint
    from batchrun.job.engine import Engine as Engine
    from batchrun.job.evaluate import Evaluate as Evaluate
    from batchrun.job.file import load_job as load_job
    from batchrun.job.judge import Judge as Judge
    from batchrun.job.notify import Notify as Notify
    from batchrun.job.prompt import PromptTemplates as PromptTemplates
    from batchrun.job.sections import Input as Input
    from batchrun.job.sections import Job as Job
    from batchrun.job.sections import Limits as Limits
    from batchrun.job.sections import Model as Model
    from batchrun.job.sections import Output as Output
    from batchrun.job.sections import Price as Price
    from batchrun.job.sections import Publish as Publish
    from batchrun.job.sections import Response as Response
    from batchrun.results.summary import Summary as Summary

__version__ = "0.1.0"

_SECTIONS = (
    "Evaluate",
    "Input",
    "Job",
    "Judge",
    "Limits",
    "Model",
    "Output",
    "Price",
    "Publish",
    "Response",
)

_MODULES = {
    "Answers": "api.answers",
    "Interrupted": "api.run",
    "aanswer": "api.calls",
    "answer": "api.calls",
    "open_run": "api.calls",
    "BatchrunError": "errors",
    "Endpoint": "job.endpoint",
    "Engine": "job.engine",
    "Notify": "job.notify",
    "Options": "engine.options",
    "PromptTemplates": "job.prompt",
    "Summary": "results.summary",
    "arun": "api.run",
    "load_job": "job.file",
    "run": "api.run",
    **dict.fromkeys(_SECTIONS, "job.sections"),
}
"""Public name → module that defines it. Imported on first use, so that `batchrun --help` does not wait for Arrow."""

__all__ = sorted([*_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'batchrun' has no attribute {name!r}")
    return getattr(import_module(f"batchrun.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
