"""What a checkpoint notes about its run besides rows and totals: name, type and meaning of each fact. Pure.

A fact is stored as JSON under its name. Names and types are part of the file: a change of one needs a migration.
"""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, NotRequired, Protocol, TypedDict, TypeVar, cast

import orjson

T = TypeVar("T")


class Fact(NamedTuple, Generic[T]):
    """One fact: how it is called in the file, and what its value is."""

    name: str
    kind: type[Any]
    """Type of its JSON value; `float` includes whole numbers. Null stands for "not known"."""
    meaning: str

    def encoded(self, value: T | None) -> str:
        """Return the text that is stored."""
        return orjson.dumps(value).decode()

    def decoded(self, text: str) -> T | None:
        """Return the value of a stored text.

        Raises:
            ValueError: the text is not JSON, or its value has another type.
        """
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as problem:
            raise ValueError(f"the fact {self.name} is not JSON") from problem
        kinds = (int, float) if self.kind is float else (self.kind,)
        if value is None or self.kind is object or type(value) in kinds:
            return cast("T | None", value)
        raise ValueError(f"the fact {self.name} ({self.meaning}) is not of type {self.kind.__name__}")


class Origin(TypedDict):
    """What the requests of a run are made from. Where it is the same, so are they."""

    job: str
    """Digest of the parts of the job that are in the requests."""
    input: str
    """Fingerprint of the input files; empty for standard input."""
    limit: int | None
    """Most input rows."""
    rows: NotRequired[dict[str, Any]]
    """Which rows of the input are used; absent where all are."""


JOB = Fact[dict[str, Any]]("job", dict, "the job as it was run last")
VERSION = Fact[str]("version", str, "version of batchrun that noted the job")
ORIGIN = Fact[Origin]("asked", dict, "what the requests are made from")
IDENTITY = Fact[str]("identity", str, "name of this run in systems that it is published to")
SIMULATED = Fact[bool]("simulated", bool, "whether the answers come from the simulator")
ENDPOINTS = Fact[list[str]]("endpoints", list, "base URLs that have answered, the latest last")
UNNAMED = Fact[list[str]]("unnamed", list, "base URLs of the executions that had one endpoint, without a name")
NAMED = Fact[dict[str, list[Any]]](
    "named",
    dict,
    "by name of an endpoint, each base URL and table of models that it has had, in any execution",
)
MEANT = Fact[dict[str, list[list[Any] | None]]](
    "meant",
    dict,
    "by name of an endpoint, each base URL and other names of models that it has stood for, in order; null: several",
)
HEARD = Fact[list[str]](
    "heard", list, "endpoints that have replied to a request, with whatever status; an older version noted base URLs"
)
ANSWERED = Fact[dict[str, list[str]]](
    "answered", dict, "by endpoint, the models that have answered a row there; an older version noted base URLs"
)
FOLDER = Fact[str]("folder", str, "folder that the paths of the input start from")
MISMATCH = Fact[int]("mismatch", int, "a row whose content was not the one that its outcome answers")
BEGUN = Fact[list[Any]]("begun", list, "caps and input that the user has agreed to")
TOTAL = Fact[int]("total", int, "rows that the results will have, as far as the input was read")
IS_TOTAL_EXACT = Fact[bool]("is_total_exact", bool, "whether that number of rows is certain; else it is a guess")
LIMIT = Fact[int]("limit", int, "requests in flight that the endpoint was seen to hold")
LIMITS = Fact[dict[str, int]]("limits", dict, "the same for each endpoint by its name, where there are several")
PRICES = Fact[Mapping[str, Mapping[str, Mapping[str, Any]]]](
    "prices", dict, "by endpoint and model, the price of what was answered before the job was noted as it is now"
)
SPENT_USD = Fact[float]("spent_usd", float, "money spent and set aside, as an older version or a salvage noted it")
SPENT_TOKENS = Fact[float](
    "spent_tokens", float, "tokens used and set aside, as an older version or a salvage noted them"
)
SET_ASIDE_USD = Fact[float]("set_aside_usd", float, "the most that requests without a recorded answer have cost")
SET_ASIDE_TOKENS = Fact[float](
    "set_aside_tokens", float, "the most tokens that requests without a recorded answer used"
)
UNRECORDED = Fact[int]("unrecorded", int, "rows that were in flight when an execution died, over all executions")
WAITING = Fact[int]("waiting", int, "requests that wait to be sent again, noted once a second while a run sends")
PROBE_AT = Fact[int]("probe_at", int, "when a paused endpoint is asked next, as a Unix time in ms; null: not paused")
RATE = Fact[float]("rate", float, "rows settled per second in recent minutes; null: not known, or paused")
STOPPING = Fact[str]("stopping", str, "why a run sends nothing more and waits for what is in flight; null: it sends")
DRAINED_BY = Fact[int]("drained_by", int, "until when it waits at most, as a Unix time in ms; null: it sends")
BATCHES_AT = Fact[str]("batches_at", str, "endpoint that has the batches of the run")
SALVAGED_BATCHES = Fact[bool](
    "salvaged_batches", bool, "whether batches were salvaged and not completed with their files yet"
)
BATCHES_KEY = Fact[list[Any]](
    "batches_key", list, "which key has created the batches: a random salt, and 16 bits of the key's hash with it"
)
REST_AT = Fact[list[Any]](
    "rest_at", list, "when ordinary requests take the place of batches: the setting, and the Unix time in s"
)
UNWANTED = Fact[int]("unwanted", int, "rows that stay open, because nothing more is sent to their model")
REUSED = Fact[list[Any]]("reused", list, "what was looked for in other runs: the requests, and the state of these runs")
ENDPOINTS_NOW = Fact[list[Any]](
    "endpoints_now", list, "what is known of each endpoint of several while a run sends; null: it does not"
)
WORKERS_NOW = Fact[list[Any]](
    "workers_now", list, "each worker of the last execution that had a cluster, at last when it ends; null: none had"
)
WORKERS_LOST = Fact[int]("workers_lost", int, "workers of a cluster that have died, over all executions")
PUT_BACK = Fact[int]("put_back", int, "rows that these had, and that were sent again, over all executions")
COPIES = Fact[int]("twins", int, "outcomes that were copied from a row that asks the same")
STATED_AS_0 = Fact[dict[str, list[str]]](
    "stated_as_0", dict, "by model, the token counts whose total is 0 because answers stated 0"
)
SETTLED_ROWS = Fact[int]("settled_rows", int, "rows from the first on that are all settled")
RESULTS = Fact[dict[str, Any]](
    "results", dict, "what the results were made of that were written last, their files, and what was found in them"
)
UNCHECKED = Fact[int]("unchecked", int, "row from which on those of older versions have no checksum; absent: all have")
SALVAGED = Fact[bool]("salvaged", bool, "whether no run has compared the rows with their input since a salvage")

