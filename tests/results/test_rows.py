"""Chosen rows come from the file or from the checkpoint, and are the same in both."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.settled import HEAD, failed, settle

from batchrun.errors import DamagedError, RunDirectoryError
from batchrun.results.export import export
from batchrun.results.rows import Choice, chosen_rows

OUT = Path("out")
EVALUATE = '[evaluate]\ntarget = "n"\nscorer = "contains"\n'


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models with three samples of five rows; every second row of the second model has failed."""
    monkeypatch.chdir(tmp_path)
    head = HEAD.replace('["m"]', '["m", "n"]\nnum_samples = 3')

    def answer(asked: Any) -> Any:
        return failed("bad_request", 400) if asked.model == "n" and asked.row % 2 else f"{asked.row} {asked.sample}"

    settle([{"prompt": str(number), "n": number} for number in range(5)], answer, EVALUATE, head=head)


CHOICES = [
    (Choice(), 30, 30),
    (Choice(is_failed=True), 6, 6),
    (Choice(row=3), 6, None),
    (Choice(row=3, is_failed=True), 3, None),
    (Choice(model="n"), 15, 15),
    (Choice(model="n", is_failed=True), 6, 6),
    (Choice(model="n", sample=1), 5, None),
    (Choice(model="unknown"), 0, 0),
    (Choice(row=9), 0, None),
    (Choice(is_failed=True, was_sent=True), 6, 6),
]


@pytest.mark.parametrize(("choice", "rows", "total"), CHOICES)
def test_the_file_and_the_checkpoint_give_the_same_rows(choice: Choice, rows: int, total: int | None) -> None:
    from_checkpoint = chosen_rows(OUT, choice, 100)
    assert (from_checkpoint.table.num_rows, from_checkpoint.total) == (rows, total)
    assert from_checkpoint.models == ["m", "n"]
    export(OUT)
    from_file = chosen_rows(OUT, choice, 100)
    assert from_file.table.to_pylist() == from_checkpoint.table.to_pylist()
    assert from_file.table.schema.equals(from_checkpoint.table.schema)
    assert from_file.total == total


@pytest.mark.parametrize("is_exported", [False, True])
def test_the_first_rows_are_given_in_their_order(is_exported: bool) -> None:
    if is_exported:
        export(OUT)
    table = chosen_rows(OUT, Choice(is_failed=True), 4).table
    places = [(row["row"], row["model"], row["sample"]) for row in table.to_pylist()]
    assert places == [(1, "n", 0), (1, "n", 1), (1, "n", 2), (3, "n", 0)]


def test_rows_of_a_checkpoint_have_their_input_and_their_scores() -> None:
    first = chosen_rows(OUT, Choice(row=2), 1).table.to_pylist()[0]
    assert (first["n"], first["prompt"], first["response"], first["score"]) == (2, "2", "2 0", 1.0)


def test_a_missing_input_is_a_notice() -> None:
    Path("in.jsonl").unlink()
    rows = chosen_rows(OUT, Choice(), 3)
    assert (rows.table.num_rows, "prompt" in rows.table.column_names) == (3, False)
    assert "without the input's columns and without scores" in rows.notices[0]


def test_a_damaged_file_is_named_with_its_cure() -> None:
    export(OUT)
    Path("out/results.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(RunDirectoryError, match=r"results\.parquet: cannot be read .*batchrun export out"):
        chosen_rows(OUT, Choice(), 3)


def test_a_directory_without_a_run_is_refused() -> None:
    with pytest.raises(RunDirectoryError, match="holds no run"):
        chosen_rows(Path("nowhere"), Choice(), 3)


def test_a_damaged_row_is_named_and_the_others_are_shown() -> None:
    """One of model m, of which the other samples are whole; all of a row that has nothing else."""
    with closing(sqlite3.connect(OUT / "checkpoint.sqlite", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE outcomes SET body = replace(body, '2 1', '2 3') WHERE id >> 24 = 2 AND id & 65535 = 1"
        )
        connection.execute("UPDATE outcomes SET body = 'x' WHERE id >> 24 = 4")
    rows = chosen_rows(OUT, Choice(), 100)
    assert rows.table.num_rows == 30 - 2 - 6
    assert "the answers of rows 2, 4 changed on the disk: the checksum is wrong; left out here" in rows.notices[-1]
    assert "batchrun export out --salvage" in rows.notices[-1]
    rows = chosen_rows(OUT, Choice(row=2), 100)
    assert rows.table.num_rows == 4
    assert "the answer of row 2 changed" in rows.notices[-1]
    assert chosen_rows(OUT, Choice(row=3), 100).notices == []
    with pytest.raises(DamagedError, match="the answer of row 4 changed on the disk"):
        chosen_rows(OUT, Choice(row=4), 100)
