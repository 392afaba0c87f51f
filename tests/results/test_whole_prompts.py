"""Rows cut between prompts."""

from itertools import pairwise

import pyarrow as pa

from batchrun.results.whole_prompts import whole_prompts


def test_tables_of_whole_prompts_have_all_rows_in_order() -> None:
    """No prompt is in two tables."""
    rows = [0, 0, 1, 2, 2, 2, 2, 3, 3]
    for size in range(1, 10):
        batches = [pa.record_batch({"row": rows[at : at + size]}) for at in range(0, len(rows), size)]
        tables = [table["row"].to_pylist() for table in whole_prompts(batches)]
        assert [row for table in tables for row in table] == rows
        assert all(a[-1] != b[0] for a, b in pairwise(tables))
