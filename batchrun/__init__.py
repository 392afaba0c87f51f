"""Run a file of prompts against an OpenAI-compatible endpoint; find an answer in every row.

import batchrun

summary = batchrun.run(batchrun.load_job("jobs/label_reviews.toml"))
print(summary.completed, summary.results)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.engine.execution import Options as Options
    from batchrun.engine.runner import arun as arun
    from batchrun.engine.runner import run as run
    from batchrun.errors import BatchrunError as BatchrunError
    from batchrun.job.file import load_job as load_job
    from batchrun.job.sections import Endpoint as Endpoint
    from batchrun.job.sections import Input as Input
    from batchrun.job.sections import Job as Job
    from batchrun.job.sections import Limits as Limits
    from batchrun.job.sections import Model as Model
    from batchrun.job.sections import Output as Output
    from batchrun.job.sections import Price as Price
    from batchrun.job.sections import PromptTemplates as PromptTemplates
    from batchrun.results.summary import Summary as Summary

__version__ = "0.1.0"

_HOME = {
    "BatchrunError": "errors",
    "Summary": "results.summary",
    **dict.fromkeys(
        ("Endpoint", "Input", "Job", "Limits", "Model", "Output", "Price", "PromptTemplates"), "job.sections"
    ),
    "load_job": "job.file",
    "Options": "engine.execution",
    **dict.fromkeys(("arun", "run"), "engine.runner"),
}
"""Public name → module. Imported when first used, so that `batchrun --help` does not wait for Arrow."""

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'batchrun' has no attribute {name!r}")
    return getattr(import_module(f"batchrun.{_HOME[name]}"), name)
