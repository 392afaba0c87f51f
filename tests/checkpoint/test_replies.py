"""Rows that share a reply: it is stored once, each row has its own checksum, and readers see no difference."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.alike import make_version_5, settled
from harness.checkpoints import alone, answer, failure, key_of, outcomes_in, requests, settle, sharing

from batchrun.answers.shared_vectors import SharedBodies
from batchrun.checkpoint import contents
from batchrun.checkpoint.changes import adapt
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.reuse import Requests, RunAnswers
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, VERSION, pack
from batchrun.errors import DamagedError
from batchrun.records import Outcome


def changed(directory: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        connection.execute(statement, values)
        connection.commit()


def rows_of(directory: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def bundles(rows: int, each: int = 4) -> list[Outcome]:
    """Return the outcomes of several bundles."""
    asked = requests(*map(str, range(rows)))
    return [outcome for start in range(0, rows, each) for outcome in sharing(asked[start : start + each])]


def test_a_reply_is_stored_once_and_read_by_each_row(tmp_path: Path) -> None:
    outcomes = bundles(12)
    settle(tmp_path, outcomes)
    assert rows_of(tmp_path, "SELECT count(*) FROM replies") == [(3,)]
    assert rows_of(tmp_path, "SELECT count(*) FROM outcomes WHERE body IS NULL AND reply IS NOT NULL") == [(12,)]
    assert outcomes_in(tmp_path) == alone(outcomes)
    with Checkpoint(tmp_path) as checkpoint:
        assert [each for some in checkpoint.outcomes(row=5) for each in some] == alone(outcomes[5:6])


def test_rows_of_one_reply_may_come_in_two_commits(tmp_path: Path) -> None:
    """The writer takes what is there, and the rest of a bundle may come a moment later."""
    outcomes = bundles(8, 8)
    with Store(tmp_path) as store:
        store.model_id("m")
        for part in (outcomes[:3], outcomes[3:]):
            for each in part:
                store.put(each)
            store._writer.commit(is_last=False)
    assert rows_of(tmp_path, "SELECT count(*) FROM replies") == [(1,)]
    assert outcomes_in(tmp_path) == alone(outcomes)


def test_a_later_execution_gives_its_replies_other_numbers(tmp_path: Path) -> None:
    outcomes = bundles(8)
    settle(tmp_path, outcomes[:4])
    settle(tmp_path, outcomes[4:])
    assert rows_of(tmp_path, "SELECT id FROM replies ORDER BY id") == [(1,), (2,)]
    assert outcomes_in(tmp_path) == alone(outcomes)


def test_after_a_commit_that_failed_rows_refer_to_nothing_that_was_rolled_back(tmp_path: Path) -> None:
    """It is written again, with its reply, when the store closes."""
    outcomes = bundles(8)
    with Store(tmp_path) as store:
        store.model_id("m")
        store._writer.commit(is_last=False)
        for each in outcomes[:4]:
            store.put(each)
        store.connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON outcomes BEGIN SELECT raise(ABORT, 'x'); END"
        )
        with pytest.raises(sqlite3.Error):
            store._writer.commit(is_last=False)
        assert store.connection.execute("SELECT count(*) FROM replies").fetchone() == (0,)
        store.connection.execute("DROP TRIGGER full")
        for each in outcomes[4:]:
            store.put(each)
    assert rows_of(tmp_path, "SELECT id FROM replies ORDER BY id") == [(1,), (2,)]
    assert outcomes_in(tmp_path) == alone(outcomes)


def test_rows_with_and_without_a_reply_of_their_own_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that failed, one that travelled alone, and others; few or many of each."""
    outcomes = bundles(200)
    for row in (0, 5, 6, 199):
        outcomes[row] = answer(outcomes[row], body=None, reply=None, place=0)._replace(body=b"%d" % row)
    outcomes[7] = failure(requests("7", first=7)[0])
    settle(tmp_path, [*outcomes, *(answer(each) for each in requests(*map(str, range(100)), first=200))])
    found = outcomes_in(tmp_path)
    assert found[:200] == alone(outcomes)
    assert [each.row for each in found] == list(range(300))
    with Checkpoint(tmp_path) as checkpoint:
        kinds = [type(columns["body"]) for columns in checkpoint.columns()]
    assert kinds == [list, list]
    monkeypatch.setattr(contents, "_LEAST_ROWS", 1)
    with Checkpoint(tmp_path) as checkpoint:
        kinds = [type(columns["body"]) for columns in checkpoint.columns()]
    assert kinds == [list, SharedBodies, list, SharedBodies, list]
    assert outcomes_in(tmp_path) == found


