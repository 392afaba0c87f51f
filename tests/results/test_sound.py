"""Of a damaged run, all rows that are whole can be read, and the others are named; its own files stay as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from harness.settled import HEAD, settle

from batchrun.errors import DamagedError
from batchrun.results.export import export
from batchrun.results.sound import sound_results

OUT = Path("out")
EVALUATE = '[evaluate]\ntarget = "right"\n'


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 60 rows, whose results were written, and then row 7 changed in its answer and row 8 in its counts."""
    monkeypatch.chdir(tmp_path)
    settle([{"prompt": str(row), "right": "yes"} for row in range(60)], lambda asked: "yes", EVALUATE)
    export(OUT)
    with closing(sqlite3.connect(OUT / "checkpoint.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE outcomes SET body = CAST(replace(body, 'yes', 'yet') AS BLOB) WHERE id >> 24 = 7")
        connection.execute("UPDATE outcomes SET attempts = 'many' WHERE id >> 24 = 8")


def test_the_rows_that_are_whole_are_there_and_the_others_named() -> None:
    before = {path.name: path.read_bytes() for path in OUT.iterdir()}
    with sound_results(OUT) as results:
        rows = pq.read_table(results.path).to_pylist()
        assert results.path != OUT / "results.parquet"
    assert [row["row"] for row in rows] == [row for row in range(60) if row not in (7, 8)]
    assert {(row["response"], row["score"], row["right"]) for row in rows} == {("yes", 1.0, "yes")}
    assert not results.are_all
    (notice,) = results.notices
    assert notice == (
        "the answers of rows 7, 8 changed on the disk: the checksum is wrong; left out here. "
        "Recover the others: batchrun export out --salvage"
    )
    assert {path.name: path.read_bytes() for path in OUT.iterdir()} == before


def test_where_no_file_can_be_written_the_damage_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DamagedError, match="row 8"), sound_results(OUT):
        pass


def test_results_that_are_up_to_date_are_read_as_they_are() -> None:
    (OUT / "results.parquet").touch()
    with sound_results(OUT) as results:
        assert results == (OUT / "results.parquet", [], True)


def test_of_a_sound_run_the_results_are_written(tmp_path: Path) -> None:
    settle([{"prompt": "a", "right": "yes"}], lambda asked: "yes", EVALUATE, head=HEAD.replace('"out"', '"other"'))
    with sound_results(Path("other")) as results:
        assert results == (Path("other/results.parquet"), [], True)
        assert pq.read_table(results.path).num_rows == 1
