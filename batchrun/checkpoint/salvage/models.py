"""The names of models that a salvage finds. Each is stored twice; where both are lost, the answers state one."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from batchrun.checkpoint.replies import PLACES
from batchrun.checkpoint.salvage.outcomes import FoundOutcomes

_ASKED_FOR_NAMES = 100
"""Most answers that are read to find the name of a model."""

_OWN_OR_FRAME = f"coalesce(body, (SELECT frame FROM replies WHERE replies.id = reply / {PLACES}))"


class FoundModels:
    """Fills the models of a new checkpoint, whose outcomes are there."""

    def __init__(
        self, connection: sqlite3.Connection, outcomes: FoundOutcomes, versions: Iterable[Sequence[Any]]
    ) -> None:
        """Take the names that were found.

        Args:
            connection: to the new checkpoint.
            outcomes: its outcomes.
            versions: number and name, both names where one of the two has changed, and it is not known which.
        """
        self._connection, self._outcomes = connection, outcomes
        self.names: dict[int, str] = {}
        self._other_names: dict[int, str] = {}
        for number, name in versions:
            if self.names.setdefault(number, name) != name:
                self._other_names[number] = name

    def write(self, known: Sequence[str]) -> str | None:
        """Write them; return what the user should know of lost names.

        Args:
            known: models of the job; none where that is lost.
        """
        self.names |= {number: name for number, name in self._other_names.items() if name in known}
        used = "SELECT id >> 16 & 255 FROM outcomes UNION SELECT id >> 16 & 255 FROM retired"
        unnamed = [number for (number,) in self._connection.execute(used) if number not in self.names]
        for number in unnamed:
            self.names[number] = self._likely_name(number, known)
        self._connection.executemany("INSERT INTO models VALUES (?, ?)", sorted(self.names.items()))
        if not unnamed:
            return None
        return (
            "the names of models are lost; the answers have the names that they state themselves: "
            f"{', '.join(self.names[number] for number in unnamed)}. "
            "Run the job again to give its answers back to the models that were asked"
        )

    def _likely_name(self, number: int, known: Sequence[str]) -> str:
        """Return the name that most answers state; it may differ from the name in the request."""
        query = f"SELECT {_OWN_OR_FRAME}, dictionary FROM outcomes WHERE id >> 16 & 255 = ? AND kind IS NULL LIMIT ?"
        stored = self._connection.execute(query, (number, _ASKED_FOR_NAMES))
        bodies = [self._outcomes.unpacked(*each) or b"{}" for each in stored]
        stated = Counter(str(orjson.loads(body).get("model") or "unknown") for body in bodies)
        left = [name for name in known if name not in self.names.values()]
        name = max(stated, key=lambda each: (each in left, stated[each]), default="unknown")
        if len(left) == 1 and (name not in left):
            name = left[0]
        return name if name not in self.names.values() else f"{name} ({number})"
