"""`batchrun`, and `python -m batchrun`: runs a command; an error becomes one message and an exit code."""

import gc
import os
import sys
import tempfile
import traceback

import click

from batchrun import __version__
from batchrun.cli import cli
from batchrun.cli.outlet import open_outlets
from batchrun.errors import BatchrunError

_UNEXPECTED = 70
"""Exit code after an error that nobody has foreseen. Source: sysexits.h, `EX_SOFTWARE`; Python's own would be 1."""


def main() -> None:
    """Run the command line and exit."""
    _open_what_is_closed()
    open_outlets()
    _tune()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. What went wrong is on stderr."""
    try:
        return _run(arguments)
    except click.ClickException as problem:
        problem.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted before anything was sent", err=True)
        return 130
    except BatchrunError as problem:
        click.echo(f"batchrun: {problem}", err=True)
        return problem.exit_code
    except Exception as error:  # noqa: BLE001  # the outermost place there is
        return _unforeseen(error)


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="batchrun", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        return 0
    return result if isinstance(result, int) else 0


def _tune() -> None:
    """Set what is this process's own affair, and would be somebody else's where batchrun is a library."""
    # Rows are tuples that counting frees. Looking for cycles among them every 700 costs an eighth of an export's time.
    gc.set_threshold(50_000, 20, 50)
    # Arrow's own allocators keep what they had: an export of 200,000 rows peaks at 208 MiB, with the system's at 140.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def _open_what_is_closed() -> None:
    """Lead standard streams that were closed (`2>&-`) nowhere: else the next file opened becomes standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            stream = os.fdopen(number, mode)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # as Python has it: whoever replaces the one must not close it


def _unforeseen(error: Exception) -> int:
    """Tell of a mistake of batchrun's own, without the key, and leave the traceback in a file."""
    from batchrun.endpoint.key import hide_keys  # not needed to list the commands

    head = f"batchrun {__version__}, Python {sys.version.split()[0]} on {sys.platform}\n"
    trace = hide_keys(head + "".join(traceback.format_exception(error)))
    said = " ".join(hide_keys(f"{type(error).__name__}: {error}").split())[:500]
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="batchrun-", suffix=".txt", delete=False
        ) as file:
            file.write(trace)
    except OSError:
        click.echo(trace, err=True)
        where = "what stands above"
    else:
        where = file.name
    click.echo(
        f"batchrun: an error that should not be: {said}\nPlease report it, with {where}. What was settled is kept: the"
        " same command again goes on from there.",
        err=True,
    )
    return _UNEXPECTED


if __name__ == "__main__":
    main()
