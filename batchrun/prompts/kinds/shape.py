"""How the requests of one kind are made. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchrun.prompts.values import RowProblem, from_json, kind_of, plain
from batchrun.records import Row

Parameters = dict[str, Any]

CANARY = "Say OK."
"""What a canary asks."""


class Asked(NamedTuple):
    """One key of the body that holds what is asked."""

    key: str
    check: Callable[[str, Any], Any]
    """Returns a value as it is sent, by the name of its column; raises `RowProblem`."""
    columns: tuple[str, ...] = ()
    """Columns that may hold it where there is none of this name; the first that is there counts."""

    def column(self, columns: Mapping[str, Any]) -> str | None:
        """Return the column that holds it; None where none does."""
        for name in (self.key, *self.columns):
            if columns.get(name) is not None:
                return name
        return None


class Shape(NamedTuple):
    """What is particular to one kind."""

    asked: tuple[Asked, ...]
    """In the order of the body; a template makes the first one."""
    settings: frozenset[str]
    """Settings of `[model]` that become parameters."""
    canary: Mapping[str, Any]
    """The body of the smallest request, without its model."""
    has_messages: bool = False
    """Whether rows bring messages, or templates make them."""
    has_text: bool = True
    """Whether an answer is a text."""
    takes_n: bool = False
    """Whether a request can ask for several answers, as `n`."""
    takes_list: bool = False
    """Whether a request can carry what several rows ask, as a list."""
    stream: bytes = b""
    """What is appended to a body for a streamed answer; empty where answers cannot be streamed."""
    converted: Callable[[Parameters], Parameters] | None = None
    """Returns the body of a prompt with what is asked under the keys of this kind, if it comes as messages."""
    translated: Callable[[Parameters], Parameters] | None = None
    """Returns parameters under the names that this kind has for them."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that hold what is asked."""
        return tuple(each.key for each in self.asked)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row that may hold it."""
        return tuple(name for each in self.asked for name in (each.key, *each.columns))

    def is_in(self, columns: Mapping[str, Any]) -> bool:
        """Return whether a row has a column for all that is asked."""
        return all(each.column(columns) is not None for each in self.asked)

    def body(self, columns: Mapping[str, Any], row: Row, rendered: str | None = None) -> dict[str, Any]:
        """Return what a row asks; raises `RowProblem`.

        Args:
            columns: of the row, or the body of a batch line.
            row: says whether nulls in objects may stand for absent keys.
            rendered: the text that the job's template has made, for the first of what is asked.
        """
        made: dict[str, Any] = {}
        for each in self.asked:
            if rendered is not None and not made:
                made[each.key] = each.check(each.key, rendered)
                continue
            column = each.column(columns)
            if column is None:
                raise RowProblem(f"has no {each.key}")
            made[each.key] = plain(each.check(column, columns[column]), has_filled_nulls=row.has_filled_nulls)
        return made


def text(column: str, value: Any) -> Any:
    """Accept a text, or a list of token ids."""
    if isinstance(value, str) or _is_tokens(value):
        return value
    what = f"a list of {len(value)} texts" if _is_texts(value) else kind_of(value)
    raise RowProblem(f"{column} is {what}; must be a string")


def _kind_of(value: Any) -> str:
    return "an empty list" if value == [] else kind_of(value)


def texts(column: str, value: Any) -> Any:
    """Accept a text or a list of texts, and token ids in the place of a text."""
    if isinstance(value, str) or _is_tokens(value) or _is_texts(value):
        return value
    if isinstance(value, list) and value and all(map(_is_tokens, value)):
        return value
    raise RowProblem(f"{column} is {_kind_of(value)}; must be a string or a list of strings, not empty")


def documents(column: str, value: Any) -> Any:
    """Accept a list of texts or objects, which CSV holds as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = from_json(value, column)
    if isinstance(value, list) and value and all(isinstance(each, str | dict) for each in value):
        return value
    raise RowProblem(f"{column} is {_kind_of(value)}; must be a list of strings, not empty")


def one_or_more(column: str, value: Any) -> Any:
    """Accept a text, an object, or a list of these."""
    if isinstance(value, dict) or (isinstance(value, str) and not value.lstrip().startswith("[")):
        return value
    if isinstance(value, str):
        try:
            return documents(column, value)
        except RowProblem:
            return value  # a text in brackets
    return documents(column, value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)
