"""The end of a command: its exit code and output."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finished:
    """Exit code, stdout and stderr."""

    code: int
    stdout: str
    stderr: str

    @property
    def messages(self) -> str:
        """What is on stderr, without date and time at the beginning of lines, as a terminal shows it."""
        return re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", self.stderr)

    @property
    def json(self) -> dict[str, Any]:
        """The one line on stdout."""
        assert self.stdout.count("\n") == 1, self.stdout + self.stderr
        return dict(json.loads(self.stdout))