def test_lists_of_rows_that_share_replies_are_bounded_by_their_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(tmp_path, bundles(12))
    monkeypatch.setattr(contents, "PIECE_BYTES", 5 * 12)
    with Checkpoint(tmp_path) as checkpoint:
        assert [len(some) for some in checkpoint.outcomes()] == [5, 5, 2]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE replies SET vectors = CAST(x'01' || substr(vectors, 2) AS BLOB) WHERE id = 2", "row 4 "),
        (
            "UPDATE replies SET vectors = CAST(substr(vectors, 1, 12) || x'ff' || substr(vectors, 14) AS BLOB)",
            "rows 1, 5, 9 ",
        ),
        ("UPDATE replies SET vectors = substr(vectors, 1, 30) WHERE id = 2", "rows 6, 7 "),
        ("UPDATE replies SET frame = replace(frame, 'list', 'lisp') WHERE id = 2", "rows 4, 5, 6, 7 "),
        ("UPDATE replies SET size = 8 WHERE id = 2", "rows 4, 5, 6, 7 "),
        ("UPDATE replies SET size = -12, checksum = 5 WHERE id = 2", "rows 4, 5, 6, 7 "),
        ("UPDATE replies SET vectors = 'text' WHERE id = 2", "rows 4, 5, 6, 7 "),
        ("DELETE FROM replies WHERE id = 2", "rows 4, 5, 6, 7 "),
        ("UPDATE outcomes SET reply = reply + 1 WHERE id >> 24 = 5", "row 5 "),
        ("UPDATE outcomes SET reply = reply + 65536 WHERE id >> 24 = 11", "row 11 "),
        ("UPDATE outcomes SET reply = 'x' WHERE id >> 24 = 5", "row 5 has values that no outcome has"),
        ("UPDATE outcomes SET http_status = 201 WHERE id >> 24 = 5", "row 5 "),
    ],
)
def test_a_change_on_the_disk_is_named_by_its_rows(tmp_path: Path, statement: str, says: str) -> None:
    """Those whose vector has changed, and no others; all that share a reply whose frame has."""
    settle(tmp_path, bundles(12))
    changed(tmp_path, statement)
    with pytest.raises(DamagedError, match=says):
        outcomes_in(tmp_path)


def test_a_row_without_a_checksum_is_not_shown_without_its_reply(tmp_path: Path) -> None:
    settle(tmp_path, bundles(4))
    changed(tmp_path, "UPDATE outcomes SET checksum = NULL")
    changed(tmp_path, "DELETE FROM replies")
    with pytest.raises(DamagedError, match="the reply that rows share is lost"):
        outcomes_in(tmp_path)


def test_a_file_of_version_5_gets_rows_that_share_replies(tmp_path: Path) -> None:
    """Nothing of it is copied: rows that it has stay as they are, and readers need no migration."""
    before = settled(40)
    settle(tmp_path, before)
    make_version_5(tmp_path)
    content = (tmp_path / FILE_NAME).read_bytes()
    assert outcomes_in(tmp_path) == before
    assert (tmp_path / FILE_NAME).read_bytes() == content
    more = sharing(requests(*"abcd", first=40))
    settle(tmp_path, more)
    assert rows_of(tmp_path, "PRAGMA user_version") == [(VERSION,)]
    assert outcomes_in(tmp_path) == [*before, *alone(more)]


def test_an_edit_retires_rows_and_its_undo_brings_them_back(tmp_path: Path) -> None:
    """Their reply stays where it is."""
    outcomes = bundles(8)
    asked = requests(*map(str, range(8)))
    edited = [each._replace(key=key_of("new")) if each.row in (2, 5) else each for each in asked]
    settle(tmp_path, outcomes)
    with Store(tmp_path) as store:
        adapt(store, [edited], lambda change: True)
    assert [each.row for each in outcomes_in(tmp_path)] == [0, 1, 3, 4, 6, 7]
    with Store(tmp_path) as store:
        adapt(store, [asked], lambda change: True)
    assert outcomes_in(tmp_path) == alone(outcomes)


def test_copies_of_a_row_share_its_vector(tmp_path: Path) -> None:
    """With `dedupe`: nothing was paid for them."""
    asked = requests(*"abcd")
    twins = [each._replace(row=4 + each.row) for each in asked]
    with Store(tmp_path) as store:
        store.share_answers(is_wanted=True)
        store.model_id("m")
        assert store.unsettled([*asked, *twins]) == asked
        for each in sharing(asked):
            store.put(each)
    found = outcomes_in(tmp_path)
    assert rows_of(tmp_path, "SELECT count(*) FROM replies") == [(1,)]
    assert [each.row for each in found] == list(range(8))
    for first, copy in zip(found[:4], found[4:], strict=True):
        assert copy.attempts == 0
        assert first.body is not None
        assert copy.body is not None
        assert first.body.partition(b',"usage"')[0] == copy.body.partition(b',"usage"')[0].removesuffix(b"}")


def test_another_run_can_take_the_answers(tmp_path: Path) -> None:
    """Each as the answer to one request."""
    outcomes = bundles(8)
    settle(tmp_path, outcomes)
    with Requests(shares_answers=False) as wanted, RunAnswers(tmp_path) as run:
        wanted.add([(pack(row, 0, 0), outcomes[row].key, 0, None) for row in (6, 1)])
        assert wanted.pair(run.answers(lambda source: 0), (), [(0, 0, 1)]) == 2
        (found,) = run.found(wanted, lambda model, source: "here")
    assert {each.row: each.body for each in found} == {row: alone(outcomes)[row].body for row in (1, 6)}
