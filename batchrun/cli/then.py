"""`--then`: a command of the user's that runs when the run has ended."""

import dataclasses
import os
import subprocess
from pathlib import Path

import click

from batchrun.errors import BatchrunError
from batchrun.job.sections import Job
from batchrun.results.summary import Summary

then_option = click.option(
    "--then",
    metavar="COMMAND",
    help="Run this shell command at the end, however the run ended; it finds the outcome in variables BATCHRUN_….",
)

_STDERR = 2
"""Where its output goes: a script may read one line of JSON from our stdout."""

_FIELDS = ("state", "exit_code", "rows", "completed", "failed", "cost_usd", "directory", "results", "message")
"""Fields of the summary that the command finds in its environment, as BATCHRUN_STATE and so on."""


def run_then(command: str | None, job: Job, outcome: Summary | BatchrunError) -> None:
    """Run a command, and report on stderr if it fails. It changes nothing about how the run ended.

    Args:
        command: for the shell; None for nothing.
        job: that was run.
        outcome: how it ended.
    """
    if command is None:
        return
    try:
        code = subprocess.run(  # noqa: S602  # the user's own command
            command, shell=True, check=False, env=os.environ | _variables(job, outcome), stdout=_STDERR
        ).returncode
    except (OSError, ValueError) as problem:
        click.echo(f"note: --then could not be run: {problem}", err=True)
        return
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        click.echo(f"note: the command of --then {how}", err=True)


def _variables(job: Job, outcome: Summary | BatchrunError) -> dict[str, str]:
    if isinstance(outcome, BatchrunError):
        known = {"state": "failed", "exit_code": outcome.exit_code, "message": str(outcome)}
        values = known | {"directory": str(job.run_directory)}
    else:
        values = dataclasses.asdict(outcome)
    paths = {name: values[name] for name in ("directory", "results") if values.get(name)}
    values |= {name: str(Path(str(path)).absolute()) for name, path in paths.items()}
    texts = {name: values.get(name) for name in _FIELDS}
    return {f"BATCHRUN_{name.upper()}": "" if value is None else f"{value}" for name, value in texts.items()}
