"""An export replaces results only with complete and checked files."""

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from harness.settled import TWO_ENDPOINTS, body_of, settle

from batchrun.answers.schema import AnswerSchema
from batchrun.errors import DamagedError, RunDirectoryError
from batchrun.records import Usage
from batchrun.results import export as export_module
from batchrun.results.export import export
from batchrun.results.table import Results
from batchrun.results.view import View

OUT = Path("out")

EVALUATE = '[evaluate]\ntarget = "right"\n'

VIEWS = [View(), View(format="jsonl"), View(format="csv"), View(format="openai"), View(is_wide=True)]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)


def settled(rows: int = 60) -> None:
    """Write a scored run whose rows are all completed, except row 1."""
    failed = {"kind": "bad_request", "error": "no", "http_status": 400, "body": None}
    inputs = [{"prompt": str(row), "right": "yes"} for row in range(rows)]
    settle(inputs, lambda request: failed if request.row == 1 else "yes", EVALUATE)
    (OUT / "run.json").write_text('{"state": "completed", "scores": []}')


def change_checkpoint(statement: str) -> None:
    """Change the checkpoint, as damage or another program would."""
    with sqlite3.connect(OUT / "checkpoint.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def contents() -> dict[str, bytes]:
    """Return the files of the run directory except the checkpoint: name → content."""
    return {path.name: path.read_bytes() for path in OUT.iterdir() if not path.name.startswith("checkpoint.")}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: ",".join(view.names))
def test_if_rows_are_missing_in_the_checkpoint_all_old_files_stay(view: View) -> None:
    """Five of 60 rows are deleted: the export fails, and nothing is replaced or left over."""
    settled()
    export(OUT, view)
    before = contents()
    assert set(view.names) < set(before)
    change_checkpoint("DELETE FROM outcomes WHERE rowid IN (SELECT rowid FROM outcomes LIMIT 5)")
    with pytest.raises(DamagedError, match="55 settled rows where it should be 60"):
        export(OUT, view)
    assert contents() == before


def test_results_and_usage_name_the_endpoint_of_each_row() -> None:
    """Each at its own price; a broken row has none."""
    inputs: list[dict[str, Any]] = [{"prompt": str(row)} for row in range(6)]
    places = ["east", "west", "east", "east", "west"]
    settle(
        [*inputs[:5], {"prompt": None}],
        lambda request: {"endpoint": places[request.row], "body": body_of("yes"), "usage": Usage(1_000_000, 0)},
        head=TWO_ENDPOINTS,
    )
    export(OUT)
    rows = pq.read_table(OUT / "results.parquet").to_pylist()
    assert [row["endpoint"] for row in rows] == [*places, None]
    assert [row["cost_usd"] for row in rows] == [1.0, 2.0, 1.0, 1.0, 2.0, None]
    usage = pq.read_table(OUT / "usage.parquet").to_pylist()
    names = ("endpoint", "requests", "failed", "cost_usd")
    assert [tuple(row[name] for name in names) for row in usage] == [
        (None, 1, 1, 0.0),
        ("east", 3, 0, 3.0),
        ("west", 2, 0, 4.0),
    ]
    assert orjson.loads(pq.read_metadata(OUT / "results.parquet").metadata[b"batchrun.usage"]) == usage


def test_an_answer_that_does_not_fit_a_new_schema_is_counted_for_its_endpoint() -> None:
    settle(
        [{"prompt": "a"}, {"prompt": "b"}],
        lambda request: {"endpoint": "east" if request.row else "west", "body": body_of("{}" if request.row else "no")},
        head=TWO_ENDPOINTS,
    )
    export(OUT, View(schema=AnswerSchema({"type": "object", "properties": {"a": {"type": "string"}}})))
    usage = pq.read_table(OUT / "usage.parquet").to_pylist()
    assert [(row["endpoint"], row["completed"], row["failed"]) for row in usage] == [("west", 0, 1), ("east", 1, 0)]


def test_a_new_export_replaces_results_usage_and_scores() -> None:
    """Without this test, the one above would pass even if an export never wrote anything."""
    settled()
    export(OUT)
    assert set(contents()) - {".in_flight"} == {"results.parquet", "usage.parquet", "run.json"}
    [scores] = json.loads((OUT / "run.json").read_text())["scores"]
    assert (scores["mean"], scores["scored"], scores["unscored"]) == (1.0, 59, 1)


@pytest.mark.parametrize("problem", [OSError(28, "x"), KeyboardInterrupt()])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: ",".join(view.names))
def test_if_an_export_stops_in_the_middle_all_old_files_stay(
    view: View, problem: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full disk or Ctrl-C, readers find complete files."""
    settled()
    export(OUT, view)
    before = contents()

    def columns(self: Any) -> Iterator[Any]:
        yield next(read(self))
        raise problem

    read = export_module.Checkpoint.columns
    monkeypatch.setattr(export_module.Checkpoint, "columns", columns)
    with pytest.raises(RunDirectoryError if isinstance(problem, OSError) else KeyboardInterrupt):
        export(OUT, view)
    assert contents() == before


def test_if_the_usage_cannot_be_written_the_old_results_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files come from the same export."""
    settled()
    export(OUT)
    before = contents()
    change_checkpoint("UPDATE outcomes SET error = 'changed', checksum = NULL WHERE kind IS NOT NULL")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "x")

    monkeypatch.setattr(export_module, "write_usage", fail)
    with pytest.raises(RunDirectoryError, match=r"usage\.parquet: No space left on device"):
        export(OUT)
    assert contents() == before


def test_if_rows_are_lost_while_writing_all_old_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that are written are counted, not those that are read."""
    settled()
    export(OUT)
    before = contents()

    def few(self: Results) -> Iterator[Any]:
        for batch in batches(self):
            yield batch
            self.rows -= 1

    batches = Results.batches
    monkeypatch.setattr(Results, "batches", few)
    with pytest.raises(DamagedError):
        export(OUT)
    assert contents() == before


def test_an_error_of_writing_has_the_path_the_reason_and_the_cure() -> None:
    """It becomes exit code 3 instead of a traceback."""
    settled()
    (OUT / f".results.parquet.{os.getpid()}.tmp").mkdir()
    with pytest.raises(RunDirectoryError, match=r"out/results\.parquet: Is a directory; see that its folder exists"):
        export(OUT)
