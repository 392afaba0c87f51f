"""The source of each outcome: read with the outcomes, and moved with them when an edited job moves or retires these.

Only outcomes that have a source are in the table: see `sources`. That of a retired outcome, which has no place of its
own, stands under its rowid, negative.
"""

import sqlite3
from collections.abc import Sequence

import orjson

from batchrun.checkpoint.sources import read_sources
from batchrun.records import AnswerSource, OutcomeColumns

RETIRE = """
UPDATE origins SET id = -gone.place FROM (SELECT rowid AS place, id FROM retired WHERE rowid > ?) AS gone
WHERE origins.id = gone.id
"""
"""After outcomes were appended to `retired`, behind a rowid."""

RETURN = "UPDATE origins SET id = moved.id FROM moved WHERE origins.id = -moved.origin"
"""While `moved` lists which retired outcomes get which place."""

DROP_LOST = """
DELETE FROM origins WHERE source NOT IN (SELECT id FROM sources)
OR id NOT IN (SELECT id FROM outcomes UNION ALL SELECT -rowid FROM retired)
"""
"""After a salvage, which may have found only one of the two."""

_FIND = "SELECT id, source FROM origins WHERE id IN (SELECT value FROM json_each(?))"

_NO_SOURCE = AnswerSource("")


class Origins:
    """The sources of outcomes that are read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sources = {each.number: each.source for each in read_sources(connection)}

    def columns(self, ids: Sequence[int]) -> OutcomeColumns:
        """Return the columns `endpoint`, `answered_by` and `run` of stored outcomes, by their ids."""
        if not self._sources:
            nothing = [""] * len(ids)
            return {"endpoint": nothing, "answered_by": nothing, "run": nothing}
        numbers = dict(self._connection.execute(_FIND, (orjson.dumps(ids).decode(),)))
        sources = [self._sources.get(numbers.get(number, 0), _NO_SOURCE) for number in ids]
        return {
            "endpoint": [source.endpoint for source in sources],
            "answered_by": [source.answered_by for source in sources],
            "run": [source.run for source in sources],
        }
