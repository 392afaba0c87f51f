"""`batchrun`, and `python -m batchrun`: runs a command; an error becomes one message and an exit code."""

import sys

import click

from batchrun.cli import cli
from batchrun.errors import BatchrunError


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. What went wrong is on stderr."""
    try:
        result = cli.main(arguments, prog_name="batchrun", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        return 0
    except click.ClickException as problem:
        problem.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted before anything was sent", err=True)
        return 130
    except BatchrunError as problem:
        click.echo(f"batchrun: {problem}", err=True)
        return problem.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
