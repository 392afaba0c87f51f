"""A function of the user's that scores answers: named on the command line, never by a job file, which is only data."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.errors import JobError

F = TypeVar("F", bound=Callable[..., Any])


def scorer_option(command: F) -> F:
    """Give a command the option `--scorer`."""
    return click.option(
        "--scorer",
        metavar="MODULE:FUNCTION",
        callback=lambda _, __, name: None if name is None else load_scorer(name),
        help="Score the answers by a Python function, which gets a row of the results as a dict and returns a number.",
    )(command)


def load_scorer(name: str) -> NamedFunction:
    """Import a function from where one stands, or from what is installed.

    Args:
        name: `module:function`.

    Raises:
        JobError: there is none, or its module cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise JobError(f"--scorer {name}: must be MODULE:FUNCTION, such as my_scorers:score for my_scorers.py here")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  a name for sys.path
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), attribute, None)
    except Exception as problem:  # the module is the user's, and may raise anything
        why = f"{type(problem).__name__}: {problem}"
        raise JobError(f"--scorer {name}: {module} cannot be imported: {why}") from problem
    if not callable(function):
        raise JobError(f"--scorer {name}: {module} has no function {attribute}")
    return NamedFunction(name, function)
