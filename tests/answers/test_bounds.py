"""The limits of the columns, as rules for the validator."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.bounds import FORMATS, INT64_MAX, INT64_MIN, date_of, instant_of, with_bounds


def test_every_integer_is_held_to_64_bits() -> None:
    """Also inside arrays, branches and definitions; a narrower bound stays."""
    bounds = {"minimum": INT64_MIN, "maximum": INT64_MAX}
    assert with_bounds({"type": "integer"}) == {"type": "integer", **bounds}
    assert with_bounds({"type": ["integer", "null"]}) == {"type": ["integer", "null"], **bounds}
    assert with_bounds({"type": "integer", "minimum": 1, "maximum": 10**30}) == {
        "type": "integer",
        "minimum": 1,
        "maximum": INT64_MAX,
    }
    nested = {"anyOf": [{"items": {"type": "integer"}}], "$defs": {"const": {"type": "integer"}}}
    assert with_bounds(nested) == {
        "anyOf": [{"items": {"type": "integer", **bounds}}],
        "$defs": {"const": {"type": "integer", **bounds}},
    }


def test_schemas_of_other_types_stay_unchanged() -> None:
    """For example numbers, values that look like schemas, and properties that have the name of a keyword."""
    for schema in (
        {"type": "number"},
        {"type": ["integer", "number"]},
        {"enum": [{"type": "integer"}], "default": {"type": "integer"}},
        {"properties": {"type": {"type": "string"}, "enum": {"type": "null"}}},
        True,
    ):
        assert with_bounds(schema) == schema


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("0001-01-01", date(1, 1, 1)),
        ("2023-02-29", None),
        ("0000-01-01", None),
        ("20240229", None),
        ("2024-W09-4", None),
        ("2024-2-9", None),
        ("2024-02-29T00:00:00Z", None),
        ("tomorrow", None),
    ],
)
def test_only_a_date_in_the_format_of_json_schema_is_read(text: str, value: date | None) -> None:
    """A year that Python cannot represent is refused too."""
    assert date_of(text) == value
    assert FORMATS["date"](text) == (value is not None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29t23:59:59z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29T23:59:59.123456789+02:00", datetime(2024, 2, 29, 21, 59, 59, 123456, tzinfo=UTC)),
        ("2024-02-29T23:59:59", None),
        ("2024-02-29 23:59:59Z", None),
        ("2024-02-30T23:59:59Z", None),
        ("2024-02-29T23:59:60Z", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2024-02-29T23:59:59+0200", None),
    ],
)
def test_only_an_instant_in_the_format_of_json_schema_is_read(text: str, value: datetime | None) -> None:
    """The time zone is required; digits beyond the microsecond are dropped."""
    assert instant_of(text) == value
    assert FORMATS["date-time"](text) == (value is not None)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_instant_that_python_writes_is_read_back(instant: datetime) -> None:
    assert instant_of(instant.isoformat()) == instant
