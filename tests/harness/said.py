"""How a command ended, and what it said."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Said:
    """Exit code and texts."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one line on stdout."""
        assert self.stdout.count("\n") == 1, self.stdout + self.stderr
        return dict(json.loads(self.stdout))
