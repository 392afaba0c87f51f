"""Which rows are used: what widens a choice, and how rows are chosen while they are read."""

from typing import Any

import pytest

from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.prompts.sample import within
from batchrun.prompts.selection import SelectedRows, Selection, choice_of, includes

WHERE = {"where": "a > 1"}
SAMPLE = {"sample": 10, "sample_seed": 0}


@pytest.mark.parametrize(
    ("choice", "earlier", "is_wider"),
    [
        ({}, WHERE, True),
        ({}, SAMPLE, True),
        ({}, {**WHERE, **SAMPLE, "include_failed": False}, True),
        (WHERE, {**WHERE, **SAMPLE}, True),
        (WHERE, {}, False),
        (WHERE, {"where": "a > 2"}, False),
        (WHERE, SAMPLE, False),
        ({**SAMPLE, "sample": 11}, SAMPLE, True),
        ({**SAMPLE, "sample": 9}, SAMPLE, False),
        ({**SAMPLE, "sample_seed": 1}, SAMPLE, False),
        (SAMPLE, {}, False),
        (SAMPLE, {**WHERE, **SAMPLE}, False),
        ({**WHERE, "sample": 11, "sample_seed": 0}, {**WHERE, **SAMPLE}, True),
        ({"include_failed": False}, {"include_failed": False}, True),
        ({"include_failed": False}, {}, False),
    ],
)
def test_a_choice_that_has_all_rows_of_an_earlier_one_is_known(
    choice: dict[str, Any], earlier: dict[str, Any], is_wider: bool
) -> None:
    """Only then the settled rows stay as they are without a look at the input."""
    assert includes(choice, earlier) is is_wider


def test_the_settings_that_leave_rows_out_are_named(make_job, write) -> None:
    path = write("a.jsonl", [{"prompt": "a"}])
    assert choice_of(make_job(path), find_files([path])) == {}
    job = make_job(path, where="prompt == 'a'", sample=3, sample_seed=4)
    assert choice_of(job, find_files([path])) == {"where": "prompt == 'a'", "sample": 3, "sample_seed": 4}


@pytest.mark.parametrize(("limit", "rows"), [(None, [2, 5, 8]), (2, [2, 5]), (3, [2, 5, 8]), (9, [2, 5, 8])])
def test_rows_are_chosen_counted_and_limited_as_they_are_read(write, limit: int | None, rows: list[int]) -> None:
    files = find_files([write("a.jsonl", [{"n": row} for row in range(10)])])
    reader = RowReader(files, batch_rows=2)
    selected = SelectedRows(reader, Selection(numbers=within([2, 5, 8])), limit=limit)
    parts = [[row.number for row in some] for some in selected]
    assert [row for part in parts for row in part] == rows
    assert [] in parts  # the caller can give up
    assert (selected.rows_used, selected.end, selected.is_complete) == (len(rows), rows[-1] + 1, True)
    assert selected.fraction_read == 1.0
