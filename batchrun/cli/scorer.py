"""The option `--scorer`: a Python function of the user that scores answers.

Only the command line can name one. A job file cannot: it is data, and opening it must run no code.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.cli.flags import ANSWERS, GroupedOption
from batchrun.errors import JobError
from batchrun.job.evaluate import SCORERS
from batchrun.job.suggestions import nearest

F = TypeVar("F", bound=Callable[..., Any])


def scorer_option(command: F) -> F:
    """Add the option `--scorer` to a command, which takes a function."""
    return click.option(
        "--scorer",
        metavar="MODULE:FUNCTION",
        callback=lambda _, __, name: None if name is None else load_scorer(name),
        help="Score the answers with a Python function: it gets a row of the results as a dict and returns a number.",
    )(command)


def any_scorer_option(command: F) -> F:
    """Add the option `--scorer` to a command, which takes a built-in scorer, as its name, or a function."""
    return click.option(
        "--scorer",
        cls=GroupedOption,
        group=ANSWERS,
        metavar="NAME",
        callback=lambda _, __, name: name if name is None or name in SCORERS else load_scorer(name, SCORERS),
        help=f"How answers are scored: {', '.join(SCORERS)}, compared with --target; or MODULE:FUNCTION, a Python"
        " function that gets a row of the results as a dict and returns a number.",
    )(command)


def load_scorer(name: str, known: Sequence[str] = ()) -> NamedFunction:
    """Import a function from the current directory or from an installed package.

    Args:
        name: `module:function`.
        known: built-in scorers that could be meant instead.

    Raises:
        JobError: the module cannot be imported, or has no such function.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        either = f"one of {', '.join(known)}, or " if known else ""
        example = "such as scorers:score for score() in ./scorers.py"
        raise JobError(
            f"--scorer {name}: must be {either}MODULE:FUNCTION, {example}{nearest(name, known) if known else ''}"
        )
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  # sys.path holds strings
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), attribute, None)
    except Exception as problem:  # the user's module may raise anything
        why = f"{type(problem).__name__}: {problem}"
        raise JobError(f"--scorer {name}: {module} cannot be imported: {why}") from problem
    if not callable(function):
        raise JobError(f"--scorer {name}: {module} has no function {attribute}")
    return NamedFunction(name, function)
