"""What is in an input: rows, broken ones by cause, repeated ids, long prompts, sums of tokens; in bounded memory."""

import heapq
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from batchrun.engine.preflight.estimate import Asked
from batchrun.engine.preflight.tokens import Counted, count_request
from batchrun.job.catalogue import context_tokens
from batchrun.prompts.kinds.asked import asked_in
from batchrun.records import BadRow, Request

SHOWN = 3
"""Prompts shown, and longest ones named."""

_CAUSES = 100
"""Most causes of broken rows that are counted separately."""

_PLACE = re.compile(r"^.*?:(?: row )?\d+: ", re.DOTALL)
"""File and line, with which the message of a broken row begins."""

_NUMBER = re.compile(r"\d+")

_SAMPLES = 256
"""Most bodies kept for a tokenizer, spread over the input."""

_SAMPLE_BYTES = 100_000
"""Longest of them."""


class Cause(NamedTuple):
    """Why rows are broken."""

    cause: str
    rows: int
    example: str
    """The whole message of the first, with file and line."""


class Repeated(NamedTuple):
    """Ids that more than one row has."""

    ids: int
    rows: int
    """Rows that have one of them."""
    example: tuple[int, int]
    """Two rows that have the same."""


class Long(NamedTuple):
    """A long prompt."""

    tokens: int
    """Estimated."""
    row: int
    id: str | None


class Ids:
    """Finds ids that occur twice, in 16 bytes an id: their hashes, and the rows, sorted out by their last bits.

    Two of ten million different ids have the same 64 bits with a chance of 1 in 300,000.
    """

    _SHARDS = 256

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(self._SHARDS)]
        self._rows = [array("q") for _ in range(self._SHARDS)]

    def add(self, label: str | bytes, row: int) -> None:
        """Note the id of a row."""
        hashed = hash(label)
        shard = hashed & (self._SHARDS - 1)
        self._hashes[shard].append(hashed)
        self._rows[shard].append(row)

    def repeated(self) -> Repeated | None:
        """Return what occurs more than once; None when nothing does."""
        ids = rows = 0
        example: tuple[int, int] | None = None
        for hashes, numbers in zip(self._hashes, self._rows, strict=True):
            if len(set(hashes)) == len(hashes):
                continue
            counts = Counter(hashes)
            twice = {hashed: count for hashed, count in counts.items() if count > 1}
            ids += len(twice)
            rows += sum(twice.values())
            found = _first_pair(hashes, numbers, twice)
            example = found if example is None else min(example, found)
        return None if example is None else Repeated(ids, rows, example)


def _first_pair(hashes: Iterable[int], rows: Iterable[int], twice: Collection[int]) -> tuple[int, int]:
    """Return the first row whose hash occurs again, and the row where it does; rows are in order."""
    first: tuple[int, int] | None = None
    for hashed, row in zip(hashes, rows, strict=True):
        if first is None:
            first = (hashed, row) if hashed in twice else None
        elif hashed == first[0]:
            return first[1], row
    raise AssertionError("a hash that was counted twice occurs twice")


@dataclass(slots=True)
class ModelSurvey:
    """Sums over the requests to one model."""

    context_tokens: int | None
    requests: int = 0
    settled: int = 0
    """Requests that have their outcome already."""
    tokens: float = 0.0
    images: int = 0
    bounded: int = 0
    bound_tokens: int = 0
    too_long: int = 0
    """Requests whose prompt and longest answer are together more than the model's window, as estimated."""
    first: Request | None = None
    """The first request, for a probe."""
    keys: Ids | None = None
    """What the requests ask; only where those that ask the same are sent once."""

    @property
    def distinct(self) -> int:
        """How many of the requests are sent: all, or one of those that ask the same."""
        repeated = None if self.keys is None else self.keys.repeated()
        return self.requests if repeated is None else self.requests - (repeated.rows - repeated.ids)

    def add(self, request: Request, counted: Counted) -> None:
        """Add a request."""
        self.first = self.first or request
        if self.keys is not None:
            self.keys.add(b"%b%d" % (request.key, request.sample), request.row)  # samples are bought one by one
        self.requests += 1
        self.tokens += counted.tokens
        self.images += counted.images
        if counted.bound is not None:
            self.bounded += 1
            self.bound_tokens += counted.bound
        if self.context_tokens and counted.tokens + (counted.bound or 0) > self.context_tokens:
            self.too_long += 1

    def asked(self, requests: float) -> Asked:
        """Return what so many requests like these ask."""
        share = requests / self.requests if self.requests else 0.0
        sums = (self.tokens, self.images, self.bounded, self.bound_tokens)
        return Asked(requests, *(each * share for each in sums))


