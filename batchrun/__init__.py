"""Run a file of prompts against an OpenAI-compatible endpoint; find an answer in every row.

import batchrun

summary = batchrun.run(batchrun.load_job("jobs/label_reviews.toml"))
print(summary.completed, summary.results)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.errors import BatchrunError as BatchrunError
    from batchrun.execution import Options as Options
    from batchrun.job import Endpoint as Endpoint
    from batchrun.job import Input as Input
    from batchrun.job import Job as Job
    from batchrun.job import Limits as Limits
    from batchrun.job import Model as Model
    from batchrun.job import Output as Output
    from batchrun.job import Price as Price
    from batchrun.job import PromptTemplates as PromptTemplates
    from batchrun.job_file import load_job as load_job
    from batchrun.runner import arun as arun
    from batchrun.runner import run as run
    from batchrun.summary import Summary as Summary

__version__ = "0.1.0"

_HOME = {
    "BatchrunError": "errors",
    "Summary": "export",
    **dict.fromkeys(("Endpoint", "Input", "Job", "Limits", "Model", "Output", "Price", "PromptTemplates"), "job"),
    "load_job": "job_file",
    "Options": "execution",
    **dict.fromkeys(("arun", "run"), "runner"),
}
"""Public name → module. Imported when first used, so that `batchrun --help` does not wait for Arrow."""

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'batchrun' has no attribute {name!r}")
    return getattr(import_module(f"batchrun.{_HOME[name]}"), name)
