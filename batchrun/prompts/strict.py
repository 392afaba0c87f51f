"""Refuses an input with broken rows, for `--strict`. Pure."""

from collections.abc import Callable, Iterable

from batchrun.errors import InputError
from batchrun.records import Row

_SHOWN = 10


def refuse_broken(rows: Iterable[Row], problem_of: Callable[[Row], str | None]) -> None:
    """Look at every row.

    Args:
        rows: all that are used.
        problem_of: returns what is wrong with a row.

    Raises:
        InputError: some are broken; the first are named.
    """
    problems = []
    count = 0
    for problem in filter(None, map(problem_of, rows)):
        count += 1
        if count <= _SHOWN:
            problems.append(problem)
    if count:
        more = f"\n… and {count - len(problems)} more" if count > len(problems) else ""
        broken = "1 broken row" if count == 1 else f"{count:,} broken rows"
        raise InputError(f"{broken}, and --strict allows none:\n" + "\n".join(problems) + more)
