"""The parts of a request's body that a row states itself: those of a batch line, and its `params`. Pure."""

from collections.abc import Iterable
from typing import Any

from batchrun.prompts.kinds.table import SHAPES, kind_of_url
from batchrun.prompts.values import RowProblem, from_json, kind_of, plain
from batchrun.records import PATHS, RequestKind, Row


def is_batch_line(columns: dict[str, Any]) -> bool:
    """Return whether a row that has the columns of a batch line is one."""
    # A table may well have a column `body`, of mails say: only an object is a request, or what has all four keys.
    return isinstance(columns["body"], dict) or ("method" in columns and "url" in columns)


def batch_body(columns: dict[str, Any], row: Row) -> dict[str, Any]:
    """Return a copy of the body of a batch line; raises `RowProblem`."""
    method = columns.get("method")
    if method is not None and str(method).upper() != "POST":
        raise RowProblem(f"method is {method}; must be POST")
    return _object(columns["body"], "body", row)


def kind_of_line(columns: dict[str, Any]) -> RequestKind | None:
    """Return the kind that the `url` of a batch line names; None where it has none. Raises `RowProblem`."""
    url = columns.get("url")
    if url is None:
        return None
    kind = kind_of_url(str(url))
    if kind is None:
        *most, last = (f"…{PATHS[each]}" for each in SHAPES)
        raise RowProblem(f"url is {url}; only {', '.join(most)} and {last} can be run")
    return kind


def params_of(value: Any, row: Row, keys: Iterable[str]) -> dict[str, Any]:
    """Return what a row says in `params`, which must not set these keys; raises `RowProblem`."""
    if value == "":
        return {}  # an empty field of CSV
    params = _object(value, "params", row)
    for key in ("model", *keys):
        if key in params:
            raise RowProblem(f"params has {key}, which params cannot set")
    return overrides(params)


def _object(value: Any, name: str, row: Row) -> dict[str, Any]:
    """Return a copy of an object, which CSV and Parquet may hold as JSON text."""
    has_filled_nulls = row.has_filled_nulls and not isinstance(value, str)
    if isinstance(value, str):
        value = from_json(value, name)
    if not isinstance(value, dict):
        raise RowProblem(f"{name} is {kind_of(value)}; must be an object")
    copy: dict[str, Any] = plain(value, has_filled_nulls=has_filled_nulls)
    return copy


def overrides(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the body, without what is the run's to say: how often, and how it travels.

    Raises `RowProblem`.
    """
    if body.pop("n", 1) not in (1, None):
        raise RowProblem("asks for n answers; use num_samples, each gets an output row")
    body.pop("stream", None)
    body.pop("stream_options", None)
    return body
