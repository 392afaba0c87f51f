"""How outcomes are numbered and become rows."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from harness.checkpoints import answer, requests
from hypothesis import given
from hypothesis import strategies as st

from batchrun.checkpoint.file import connect
from batchrun.checkpoint.tables import MODELS, OUTCOME_COLUMNS, columns_of, insert_many, pack, unpack

places = st.tuples(st.integers(0, 2**39 - 1), st.integers(0, MODELS - 1), st.integers(0, 2**16 - 1))


@given(places)
def test_a_place_survives_being_packed(place: tuple[int, int, int]) -> None:
    """And fits into SQLite's integer."""
    assert unpack(pack(*place)) == place
    assert 0 <= pack(*place) < 2**63


@given(places, places)
def test_packed_places_sort_as_the_results_do(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """By row, then model, then sample."""
    assert (pack(*one) < pack(*other)) == (one < other)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 73, 200])
def test_rows_are_inserted_whatever_their_number(tmp_path: Path, count: int) -> None:
    """One statement takes 64, 8 or 1 of them."""
    connection = connect(tmp_path / "new")
    rows = [(number, f"m{number}") for number in range(count)]
    insert_many(connection, "models", rows)
    assert connection.execute("SELECT * FROM models ORDER BY id").fetchall() == rows
    connection.close()


CELLS = st.one_of(st.none(), st.binary(max_size=3), st.integers(-9, 9), st.floats(-1, 1), st.text("ab", max_size=2))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=80))
def test_values_are_inserted_as_they_are(rows: list[tuple[Any, ...]]) -> None:
    """Nulls stand in the statement where a whole column is null, and bytes are bound in another form."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE any (one, two, three)")
    insert_many(connection, "any", rows)
    stored = connection.execute("SELECT * FROM any ORDER BY rowid").fetchall()
    connection.close()
    assert stored == rows
    assert [[*map(type, row)] for row in stored] == [[*map(type, row)] for row in rows]


def test_an_outcome_becomes_a_row_of_the_table() -> None:
    """A message of the endpoint may hold what UTF-8 cannot."""
    (request,) = requests("a", first=5)
    row = dict(zip(OUTCOME_COLUMNS[:-1], columns_of(pack(5, 3, 0), answer(request, error="\ud800!")), strict=True))
    assert (row["id"], row["key"], row["error"], row["prompt_tokens"]) == (pack(5, 3, 0), request.key, "?!", 3)
