"""`batchrun` and `python -m batchrun`: start the command line, so that Ctrl-C is a message while it is imported too."""

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from batchrun.cli.program import run_program  # takes a tenth of a second, in which Ctrl-C may come

        code = run_program()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the command began\n")
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