@dataclass(slots=True)
class Survey:
    """What was found in the rows looked at."""

    learned_keys: Collection[bytes] = ()
    """Requests whose estimated tokens are kept by key, since their true ones are known."""
    key_tokens: dict[bytes, float] = field(default_factory=dict)
    rows: int = 0
    bad_rows: int = 0
    models: dict[str, ModelSurvey] = field(default_factory=dict)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    """Row and id of the first that can be sent, and what they ask, such as `messages`."""
    longest: list[Long] = field(default_factory=list)
    """A heap, the shortest of them first."""
    row_tokens: "array[float]" = field(default_factory=lambda: array("f"))
    """Estimated tokens of each row's prompt, of rows looked at from the first on; 0 of broken ones."""
    samples: list[bytes] = field(default_factory=list)
    """Bodies from all over the input, for a tokenizer."""
    ids: Ids = field(default_factory=Ids)
    shares_answers: bool = False
    """Whether requests that ask the same are sent once."""
    is_from_first: bool = True
    """Whether every row is looked at, from the first on."""
    _causes: dict[str, tuple[int, str]] = field(default_factory=dict)
    _row: int = -1
    _counted: Counted = Counted(0.0, 0, None)
    _stride: int = 1

    def add(self, batch: Iterable[Request | BadRow]) -> None:
        """Look at requests and broken rows, in input order."""
        for entry in batch:
            is_first = entry.row != self._row
            self._row = entry.row
            if is_first:
                self.rows += 1
                if self.is_from_first:  # rows that are not used come in between
                    self.row_tokens.extend([0.0] * (entry.row + 1 - len(self.row_tokens)))
                if entry.custom_id is not None:
                    self.ids.add(entry.custom_id, entry.row)
            if isinstance(entry, BadRow):
                if is_first:
                    self._add_bad(entry)
                continue
            if is_first:  # what is asked of other models, and for other samples, is as long
                self._counted = self._look(entry)
                if self.is_from_first:
                    self.row_tokens[-1] = self._counted.tokens
            if entry.key in self.learned_keys:  # the row may have moved
                self.key_tokens[entry.key] = self._counted.tokens
            self._model(entry.model).add(entry, self._counted)

    def causes(self) -> list[Cause]:
        """Return why rows are broken, most common first."""
        found = [Cause(cause, rows, example) for cause, (rows, example) in self._causes.items()]
        return sorted(found, key=lambda each: -each.rows)

    def note_settled(self, model: str, count: int) -> None:
        """Note how many of the requests to a model need not be sent."""
        self._model(model).settled += count

    def only(self, rows_by_model: Mapping[str, Sequence[int]]) -> dict[str, Asked]:
        """Return what some of the requests ask, by model; the rows are listed once for each request."""
        parts = {model: (len(rows), sum(map(self._tokens_of, rows))) for model, rows in rows_by_model.items() if rows}
        return {
            model: self.models[model].asked(count)._replace(tokens=tokens)
            for model, (count, tokens) in parts.items()
            if model in self.models
        }

    def without(self, settled: Iterable[tuple[str, int]]) -> dict[str, Asked]:
        """Return what all requests ask but these, given as model and row; by model."""
        left = {model: [part.requests, part.tokens] for model, part in self.models.items()}
        for model, row in settled:
            if model in left and row < len(self.row_tokens):
                left[model][0] -= 1
                left[model][1] -= self.row_tokens[row]
        return {
            model: self.models[model].asked(count)._replace(tokens=max(0.0, tokens))
            for model, (count, tokens) in left.items()
            if count > 0
        }

    def less(self, left: Mapping[str, Asked], rows_by_model: Mapping[str, Sequence[int]]) -> dict[str, Asked]:
        """Return what is left without some of the requests; their rows are listed once for each request."""
        counts = {model: each.requests - len(rows_by_model.get(model, ())) for model, each in left.items()}
        return {
            model: self.models[model]
            .asked(count)
            ._replace(tokens=max(0.0, left[model].tokens - sum(map(self._tokens_of, rows_by_model.get(model, ())))))
            for model, count in counts.items()
            if count > 0
        }

    def _tokens_of(self, row: int) -> float:
        return self.row_tokens[row]

    def _model(self, name: str) -> ModelSurvey:
        found = self.models.get(name)
        if found is None:
            found = self.models[name] = ModelSurvey(context_tokens(name), keys=Ids() if self.shares_answers else None)
        return found

    def _add_bad(self, bad: BadRow) -> None:
        self.bad_rows += 1
        cause = _NUMBER.sub("…", _PLACE.sub("", bad.message, count=1))
        if cause not in self._causes and len(self._causes) >= _CAUSES:
            cause = "other causes"
        rows, example = self._causes.get(cause, (0, bad.message))
        self._causes[cause] = (rows + 1, example)

    def _look(self, request: Request) -> Counted:
        body = orjson.loads(request.body)
        counted = count_request(body, kind=request.kind)
        if len(self.prompts) < SHOWN:
            self.prompts.append({"row": request.row, "id": request.custom_id, **asked_in(body)})
        long = Long(round(counted.tokens), request.row, request.custom_id)
        if len(self.longest) < SHOWN:
            heapq.heappush(self.longest, long)
        elif long.tokens > self.longest[0].tokens:
            heapq.heapreplace(self.longest, long)
        if request.row % self._stride == 0 and len(request.body) <= _SAMPLE_BYTES:
            self._keep(request.body)
        return counted

    def _keep(self, body: bytes) -> None:
        self.samples.append(body)
        if len(self.samples) >= _SAMPLES:
            del self.samples[1::2]
            self._stride *= 2
