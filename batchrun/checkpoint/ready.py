"""Outcomes made ready to be written: all that can be done with them away from the file.

The writer does this itself, or, on a cluster, the worker that has the answers: packing a body, its checksum, what is
bound, and the sums take more time than writing does. Then the process that has the checkpoint looks at no answer.
"""

import pickle
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from batchrun.checkpoint.tables import KEY, Insert, Pack, columns_of, inserts_of, pack, rows_of, unpack
from batchrun.checkpoint.totals import Sums, sums_of
from batchrun.records import AnswerSource, Outcome, Usage

_REPLY = Outcome._fields.index("reply")
"""By place a field of a named tuple is read in half the time, and this is done for every row."""

_SOURCE = itemgetter(*map(Outcome._fields.index, ("model", "endpoint", "answered_by")))


class Part(NamedTuple):
    """Outcomes of one source."""

    source: AnswerSource
    """As the outcomes name it."""
    ids: list[int]
    sums: Sums


class Ready(NamedTuple):
    """Outcomes that are ready."""

    inserts: list[Insert]
    """Of `OWN_BODY`; outcomes that share replies are not among them."""
    parts: list[Part]
    """All of them, by source."""

    @property
    def ids(self) -> list[int]:
        """The id of each outcome."""
        return [number for part in self.parts for number in part.ids]

    @property
    def asked(self) -> Iterator[tuple[bytes, int, int]]:
        """What was asked, and by which id: key, sample and id of each outcome that shares no reply."""
        return ((row[KEY], unpack(row[0])[2], row[0]) for row in rows_of(self.inserts))


class Sealed(NamedTuple):
    """Outcomes that are ready, on their way from another process."""

    rows: int
    content: bytes


def made_ready(outcomes: Sequence[Outcome], models: Mapping[str, int], stored: Pack) -> Ready:
    """Make outcomes ready; of those that share replies, all but their rows.

    Args:
        outcomes: in any order.
        models: the number of each model.
        stored: packs a body.
    """
    ids = [pack(row, models[model], sample) for row, model, sample, *_ in outcomes]
    own = [columns_of(number, each, stored) for number, each in zip(ids, outcomes, strict=True) if each[_REPLY] is None]
    return Ready(list(inserts_of(own)), list(_parts(outcomes, ids)))


def _parts(outcomes: Sequence[Outcome], ids: list[int]) -> Iterator[Part]:
    sources = list(map(_SOURCE, outcomes))
    if len(named := dict.fromkeys(sources)) == 1:  # nearly always
        yield Part(AnswerSource(*sources[0]), ids, sums_of(outcomes))
        return
    for source in named:
        its = [place for place, each in enumerate(sources) if each == source]
        yield Part(AnswerSource(*source), [ids[place] for place in its], sums_of(outcomes[place] for place in its))


def sealed(ready: Ready) -> Sealed:
    """Return what is ready as bytes."""
    return Sealed(sum(len(part.ids) for part in ready.parts), pickle.dumps(ready, 5))


def opened(content: bytes) -> Ready:
    """Return what `sealed` was given. Only for bytes of this run's own processes."""
    ready: Ready = pickle.loads(content)  # noqa: S301
    return ready


def outcomes_in(ready: Ready) -> Iterator[Outcome]:
    """Yield the outcomes that share no reply, with their bodies as they are stored."""
    sources = {number: part.source for part in ready.parts for number in part.ids}
    for number, key, label, kind, error, status, attempts, throttled, took_s, at_ms, *rest in rows_of(ready.inserts):
        *usage, body, _, _ = rest
        (row, _, sample), (model, endpoint, answered_by, _) = unpack(number), sources[number]
        ended = (status, attempts, took_s, at_ms, body, Usage(*usage), throttled)
        yield Outcome(row, model, sample, key, label, kind, error, *ended, endpoint, answered_by)


def without(ready: Ready, late: Collection[int]) -> Ready:
    """Return what is ready without some of the outcomes, none of which shares a reply."""
    rows = list(rows_of(ready.inserts))
    dropped = {row[0]: each for row, each in zip(rows, outcomes_in(ready), strict=True) if row[0] in late}
    inserts = list(inserts_of([row for row in rows if row[0] not in dropped]))
    return Ready(inserts, [_part_without(part, dropped) for part in ready.parts])


def _part_without(part: Part, dropped: Mapping[int, Outcome]) -> Part:
    theirs = [dropped[number] for number in part.ids if number in dropped]
    ids = [number for number in part.ids if number not in dropped]
    return Part(part.source, ids, part.sums.minus(sums_of(theirs)))
