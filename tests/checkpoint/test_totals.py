"""Totals are what outcomes, extras and copies add up to."""

import sqlite3
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, requests, settle

from batchrun.checkpoint.reader import Checkpoint, read_totals
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.totals import Copied, Extra, added, sums_of, with_copies, write_totals
from batchrun.records import ModelTotals, Usage

(REQUEST,) = requests("a")


def test_outcomes_and_extras_are_added_to_what_was_there() -> None:
    before = {"m": ModelTotals(1, 1, 0, 1, 0, 3, 2, 5), "other": ModelTotals(1, 1)}
    after = added(
        before,
        [
            ("m", sums_of([answer(REQUEST, attempts=3, throttled=2), failure(REQUEST)])),
            ("m", sums_of([answer(REQUEST, usage=Usage())])),
        ],
        [Extra("m", usage=Usage(1, 1, 2)), Extra("m", attempts=4, throttled=1), Extra("n", usage=Usage())],
    )
    zeros = frozenset({"reasoning_tokens"})
    assert after["m"] == ModelTotals(4, 3, 1, 10, 3, 7, 5, 12, cached_tokens=1, unstated=1, stated_as_0=zeros)
    assert after["n"] == ModelTotals(unstated=1)
    assert after["other"] is before["other"]


def test_an_answer_that_states_its_tokens_in_part_is_in_no_sum() -> None:
    """Its cost is not known: a sum with half of it would be neither a cost nor a bound."""
    for usage in (Usage(3), Usage(None, 3), Usage(None, None, 3)):
        assert added({}, [], [Extra("m", usage=usage)])["m"] == ModelTotals(unstated=1)


def test_a_count_that_is_stated_as_0_is_remembered_until_it_is_more(tmp_path: Path) -> None:
    """Also by the next process: a total of 0 says that answers stated 0, or that none stated anything."""
    a, b, c = requests(*"abc")
    sums = []
    for request, usage in ((a, Usage(3, 2, 5, 0, None)), (b, Usage(3, 2, 5)), (c, Usage(3, 2, 5, 1, 0))):
        settle(tmp_path, [answer(request, usage=usage)])
        with Checkpoint(tmp_path) as checkpoint:
            sums.append(checkpoint.totals()["m"])
    assert [each.usage for each in sums] == [Usage(3, 2, 5, 0), Usage(6, 4, 10, 0), Usage(9, 6, 15, 1, 0)]
    assert sums[-1].stated_as_0 == {"reasoning_tokens"}


def test_tokens_of_a_failure_are_not_added() -> None:
    """A failed attempt that was paid for is an extra."""
    sums = sums_of([failure(REQUEST)._replace(usage=Usage(5, 5, 10))])
    assert added({}, [("m", sums)], [])["m"].total_tokens == 0


def test_copies_count_as_rows_and_cost_nothing() -> None:
    before = {"m": ModelTotals(1, 1, 0, 1, 0, 3, 2, 5)}
    after = with_copies(before, [Copied(0, True, 7), Copied(0, False, 2), Copied(1, False, 1)], {"m": 0, "n": 1})
    assert after == {"m": ModelTotals(10, 8, 2, 1, 0, 3, 2, 5), "n": ModelTotals(1, 0, 1)}


def test_written_totals_are_read_back(tmp_path: Path) -> None:
    sums = ModelTotals(3, 2, 1, 7, 3, 4, 3, 7, 1, 2, 1)
    with Store(tmp_path) as store:
        store.connection.execute("INSERT INTO models VALUES (0, 'm')")
        write_totals(store.connection, 0, ModelTotals())
        write_totals(store.connection, 0, sums)
        assert read_totals(store.connection) == {"m": sums}


def test_totals_that_are_not_numbers_are_damage(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.connection.execute("INSERT INTO models VALUES (0, 'm')")
        store.connection.execute("INSERT INTO totals (model, completed) VALUES (0, 'many')")
        with pytest.raises(sqlite3.DatabaseError, match="totals of m"):
            read_totals(store.connection)
