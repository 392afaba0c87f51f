"""Results are written again when something has changed, and only then."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.settled import failed, settle

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import forget_failed
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import RunDirectoryError
from batchrun.records import Outcome, Usage
from batchrun.results import refresh as refresh_module
from batchrun.results import stamp as stamp_module
from batchrun.results.export import Exported, export
from batchrun.results.refresh import rebuild, refresh
from batchrun.results.state import is_fresh
from batchrun.results.view import View

OUT = Path("out")
RESULTS = OUT / "results.parquet"

JOB = '[evaluate]\ntarget = "right"\nscorer = "contains"\nby = "group"\n'


@pytest.fixture(autouse=True)
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with scores, a failed row, and an answer that is not one by a schema."""
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = [{"prompt": str(row), "right": "yes", "group": row % 2} for row in range(20)]
    settle(rows, lambda request: failed("bad_request", 400) if request.row == 3 else "yes", JOB)


def refreshed(monkeypatch: pytest.MonkeyPatch) -> tuple[Exported, bool]:
    """Refresh; return what it returned, and whether it wrote."""
    written = []

    def noting(*arguments: Any) -> Exported:
        written.append(arguments)
        return export(*arguments)

    monkeypatch.setattr(refresh_module, "export", noting)
    return refresh(OUT), bool(written)


def test_results_that_are_as_they_were_written_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was found is the same, notices included."""
    first, is_written = refreshed(monkeypatch)
    before = RESULTS.stat()
    again, is_written_again = refreshed(monkeypatch)
    assert (is_written, is_written_again) == (True, False)
    assert again == first
    assert first.failures
    assert first.scores
    assert first.answers
    assert RESULTS.stat() == before


def test_results_that_were_rebuilt_are_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild itself always writes. A CSV file changes nothing about that."""
    before = rebuild(OUT, View())
    after_s = RESULTS.stat().st_mtime_ns
    assert refreshed(monkeypatch) == (before, False)
    assert rebuild(OUT, View()) == before
    assert RESULTS.stat().st_mtime_ns > after_s
    rebuild(OUT, View(format="csv"))
    assert not refreshed(monkeypatch)[1]
    rebuild(OUT, View(is_schemaless=True))
    assert refreshed(monkeypatch)[1]


def test_a_rebuild_leaves_a_directory_alone_that_another_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one writes results of its own."""
    with DirectoryLock(OUT):
        rebuild(OUT, View())
    assert refreshed(monkeypatch)[1]


def test_a_rebuild_leaves_a_checkpoint_of_an_older_version_as_it_is() -> None:
    """Otherwise the version that made it could not read it any more."""
    with closing(sqlite3.connect(OUT / FILE_NAME)) as connection:
        connection.executescript("DROP TABLE row_checksums; PRAGMA user_version = 7;")
    before = (OUT / FILE_NAME).read_bytes()
    rebuild(OUT, View())
    assert RESULTS.exists()
    assert (OUT / FILE_NAME).read_bytes() == before


def test_they_are_fresh_for_everybody_who_reads_them() -> None:
    """Although the stamp is newer than they are, and so is whatever the next execution notes."""
    refresh(OUT)
    assert is_fresh(OUT)
    with Store(OUT) as store:
        store.set_fact(facts.RATE, 1.0)
    assert is_fresh(OUT)


def edit() -> None:
    """A user adds a column, in a way that keeps the file's metadata."""
    table = pq.read_table(RESULTS)
    pq.write_table(table.append_column("mine", table["row"]), RESULTS)


