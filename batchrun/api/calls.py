"""`answer`, `aanswer` and `open_run`: one call from data to answers."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Unpack

from batchrun.api.answers import Answers
from batchrun.api.arguments import RUN_KEYS, arguments_of_settings, job_for_call, settings_text
from batchrun.api.data import missing_data, paths_of
from batchrun.api.frame_types import with_index
from batchrun.api.html import line
from batchrun.api.keywords import Settings
from batchrun.api.run import arun, run
from batchrun.api.words import errors_in_python
from batchrun.checkpoint import facts
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.reader import Checkpoint
from batchrun.engine.options import Options
from batchrun.engine.threads import in_thread
from batchrun.errors import BatchrunError, EndpointRefused, InputError, JobError, RunDirectoryError, Stopped
from batchrun.job.sections import Job
from batchrun.prompts.input.frame import is_frame, remove_others
from batchrun.report.notebook_bar import is_notebook
from batchrun.results.run_directory import input_paths, stored_job
from batchrun.results.summary import Summary


def answer(
    data: Any = None,
    prompt: str | None = None,
    *,
    out: str | Path,
    model: str | Sequence[str] | None = None,
    schema: Mapping[str, Any] | str | Path | type | None = None,
    **settings: Unpack[Settings],
) -> Answers:
    """Send every row of the data to a model, and return the answers. The same call resumes.

        answers = batchrun.answer(frame, "Label this review: {{ text }}", model="…", schema=Label, out="runs/labels")
        answers.to_pandas()

    Args:
        data: a pandas or Polars data frame, an Arrow table or reader, a DuckDB relation, a Hugging Face `Dataset`; a
            list or iterator of dicts, or of strings; or the path of a file or a folder (a list of `Path` for several).
        prompt: Jinja2 template of the user message, filled with the columns of a row. Without it, rows have a column
            `prompt` or `messages`; strings are prompts.
        out: the run directory. Data that is not in a file is kept there, as Parquet or JSON Lines.
        model: name of the model, or a list of names. Rows may name their own.
        schema: the form of the answers: a JSON Schema as a dict or a path, or a pydantic model class. Its properties
            become typed columns.
        settings: all settings of the job file by their names (`temperature=0`, `max_cost_usd=5`, `patience="2h"`), or
            whole sections (`evaluate={"target": "label"}`); and how to run: `simulate=True` (no key, no cost),
            `retry_failed=True`, `restart=True`, `agree=True` (to questions), `progress=False`, `scorer=function`.

    Raises:
        JobError, InputError: an argument or the data is wrong.
        RunDirectoryError: the directory cannot be used.
        JobError: the scorer raises for every row; the answers are kept.
        EndpointRefused, Stopped: the run ended with rows left; what is settled can be read with `open_run`.
        KeyboardInterrupt: the run was interrupted; the answers in flight have arrived, and the results are written.
    """
    with errors_in_python(arguments_of_settings()):
        call = _Call(data, out, {"prompt": prompt, "model": model, "schema": schema, **settings})
    with errors_in_python(arguments_of_settings()), call.kept_data():
        return _answers(run(call.job, call.options), call.options)


async def aanswer(
    data: Any = None,
    prompt: str | None = None,
    *,
    out: str | Path,
    model: str | Sequence[str] | None = None,
    schema: Mapping[str, Any] | str | Path | type | None = None,
    **settings: Unpack[Settings],
) -> Answers:
    """Do the same as `answer`, in the running event loop."""
    arguments = {"prompt": prompt, "model": model, "schema": schema, **settings}
    with errors_in_python(arguments_of_settings()):
        call = await in_thread(lambda: _Call(data, out, arguments))
    with errors_in_python(arguments_of_settings()), call.kept_data():
        return _answers(await arun(call.job, call.options), call.options)


def open_run(directory: str | Path) -> Answers:
    """Return the answers of any run, also of one that is running, was stopped, or was started by the command line.

    Raises:
        RunDirectoryError: the directory holds no run.
    """
    with errors_in_python():
        return Answers(directory)


def resume(directory: Path, options: Options) -> Answers:
    """Run the job of a run directory again, at its endpoint or its simulator.

    Raises:
        BatchrunError, KeyboardInterrupt: as `answer`.
    """
    with errors_in_python(), Checkpoint(directory) as checkpoint:
        job, simulated = stored_job(checkpoint), checkpoint.fact(facts.SIMULATED) is True
        stored = dataclasses.replace(job.input, path=input_paths(job, directory, checkpoint))
    job = dataclasses.replace(job, input=stored, output=dataclasses.replace(job.output, dir=str(directory)))
    return _answers(run(job, options := dataclasses.replace(options, simulate=simulated)), options)


def _answers(summary: Summary, options: Options) -> Answers:
    """Return the answers of a run that ended.

    Raises:
        EndpointRefused, Stopped: it ended with work left.
    """
    if summary.state == "stopped":
        kind = EndpointRefused if summary.exit_code == EndpointRefused.exit_code else Stopped
        settled = f"; what is settled: batchrun.open_run({summary.directory!r})" if summary.rows else ""
        raise kind(f"{summary.message}{settled}")
    if summary.exit_code == JobError.exit_code:  # nothing was scored
        raise JobError(f"{summary.message}; the answers are kept: batchrun.open_run({summary.directory!r})")
    if not is_notebook():  # which shows the answers themselves
        options.progress.say(line(summary))
    if summary.message:
        options.progress.say(summary.message)
    return Answers(summary.directory)


class _Call:
    """One call: its job, and how to run it."""

    def __init__(self, data: Any, out: str | Path, arguments: Mapping[str, Any]) -> None:
        directory = _directory(out)
        if data is None:
            raise InputError(missing_data(arguments.get("input")))
        self.options = _options(arguments)
        rest = {name: value for name, value in arguments.items() if name not in RUN_KEYS or _is_name(name, value)}
        job_for_call(("-",), directory, rest)  # a wrong argument is found before the data is written
        is_run = isinstance(data, Answers) and not data.are_failed
        paths = (str(data.directory),) if is_run else paths_of(data, directory)
        job = job_for_call(paths, directory, rest)
        keep = with_index(job.output.keep, paths[0])
        self.job: Job = dataclasses.replace(job, output=dataclasses.replace(job.output, keep=keep))

    @contextmanager
    def kept_data(self) -> Iterator[None]:
        """Remove data that the run does not use at the end: of calls before, or of this one if it is refused."""
        try:
            yield
        finally:
            if any(map(is_frame, self.job.input.path)):
                _remove_unused(self.job.run_directory)


def _remove_unused(directory: Path) -> None:
    with suppress(BatchrunError, OSError), DirectoryLock(directory):  # no other process may be about to use its own
        used: tuple[str, ...] = ()
        with suppress(RunDirectoryError), Checkpoint(directory) as checkpoint:
            used = stored_job(checkpoint).input.path
        remove_others(directory, used)
    with suppress(OSError):
        directory.rmdir()  # if nothing was written


def _directory(out: Any) -> Path:
    if not isinstance(out, str | Path) or not str(out).strip() or "\0" in str(out):
        raise JobError(f'out = {out!r}; must be the run directory, such as out="runs/labels"')
    return Path(out)


def _options(arguments: Mapping[str, Any]) -> Options:
    given = {name: arguments[name] for name in RUN_KEYS if arguments.get(name) is not None}
    if isinstance(given.get("scorer"), str):  # one of the job's own
        del given["scorer"]
    return Options(**{"progress": True, **given})


def _is_name(name: str, value: Any) -> bool:
    return name == "scorer" and isinstance(value, str)


def _signature(call: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a call with every setting as a parameter, for `help()` and completion."""
    stated = inspect.signature(call)
    own = [each for each in stated.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    settings = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in Settings.__annotations__.items()
    ]
    return stated.replace(parameters=[*own, *settings])


for _call in (answer, aanswer):
    _call.__doc__ = f"{_call.__doc__}\n    Settings:\n{settings_text()}"
    _call.__signature__ = _signature(_call)  # type: ignore[union-attr]  # every function may have one
