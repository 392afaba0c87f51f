"""How a job is run, apart from what the job itself says."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.engine.interruption import Interruption
from batchrun.errors import JobError
from batchrun.report.bar import Progress, Silence, progress_on
from batchrun.report.notebook_bar import is_notebook, notebook_progress

Agree = Callable[[str], bool]
ScoreFunction = Callable[[dict[str, Any]], Any]

if TYPE_CHECKING:  # what each of these fields takes, and what it has then

    class _AgreeField:
        def __get__(self, options: object, kind: type | None = None) -> Agree: ...
        def __set__(self, options: object, value: Agree | bool) -> None: ...

    class _ProgressField:
        def __get__(self, options: object, kind: type | None = None) -> Progress: ...
        def __set__(self, options: object, value: Progress | bool | None) -> None: ...

    class _ScorerField:
        def __get__(self, options: object, kind: type | None = None) -> NamedFunction | None: ...
        def __set__(self, options: object, value: NamedFunction | ScoreFunction | None) -> None: ...

else:
    _AgreeField, _ProgressField, _ScorerField = (
        Agree | bool,
        Progress | bool | None,
        NamedFunction | ScoreFunction | None,
    )


def _by_default(value: object) -> Any:
    """Declare a field that is set to something else than it is read as."""
    return field(default=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a job, apart from what the job itself says.

    Raises:
        JobError: a value is of another type.
    """

    restart: bool = False
    """Start over; the old checkpoint is kept under another name."""
    retry_failed: bool = False
    """Send failed rows again."""
    agree: _AgreeField = _by_default(False)
    """Whether to buy answers again because the job was edited, and to start a job above a cap: True, False, or a
    function that is asked with the question."""
    simulate: bool = False
    """Run against the embedded simulator."""
    cancel: bool = False
    """Cancel the batches of a run that is sent in batches, keep what they have answered, and stop."""
    progress: _ProgressField = _by_default(None)
    """Shows the progress of the run: True with a bar, as the command does; False not at all; None: in a notebook."""
    stdin: BinaryIO | None = None
    """Read for the path `-`; by default, standard input."""
    scorer: _ScorerField = _by_default(None)
    """Scores the answers instead of the job's own scorer: a function that gets a row of the results as a dict, and
    returns a number, True, False, or None for no score."""
    interruption: Interruption = field(default_factory=Interruption)
    """Stops the run from outside; one for each run."""
    on_start: Callable[[], None] = field(default=lambda: None)
    """Called on the run's event loop when sending begins."""

    def __post_init__(self) -> None:
        for name in ("restart", "retry_failed", "simulate", "cancel"):
            if not isinstance(value := getattr(self, name), bool):  # a text such as "no" would count as true
                raise JobError(f"{name} = {value!r}; must be True or False")
        changed = {"agree": _agree(self.agree), "progress": _progress(self.progress), "scorer": _scorer(self.scorer)}
        for name, value in changed.items():
            object.__setattr__(self, name, value)


def _agree(value: Agree | bool) -> Agree:
    if isinstance(value, bool):
        return lambda question: value
    if not callable(value):
        raise JobError(f"agree = {value!r}; must be True, False, or a function that is asked with the question")
    return value


def _progress(value: Progress | bool | None) -> Progress:
    if value is None or value is True:
        if is_notebook():
            return notebook_progress()
        return progress_on(sys.stderr) if value else Silence()
    return Silence() if value is False else value


def _scorer(value: NamedFunction | ScoreFunction | None) -> NamedFunction | None:
    if value is None or isinstance(value, NamedFunction):
        return value
    if not callable(value):
        raise JobError(f"scorer = {value!r}; must be a function that gets a row as a dict, or the name of a scorer")
    return named(value)


def named(function: ScoreFunction) -> NamedFunction:
    """Return a function that scores rows with its name, for messages."""
    return NamedFunction(getattr(function, "__name__", type(function).__name__), function)
