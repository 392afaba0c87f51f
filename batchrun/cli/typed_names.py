"""Calls a setting in messages what the user has typed: `-t`, where a message from inside says `prompt.user`.

Below the command line nobody knows of flags: a setting is named as in a job file. So the names are exchanged here, in
every message of a command, and not where messages are made.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from batchrun.cli.flags import FLAGS
from batchrun.errors import BatchrunError
from batchrun.report.bar import Progress, Wrapped


def job_file_in(paths: Sequence[str]) -> str | None:
    """Return the job file among the arguments of a command; None where all are input."""
    return next((each for each in paths if Path(each).suffix == ".toml"), None)


class TypedNames:
    """The flags of a command line, by the settings that they override."""

    def __init__(self, flags: dict[str, Any], paths: Sequence[str] = ()) -> None:
        """Note which flags were given, or all that there are where no job file has the names of settings.

        Args:
            flags: the parameters of the command.
            paths: its arguments.
        """
        has_job = not paths or job_file_in(paths) is not None
        given = [flag for flag in FLAGS if not has_job or flags.get(flag.parameter) not in (None, ())]
        self._names = {f"{flag.section}.{flag.key}": flag.names[0].split("/")[0] for flag in given}
        listed = "|".join(re.escape(name) for name in self._names)
        self._pattern = re.compile(rf"(?<![\w./])(?:{listed})(?![\w.]*\w)") if listed else None

    def text(self, message: str) -> str:
        """Return a message with the names that were typed."""
        return message if self._pattern is None else self._pattern.sub(lambda found: self._names[found[0]], message)

    def texts(self, messages: Iterable[str]) -> list[str]:
        """Return messages with the names that were typed."""
        return [self.text(each) for each in messages]

    def error(self, problem: BatchrunError) -> BatchrunError:
        """Return an error whose message has the names that were typed."""
        problem.args = (self.text(str(problem)),)
        return problem

    def progress(self, progress: Progress) -> Progress:
        """Return a progress whose messages have the names that were typed."""
        return _Named(progress, self)


class _Named(Wrapped):
    """A progress that renames what is printed."""

    def __init__(self, progress: Progress, names: TypedNames) -> None:
        super().__init__(progress)
        self._names = names

    def say(self, message: str) -> None:
        super().say(self._names.text(message))
