"""Bundles: requests that travel as one HTTP request, and are settled together. Pure.

The texts of several rows of embeddings become one list, several samples of a row one body with `n`. A bundle is made of
what is left to send and lives until its reply: what is known, recorded and resumed are the requests in it.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple, Self

import orjson

from batchrun.job.file import STDIN
from batchrun.job.sections import Job
from batchrun.prompts.kinds.table import SHAPES
from batchrun.prompts.order import Entry
from batchrun.records import Request

MOST_BYTES = 1 << 20
"""Longest body of a bundle. Source: the default of nginx. A row that is longer travels alone."""

_TOKEN_BYTES = 4
"""About as many bytes of a text are a token."""

_MOST_FORMS = 64
"""Bundles that are filled at the same time: as many sets of parameters as the rows of a job usually have."""


def has_bundles(job: Job) -> bool:
    """Return whether a job wants several requests to travel as one."""
    return job.model.rows_per_request > 1 or min(job.model.samples_per_request, job.model.num_samples) > 1


def bundled(job: Job, batches: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    """Return batches of entries with bundles in the place of their requests, as far as the job wants them."""
    if job.model.rows_per_request > 1:
        return _with_texts(_Texts(job.model.rows_per_request), batches, is_piped=STDIN in job.input.path)
    if has_bundles(job):
        return (_samples(batch, job.model.samples_per_request) for batch in batches)
    return batches


class Together(NamedTuple):
    """How many requests travel in a bundle that is full, and how many prompts are paid for them."""

    requests: float = 1.0
    prompts: float = 1.0

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return how the requests of a job travel."""
        model = job.model
        if model.rows_per_request > 1:
            return cls(model.rows_per_request, model.rows_per_request)
        return cls(model.num_samples / ceil(model.num_samples / min(model.samples_per_request, model.num_samples)))

    def bundles(self, requests: float, tokens: float) -> float:
        """Return in about how many bundles so many requests with so many tokens travel."""
        if not requests or self.requests == 1:
            return requests
        row_bytes = max(1.0, _TOKEN_BYTES * tokens / requests)
        most = self.requests if self.prompts == 1 else min(self.requests, max(1.0, MOST_BYTES // row_bytes))
        return ceil(requests / most)


ALONE = Together()


def joined(members: Sequence[Request]) -> Request:
    """Return the bundle of some requests that can travel together; of one, the request itself."""
    first = members[0]
    if len(members) == 1:
        return first
    if SHAPES[first.kind].takes_n:
        return first._replace(body=first.body[:-1] + b',"n":%d}' % len(members), members=tuple(members))
    bodies = [orjson.loads(each.body) for each in members]
    return _bundle(members, bodies[0], [body[_key(first)] for body in bodies])


def _bundle(members: Sequence[Request], asked: dict[str, Any], texts: list[Any]) -> Request:
    first = members[0]
    return first._replace(body=orjson.dumps(asked | {_key(first): texts}), members=tuple(members))


def _key(request: Request) -> str:
    """Return the key of a body that holds what its row asks."""
    return SHAPES[request.kind].asked[0].key


def _ends_in(head: bytes, key: str) -> bool:
    """Return whether a part of a body ends in a key, as far as its value; a batch line may have spaces there."""
    return head.rstrip(b" ").removesuffix(b":").rstrip(b" ").endswith(b'"%b"' % key.encode())


def _samples(batch: list[Entry], most: int) -> list[Entry]:
    """Return a batch with one request for the samples of a row that ask the same."""
    made: list[Entry] = []
    groups: dict[tuple[int, str, bytes], list[Request]] = {}
    for entry in batch:
        if isinstance(entry, Request) and SHAPES[entry.kind].takes_n:
            groups.setdefault((entry.row, entry.model, entry.body), []).append(entry)
        else:
            made.append(entry)
    for group in groups.values():
        made += (joined(group[start : start + most]) for start in range(0, len(group), most))
    return made


def _with_texts(texts: "_Texts", batches: Iterator[list[Entry]], *, is_piped: bool) -> Iterator[list[Entry]]:
    """Yield batches; rows wait for those of the next batch, except in a pipe, where it may not come for long."""
    for batch in batches:
        yield texts.add(batch) + (texts.rest() if is_piped else [])
    yield texts.rest()


_Form = tuple[type, bytes]
"""What is alike in the requests of a bundle: whether they ask with texts or with token ids, and all else they say."""


class _Around(NamedTuple):
    """What stands around the text in the bodies of one form: nearly always the next request has the same."""

    head: bytes
    tail: bytes
    form: _Form

    def text_in(self, body: bytes) -> orjson.Fragment | None:
        """Return the text of a request as JSON; None where it has another form, or quotes in its text."""
        if not (body.startswith(self.head) and body.endswith(self.tail)):
            return None
        text = body[len(self.head) : len(body) - len(self.tail)]
        is_one = text.count(b'"') == 2 and text.startswith(b'"') and text.endswith(b'"')
        return orjson.Fragment(text) if is_one else None


class _Texts:
    """Rows of embeddings that wait for others with the same model and parameters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[_Form, _Group] = {}
        self._last: _Around | None = None

    def add(self, batch: list[Entry]) -> list[Entry]:
        """Return what can be sent once these have come."""
        ready: list[Entry] = []
        for entry in batch:
            if not isinstance(entry, Request) or not SHAPES[entry.kind].takes_list:
                ready.append(entry)
                continue
            form, text = self._parted(entry)
            if form is None:
                ready.append(entry)  # it is a list of texts itself
                continue
            group = self._open.get(form)
            if group is not None and group.size_bytes + len(entry.body) > MOST_BYTES:
                ready.append(self._open.pop(form).closed())
                group = None
            if group is None:
                if len(self._open) == _MOST_FORMS:
                    ready += self.rest()
                group = self._open[form] = _Group(orjson.loads(form[1]))
            group.add(entry, text)
            if len(group.members) == self._most:
                ready.append(self._open.pop(form).closed())
        return ready

    def _parted(self, request: Request) -> tuple[_Form | None, Any]:
        """Return the form of a request, and what it asks; no form where that is a list of texts itself."""
        if self._last is not None and (found := self._last.text_in(request.body)) is not None:
            return self._last.form, found
        key = _key(request)
        asked = orjson.loads(request.body)
        text = asked[key]
        if isinstance(text, list) and not isinstance(text[0], int):
            return None, text
        form = (type(text), orjson.dumps(asked | {key: None}))
        head, _, tail = request.body.partition(orjson.dumps(text))
        if isinstance(text, str) and _ends_in(head, key):
            self._last = _Around(head, tail, form)
        return form, text

    def rest(self) -> list[Entry]:
        """Return all that waits."""
        rest: list[Entry] = [group.closed() for group in self._open.values()]
        self._open.clear()
        return rest


class _Group:
    """A bundle that is being filled."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.members: list[Request] = []
        self.size_bytes = 0
        self._asked, self._texts = asked, list[Any]()

    def add(self, request: Request, text: Any) -> None:
        """Add a request, and what it asks."""
        self.members.append(request)
        self._texts.append(text)
        self.size_bytes += len(request.body)

    def closed(self) -> Request:
        """Return the bundle; of one request, the request itself."""
        if len(self.members) == 1:
            return self.members[0]
        return _bundle(self.members, self._asked, self._texts)
