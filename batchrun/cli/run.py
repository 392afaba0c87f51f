"""`batchrun run`."""

import asyncio
import os
import signal
import sys
from typing import Any, BinaryIO

import click
import orjson

from batchrun.cli.flags import GroupedCommand, job_flags, overrides_of
from batchrun.cli.scorer import any_scorer_option
from batchrun.cli.texts import ending_text
from batchrun.cli.then import run_then, then_option
from batchrun.cli.typed_names import TypedNames, job_file_in
from batchrun.engine.interruption import Interruption
from batchrun.engine.options import Options
from batchrun.engine.runner import run
from batchrun.errors import BatchrunError, JobError
from batchrun.job.file import STDIN, Overrides, job_for, load_job
from batchrun.job.sections import Job
from batchrun.records import Stop
from batchrun.report.bar import Lines, Progress, Silence, progress_on, stamped
from batchrun.results.executions import ended_text
from batchrun.results.run_json import entry_of

_GRACE_S = 2.0
"""How long a run may take to end after the second signal. Then the process exits: the checkpoint survives that."""


@click.command("run", cls=GroupedCommand)
@click.argument("job_or_file", nargs=-1, required=True, metavar="JOB_OR_FILE...")
@job_flags()
@click.option("--retry-failed", is_flag=True, help="Send failed rows again.")
@click.option("--restart", is_flag=True, help="Start over; the old checkpoint is kept under another name.")
@click.option("--yes", is_flag=True, help="Answer yes to questions: replace answers after an edit, start above a cap.")
@click.option("--cancel", is_flag=True, help="Cancel the batches of a run by --via batch, and keep their answers.")
@click.option("--simulate", is_flag=True, help="Run against the embedded simulator: no key, no cost.")
@any_scorer_option
@then_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout at the end.")
@click.option("--quiet", is_flag=True, help="Print only errors.")
def run_command(job_or_file: tuple[str, ...], as_json: bool, quiet: bool, **flags: Any) -> int:
    """Run a job file (.toml) or files of prompts (.jsonl .json .csv .tsv .txt .parquet, a folder, - for stdin).

    The same command resumes a stopped run and sends nothing that is settled. Ctrl-C stops after the answers in flight
    have arrived; a second Ctrl-C stops at once.

    \b
    batchrun run jobs/label_reviews.toml
    batchrun run prompts.jsonl -m meta-llama/Llama-3.1-8B-Instruct -o runs/first
    batchrun run questions.parquet -t 'Answer briefly: {{ question }}' -m MODEL -o runs/qa --max-cost 5
    cat prompts.jsonl | batchrun run - -m MODEL -o runs/piped

    \b
    Exit codes: 0 all completed, 1 finished with failed rows, 2 the job, a flag or the input is wrong,
    3 the run directory cannot be used, 4 the endpoint refuses or never answers, 5 stopped with work left (run again),
    70 unexpected error, 130 / 143 interrupted and drained.
    """
    job = job_of(job_or_file, flags)
    progress = Silence() if quiet else progress_on(sys.stderr)
    signalled: list[int] = []
    names = TypedNames(flags, job_or_file)
    options = _options(job, flags, names, names.progress(progress), signalled)
    try:
        summary = run(job, options)
    except BatchrunError as problem:
        names.error(problem)
        run_then(flags["then"], job, problem)
        if as_json:
            failed = {"state": "failed", "exit_code": problem.exit_code, "message": str(problem)}
            click.echo(orjson.dumps(failed).decode())
        if not (isinstance(progress, Lines) and progress.has_begun):
            raise
        _print_last(f"batchrun: {problem}", progress)
        return problem.exit_code
    except asyncio.CancelledError:
        _print_last(f"{job.run_directory}: stopped at once; run the same command again to resume", progress)
        return signalled[0] if signalled else 130
    if not quiet or summary.message:
        _print_last(names.text(ending_text(summary)), progress)
    if as_json:
        click.echo(orjson.dumps(entry_of(summary)).decode())
    run_then(flags["then"], job, summary)
    return summary.exit_code or 0


def _options(job: Job, flags: dict[str, Any], names: TypedNames, progress: Progress, signalled: list[int]) -> Options:
    interruption = Interruption()
    return Options(
        restart=flags["restart"],
        retry_failed=flags["retry_failed"],
        agree=lambda question: flags["yes"] or _agrees(names.text(question)),
        simulate=flags["simulate"],
        cancel=flags["cancel"],
        scorer=None if isinstance(flags["scorer"], str) else flags["scorer"],
        progress=progress,
        stdin=_stdin() if STDIN in job.input.path else None,
        interruption=interruption,
        on_start=lambda: _handle_signals(interruption, signalled),
    )


def job_of(job_or_file: tuple[str, ...], flags: dict[str, Any]) -> Job:
    """Return the job of a command line: a job file, or files of prompts, with the flags over it."""
    overrides = overrides_of(flags)
    if isinstance(flags["scorer"], str):
        overrides = {**overrides, ("evaluate", "scorer"): ("--scorer", flags["scorer"])}
    try:
        job = _job_of(job_or_file, overrides)
    except BatchrunError as problem:
        raise TypedNames(flags, job_or_file).error(problem) from problem
    for name in ("scorer", "pattern", "field"):
        if isinstance(flags[name], str) and job.evaluate.target is None:
            raise JobError(f"--{name} {flags[name]}: has nothing to compare answers with; add --target COLUMN")
    return job


def _job_of(job_or_file: tuple[str, ...], overrides: Overrides) -> Job:
    job_file = job_file_in(job_or_file)
    if job_file is not None:
        if len(job_or_file) > 1:
            others = " ".join(each for each in job_or_file if each != job_file) or job_file
            raise click.UsageError(f"a job file names its input, and there is one at a time; leave out {others}")
        return load_job(job_file, overrides)
    return job_for(job_or_file, overrides)


def _stdin() -> BinaryIO | None:
    """Return standard input in a buffer of our own; None where it is not a file.

    A reader may wait forever for a pipe that stays open, and Python cannot exit while a thread reads `sys.stdin`.
    """
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (AttributeError, OSError):
        return None


def _agrees(question: str) -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(f"{question}. Continue?", err=True)


def _print_last(text: str, progress: Progress) -> None:
    """Print how a run ended; in a log with date and time, as all lines there."""
    click.echo(stamped(text) if isinstance(progress, Lines) else text, err=True)


def _handle_signals(interruption: Interruption, signalled: list[int]) -> None:
    """Make the first signal drain the run and the second cancel it. Called on the run's event loop.

    Each signal appends its exit code to `signalled`.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def handle(number: signal.Signals) -> None:
        signalled.append(130 if number == signal.SIGINT else 143)
        if len(signalled) > 1:
            task.cancel()
            loop.call_later(_GRACE_S, os._exit, signalled[0])
            return
        message = f"{ended_text(number.name)}; run the same command again to resume"
        stop = Stop(kind="interrupted", message=message, exit_code=signalled[0], signal=number.name)
        interruption.interrupt(stop)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP, a script's `&` ignores SIGINT
            loop.add_signal_handler(number, handle, number)
