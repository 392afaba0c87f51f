"""Bounds of columns as rules for the validator, so that a valid answer always fits its columns. Pure.

JSON Schema has integers without bounds and years from 0; Arrow, pandas and Python have neither. An answer beyond their
bounds is requested again like any other invalid answer; otherwise it would be valid and lose a value later.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose keys are names, not keywords."""

_LITERAL = frozenset({"const", "enum", "default", "examples"})
"""Keywords that hold values, not schemas."""

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339, section 5.6, in capitals."""


def with_bounds(schema: Any) -> Any:
    """Return the schema with every integer in it limited to 64 bits."""
    if isinstance(schema, list):
        return [with_bounds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    bounded = {keyword: _bounded_part(keyword, part) for keyword, part in schema.items()}
    kinds = schema.get("type")
    if kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds and "number" not in kinds):
        bounded["minimum"] = max(schema.get("minimum", INT64_MIN), INT64_MIN)
        bounded["maximum"] = min(schema.get("maximum", INT64_MAX), INT64_MAX)
    return bounded


def _bounded_part(keyword: str, part: Any) -> Any:
    if keyword in _LITERAL:
        return part
    if keyword in _BY_NAME and isinstance(part, dict):
        return {name: with_bounds(each) for name, each in part.items()}
    return with_bounds(part)


def date_of(text: str) -> date | None:
    """Return the date of a text of format `date`, years 1 to 9999; None when it is not one."""
    # `fromisoformat` reads 20240229 and 2024-W09-4 too, which the format does not allow.
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def instant_of(text: str) -> datetime | None:
    """Return the instant, in UTC, of a text of format `date-time`; digits beyond the microsecond are dropped."""
    capitals = text.upper()
    if not _DATE_TIME.fullmatch(capitals):
        return None
    try:
        return datetime.fromisoformat(capitals).astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February; a leap second; a zone that shifts it beyond the year 9999
        return None


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": lambda text: date_of(text) is not None,
    "date-time": lambda text: instant_of(text) is not None,
}
"""Checks of the formats that have their own column types; they replace the validator's."""

EXAMPLES = {"date": "2024-02-29", "date-time": "2024-02-29T23:59:59Z", "time": "23:59:59Z"}
"""Shown to a model that got the format wrong."""