ALL: tuple[Fact[Any], ...] = (
    JOB,
    VERSION,
    ORIGIN,
    IDENTITY,
    SIMULATED,
    ENDPOINTS,
    UNNAMED,
    NAMED,
    MEANT,
    HEARD,
    ANSWERED,
    FOLDER,
    MISMATCH,
    BEGUN,
    TOTAL,
    IS_TOTAL_EXACT,
    LIMIT,
    LIMITS,
    PRICES,
    SPENT_USD,
    SPENT_TOKENS,
    SET_ASIDE_USD,
    SET_ASIDE_TOKENS,
    UNRECORDED,
    WAITING,
    PROBE_AT,
    RATE,
    STOPPING,
    DRAINED_BY,
    BATCHES_AT,
    SALVAGED_BATCHES,
    BATCHES_KEY,
    REST_AT,
    UNWANTED,
    REUSED,
    ENDPOINTS_NOW,
    WORKERS_NOW,
    WORKERS_LOST,
    PUT_BACK,
    COPIES,
    STATED_AS_0,
    SETTLED_ROWS,
    RESULTS,
    UNCHECKED,
    SALVAGED,
)

OF_PLACES: tuple[Fact[Any], ...] = (ORIGIN, MISMATCH, SETTLED_ROWS, RESULTS)
"""Those that are true only while every outcome is at its place."""

_BY_NAME = {fact.name: fact for fact in ALL}


def named(name: str) -> Fact[Any]:
    """Return the fact of this name; an unknown one, of a newer version, may have any value."""
    return _BY_NAME.get(name) or Fact(name, object, "not known to this version")


def is_sound(name: str, text: str) -> bool:
    """Return whether a stored text can be the value of the fact of this name."""
    try:
        named(name).decoded(text)
    except ValueError:
        return False
    return True


class Known(Protocol):
    """Where facts are read."""

    def fact(self, fact: Fact[T]) -> T | None: ...  # noqa: D102


class Facts(Known, Protocol):
    """Where facts are read and written."""

    def set_fact(self, fact: Fact[T], value: T | None) -> None: ...  # noqa: D102