def keep_time_and_size() -> None:
    """A letter is changed, and the time put back."""
    status = RESULTS.stat()
    content = bytearray(RESULTS.read_bytes())
    content[len(content) // 2] ^= 1
    RESULTS.write_bytes(content)
    os.utime(RESULTS, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy_back() -> None:
    """A copy takes its place: nobody knows whether it is whole."""
    shutil.copy2(RESULTS, "copy")
    Path("copy").replace(RESULTS)


def truncate() -> None:
    """The file ends too early."""
    os.truncate(RESULTS, RESULTS.stat().st_size - 1)


@pytest.mark.parametrize(
    "change",
    [edit, keep_time_and_size, copy_back, truncate, RESULTS.unlink, (OUT / "usage.parquet").unlink],
    ids=["edited", "a letter", "replaced", "truncated", "deleted", "usage deleted"],
)
def test_a_file_that_somebody_changed_is_written_again(
    change: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(OUT)
    before = pq.read_table(RESULTS)
    change()
    _, is_written = refreshed(monkeypatch)
    assert is_written
    assert pq.read_table(RESULTS) == before
    assert not refreshed(monkeypatch)[1]


def add_a_row() -> None:
    """One more row is settled."""
    with Store(OUT) as store:
        store.put(Outcome(20, "m", 0, b"k" * 16, None, "bad_row", "no", None, 0, None, 5000, None, Usage()))


def retry_failed() -> None:
    """The failed row is to be sent again, and fails again, in other words."""
    with Store(OUT) as store:
        forget_failed(store)
        store.put(Outcome(3, "m", 0, b"k" * 16, None, "bad_request", "never", 400, 1, 0.5, 1003, None, Usage()))


def forget_input() -> None:
    """The input has the same rows, and is another file."""
    shutil.copy2("in.jsonl", "copy")
    Path("copy").replace("in.jsonl")


def set_job(**sections: Any) -> Callable[[], None]:
    """Return what notes another job."""

    def note() -> None:
        with Store(OUT) as store:
            job = dict(store.fact(facts.JOB) or {})
            store.set_fact(facts.JOB, job | {name: {**job[name], **its} for name, its in sections.items()})

    return note


@pytest.mark.parametrize(
    "change",
    [add_a_row, retry_failed, forget_input, set_job(evaluate={"scorer": "exact"}), set_job(output={"keep": ["right"]})],
    ids=["a row", "retried", "input", "scorer", "columns"],
)
def test_what_changes_the_results_has_them_written_again(
    change: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = refresh(OUT)
    change()
    now, is_written = refreshed(monkeypatch)
    assert is_written
    if change is retry_failed:
        assert (first.failures[0].example, now.failures[0].example) == ("no", "never")
    assert not refreshed(monkeypatch)[1]


def test_another_version_writes_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(OUT)
    monkeypatch.setattr(stamp_module, "__version__", "99")
    assert refreshed(monkeypatch)[1]


def test_what_changes_only_how_rows_are_sent_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(OUT)
    set_job(limits={"max_concurrency": 3}, endpoint={"headers": {"x": "y"}})()
    assert not refreshed(monkeypatch)[1]
    set_job(prices={"m": {"input_usd_per_mtok": 3.0}})()
    assert refreshed(monkeypatch)[1]


def test_an_export_in_between_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have used another scorer, and does not hold the lock of the directory."""
    refresh(OUT)
    export(OUT)
    assert refreshed(monkeypatch)[1]


def test_without_the_input_nothing_is_stamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is back, its columns are too."""
    Path("in.jsonl").rename("away")
    for _ in range(2):
        found, is_written = refreshed(monkeypatch)
        assert is_written
        assert found.lacks_input
    Path("away").rename("in.jsonl")
    found, is_written = refreshed(monkeypatch)
    assert is_written
    assert not found.lacks_input


def test_a_function_of_the_user_scores_every_time() -> None:
    """Its name says nothing about what it does."""
    scores = iter([0.25, 0.75])
    for expected in (0.25, 0.75):
        value = next(scores)
        scorer = NamedFunction("mine", lambda row, value=value: value)  # type: ignore[misc]
        [overall, *_] = refresh(OUT, scorer).scores
        assert overall["mean"] == expected


def test_results_that_cannot_be_stamped_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has no room for the stamp: the next run writes them again, and nothing is lost."""

    def full(path: Path) -> Any:
        raise RunDirectoryError(f"{path}: cannot be read or written (database or disk is full)")

    with monkeypatch.context() as patched:
        patched.setattr(stamp_module, "connect", full)
        assert refresh(OUT).paths[0].exists()
    assert refreshed(monkeypatch)[1]
    assert not refreshed(monkeypatch)[1]
