"""`batchrun check`."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import click
import orjson
from tqdm import tqdm

from batchrun.cli.check_texts import report_lines
from batchrun.cli.flags import GroupedCommand, job_flags
from batchrun.cli.run import job_of
from batchrun.cli.scorer import any_scorer_option
from batchrun.cli.typed_names import TypedNames
from batchrun.engine.earlier import refuse_moved
from batchrun.engine.preflight.check import Report, check
from batchrun.engine.preflight.probe import endpoint_notes, probe_sender
from batchrun.engine.preflight.serving import served_by
from batchrun.errors import BatchrunError
from batchrun.job.file import STDIN
from batchrun.job.sections import Job
from batchrun.prompts.source import Source
from batchrun.report.texts import counted
from batchrun.storage.slow import reported_when_slow
from batchrun.storage.urls import shown

_WRONG = 2

_say = functools.partial(click.echo, err=True)


@click.command("check", cls=GroupedCommand)
@click.argument("job_or_file", nargs=-1, required=True, metavar="JOB_OR_FILE...")
@job_flags()
@any_scorer_option
@click.option(
    "--probe",
    "is_probing",
    is_flag=True,
    help="Send one real request to each model and use what it shows; with several samples, one more.",
)
@click.option("--simulate", is_flag=True, help="Probe the embedded simulator: no key, no cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
def check_command(job_or_file: tuple[str, ...], is_probing: bool, simulate: bool, as_json: bool, **flags: Any) -> int:
    """Check a job before it costs anything. Reads the whole input and sends nothing, unless --probe is given.

    Shows the number of rows, repeated ids, broken rows by cause, three prompts as they will be sent, the longest
    prompts, models that are no longer served, and a range for the tokens, cost and time of what is left to send.
    The ranges are narrower once the run directory holds some answers: run with --limit 100 first.

    \b
    batchrun check jobs/label_reviews.toml
    batchrun check prompts.jsonl -m meta-llama/Llama-3.1-8B-Instruct --probe
    batchrun check questions.csv -t '{{ question }}' -m MODEL --strict --json | jq .ahead.usd

    \b
    Exit codes: 0 no problem found, 1 a probe failed, 2 the job or the input is wrong (with --strict: any broken row)
    or `run` would refuse (after an edit, or above a cap), 4 the endpoint refuses a probe, 5 the endpoint cannot answer
    now.
    """
    job = job_of(job_or_file, flags)
    is_strict = job.input.strict
    # Every broken row is counted, also with --strict, instead of stopping at the first ones.
    job = dataclasses.replace(job, input=dataclasses.replace(job.input, strict=False))
    names = TypedNames(flags, job_or_file)
    try:
        report = _report(job, is_probing=is_probing, simulate=simulate)
    except BatchrunError as problem:
        names.error(problem)
        if as_json:
            failed = {"exit_code": problem.exit_code, "message": str(problem)}
            click.echo(orjson.dumps(failed).decode())
        raise
    changed = None if report.changed is None else names.text(report.changed)
    report = dataclasses.replace(report, notes=names.texts(report.notes), changed=changed)
    refusals = [names.text(report.refusal)] if report.refusal else []
    if is_strict and report.bad_rows:
        refusals.append(
            f"{counted(report.bad_rows, 'broken row')}, and --strict allows none; fix the input or leave out --strict"
        )
    exit_code = max([_WRONG if refusals else 0, *(each.exit_code for each in report.probes)])
    if as_json:
        served = served_by(job, report.windows)
        click.echo(orjson.dumps({"exit_code": exit_code, **plain(report), "served_by": served}).decode())
    else:
        click.echo("\n".join(report_lines(report, job)))
    for refusal in refusals:
        click.echo(f"batchrun: {refusal}", err=True)
    return exit_code


def _report(job: Job, *, is_probing: bool, simulate: bool) -> Report:
    refuse_moved(job)
    with Source(job, sys.stdin.buffer) as source, _bar() as on_read:
        with _reporting(job):
            source.open()
        if not is_probing:
            report = check(job, source, today=date.today(), on_read=on_read, simulated=simulate)
            with reported_when_slow("the key", "~/.netrc", _say):
                notes = endpoint_notes(job, simulate=simulate)
            return dataclasses.replace(report, notes=[*report.notes, *notes])
        with reported_when_slow("the key", "~/.netrc", _say):
            send = probe_sender(job, simulate=simulate)
        return check(job, source, today=date.today(), on_read=on_read, probe=send, simulated=simulate)


def _reporting(job: Job) -> contextlib.AbstractContextManager[None]:
    """Report files that do not answer; a pipe and a whole input may take long without that."""
    if STDIN in job.input.path or job.input.is_read_first:
        return contextlib.nullcontext()
    return reported_when_slow("the first rows", ", ".join(map(shown, job.input.path)), _say)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[float | None], None]]:
    """Show on a terminal how much of the input has been read."""
    tqdm.monitor_interval = 0
    with tqdm(
        total=100, unit="%", desc="reading", leave=False, disable=None, bar_format="{desc} {percentage:3.0f} %"
    ) as bar:

        def on_read(fraction: float | None) -> None:
            if fraction is not None:
                bar.update(100 * fraction - bar.n)

        yield on_read


def plain(value: Any) -> Any:
    """Return records as plain data, for JSON: each with its fields by name."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {name: plain(each) for name, each in value._asdict().items()}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
