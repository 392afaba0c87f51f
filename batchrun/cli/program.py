"""Runs a command, and turns each error into one message and an exit code."""

import sys
import tempfile
import traceback

import click

from batchrun import __version__
from batchrun.cli import cli
from batchrun.cli.memory import take_little
from batchrun.cli.pandas_import import spare_pandas
from batchrun.cli.standard_streams import open_closed_streams, protect_streams
from batchrun.cli.suggestions import explained
from batchrun.errors import BatchrunError

_UNEXPECTED = 70
"""Exit code after an unexpected error. Source: sysexits.h, `EX_SOFTWARE`. Python's own would be 1."""


def run_program() -> int:
    """Run the command of this process and return its exit code."""
    open_closed_streams()
    protect_streams()
    take_little()
    spare_pandas()
    return run(sys.argv[1:])


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. Errors are on stderr."""
    try:
        return _run(arguments)
    except click.ClickException as problem:
        explained(problem).show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        if arguments[:1] == ["run"]:  # the others send nothing, and their interruption says nothing of a run
            click.echo("interrupted before anything was sent", err=True)
        return 0 if arguments[:1] == ["watch"] else 130
    except BatchrunError as problem:
        click.echo(f"batchrun: {problem}", err=True)
        return problem.exit_code
    except Exception as error:  # noqa: BLE001  # the outermost place
        return _report_unexpected(error)


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="batchrun", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        return 0
    return result if isinstance(result, int) else 0


def _report_unexpected(error: Exception) -> int:
    """Print an error that is a bug of batchrun, without the key, and write its traceback to a file."""
    from batchrun.endpoint.key import hide_keys  # not needed to list the commands

    head = f"batchrun {__version__}, Python {sys.version.split()[0]} on {sys.platform}\n"
    trace = hide_keys(head + "".join(traceback.format_exception(error)))
    message = " ".join(hide_keys(f"{type(error).__name__}: {error}").split())[:500]
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="batchrun-", suffix=".txt", delete=False
        ) as file:
            file.write(trace)
    except OSError:
        click.echo(trace, err=True)
        where = "the text above"
    else:
        where = file.name
    click.echo(
        f"batchrun: unexpected error: {message}\nThis is a bug: please report it with {where}. Settled rows are kept:"
        " run the same command again to resume.",
        err=True,
    )
    return _UNEXPECTED
