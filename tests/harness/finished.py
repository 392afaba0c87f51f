"""The end of a command: its exit code and output."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finished:
    """Exit code, stdout and stderr."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one line on stdout."""
        assert self.stdout.count("\n") == 1, self.stdout + self.stderr
        return dict(json.loads(self.stdout))
