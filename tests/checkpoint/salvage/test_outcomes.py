"""Packed answers are recovered like others: what they are packed with is found as long as one copy of it is whole.

Rows that share a reply are recovered as far as their own vector is whole; the others are named, and bought again.
"""

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from harness.alike import settled
from harness.checkpoints import alone, outcomes_in, requests, settle, sharing
from harness.damage import DAMAGES, JOB, PAGE, damage, pages_of

from batchrun.checkpoint import facts, packing
from batchrun.checkpoint.changes import adapt
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.rescue import recover, salvage
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, unpack
from batchrun.errors import RunDirectoryError
from batchrun.job.serialization import job_to_dict
from batchrun.records import Outcome

ROWS = 2000


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """Of a checkpoint whose answers are packed, but for the first of them."""
    monkeypatch.setattr(packing, "LEARN_ROWS", 100)
    outcomes = settled(ROWS)
    with Store(tmp_path) as store:
        store.set_fact(facts.JOB, job_to_dict(JOB))
        store.model_id("m")
        for first in range(0, ROWS, 50):
            for each in outcomes[first : first + 50]:
                store.put(each)
            store._writer.commit(is_last=False)
    return outcomes


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_packed_answer_that_was_not_hit_is_recovered(tmp_path: Path, outcomes: list[Outcome], kind: str) -> None:
    path = tmp_path / FILE_NAME
    places = pages_of(path)
    assert len(places) == ROWS
    hit = damage(path, kind, Random(kind))
    whole = {unpack(number)[0] for number, pages in places.items() if not pages & hit}
    found = recover(tmp_path)
    assert found is not None
    assert problem_of(tmp_path) is None
    recovered = {each.row: each._replace(model="m") for each in outcomes_in(tmp_path)}
    assert whole <= recovered.keys()
    assert all(recovered[row] == outcomes[row] for row in recovered)


def test_without_any_copy_of_the_dictionary_only_unpacked_answers_are_recovered(
    tmp_path: Path, outcomes: list[Outcome]
) -> None:
    """What cannot be read counts as lost, and its rows are named."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("UPDATE dictionaries SET content = zeroblob(8192)")
        connection.commit()
    found = recover(tmp_path)
    assert found is not None
    assert {each.row for each in outcomes_in(tmp_path)} == set(range(100))
    assert "and 1,880 more" in " ".join(found.notices)


def test_a_changed_answer_whose_row_has_another_is_not_reported(tmp_path: Path, outcomes: list[Outcome]) -> None:
    """Of two copies of a page, one may be the damaged one."""
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE outcomes SET throttled = 1 WHERE id >> 24 BETWEEN 700 AND 710")
        (body,) = connection.execute("SELECT body FROM outcomes WHERE id >> 24 = 705").fetchone()
        log = path.with_name(FILE_NAME + "-wal").read_bytes()
        data = path.read_bytes()
    assert log.count(body) == data.count(body) == 1
    path.write_bytes(data.replace(body, body[:-1] + bytes([body[-1] ^ 1])))
    path.with_name(FILE_NAME + "-wal").write_bytes(log)
    path.with_name(FILE_NAME + "-shm").unlink(missing_ok=True)
    assert problem_of(tmp_path) is None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM models")
        connection.commit()
    found = recover(tmp_path)
    assert found is not None
    assert not any("705" in notice for notice in found.notices)
    assert len(outcomes_in(tmp_path)) == ROWS


EACH = 8


def settled_bundles(directory: Path, rows: int = 64, numbers: int = 300) -> list[Outcome]:
    """Write the outcomes of bundles whose replies continue on other pages; return what is read of them."""
    asked = requests(*map(str, range(rows)))
    outcomes = [each for start in range(0, rows, EACH) for each in sharing(asked[start : start + EACH], numbers)]
    settle(directory, outcomes)
    with Store(directory) as store:
        store.set_fact(facts.JOB, job_to_dict(JOB))
    return alone(outcomes)


def changed(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        for each in statements:
            connection.execute(each)
        connection.commit()


def replies_in(directory: Path) -> int:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])


def answer_of(outcome: Outcome) -> tuple[int, bytes, bytes]:
    """Return row, key and body without its usage: of counts no checksum is kept."""
    return outcome.row, outcome.key, (outcome.body or b"").partition(b',"usage"')[0]


def test_a_changed_byte_costs_the_row_that_it_belongs_to(tmp_path: Path) -> None:
    """Found by an export and by a salvage, and named by both."""
    outcomes = settled_bundles(tmp_path)
    data = (tmp_path / FILE_NAME).read_bytes()
    place = 5 * 1200 + 600
    reply = next(each.reply for each in sharing(requests(*map(str, range(EACH))), 300) if each.reply is not None)
    vector = reply.vectors[place : place + 40]
    at = data.rindex(vector)  # of the last reply that has it
    (tmp_path / FILE_NAME).write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    problem = problem_of(tmp_path)
    assert problem is not None
    assert "the answer of row " in str(problem)
    found = recover(tmp_path)
    assert found is not None
    assert found.rows == 63
    (lost,) = {each.row for each in outcomes} - {each.row for each in outcomes_in(tmp_path)}
    assert f"the answer of row {lost} changed on the disk: the checksum is wrong; left out" in found.notices
    assert outcomes_in(tmp_path) == [each for each in outcomes if each.row != lost]
    assert problem_of(tmp_path) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE replies SET frame = x'7b7d' WHERE id = 2", "DELETE FROM replies WHERE id = 2"]
)
def test_rows_whose_reply_is_lost_are_named(tmp_path: Path, statement: str) -> None:
    """And what no row refers to any more is not kept."""
    outcomes = settled_bundles(tmp_path)
    changed(tmp_path, "PRAGMA secure_delete = ON", statement)
    found = recover(tmp_path)
    assert found is not None
    assert outcomes_in(tmp_path) == [each for each in outcomes if not 8 <= each.row < 16]
    assert "rows 8, 9, 10, 11, 12, 13, 14, 15 changed on the disk" in " ".join(found.notices)
    assert replies_in(tmp_path) == 7


def test_a_reply_that_no_row_shares_is_left_out(tmp_path: Path) -> None:
    settled_bundles(tmp_path)
    changed(
        tmp_path,
        "PRAGMA secure_delete = ON",
        "DELETE FROM outcomes WHERE id >> 24 < 8",
        "UPDATE totals SET completed = 57",
    )
    found = recover(tmp_path)
    assert found is not None
    assert (found.rows, replies_in(tmp_path)) == (56, 7)


@pytest.mark.parametrize("seed", range(25))
def test_damage_anywhere_alters_no_other_row(tmp_path: Path, seed: int) -> None:
    """Bytes here and there, stretches, pages that have swapped places: what is recovered is what was stored."""
    random = Random(seed)
    outcomes = {each.row: each._replace(model="") for each in settled_bundles(tmp_path)}
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    for _ in range(random.choice([1, 5, 20])):
        at, size = random.randrange(100, len(data)), random.choice([1, 1, 8, 300])
        data[at : at + size] = random.randbytes(min(size, len(data) - at))
    for _ in range(random.choice([0, 1, 2])):
        one, other = (random.randrange(1, len(data) // PAGE) * PAGE for _ in "ab")
        data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]
    path.write_bytes(data)
    with contextlib.suppress(RunDirectoryError):
        found = recover(tmp_path)
        read = [each._replace(model="") for each in outcomes_in(tmp_path)]
        assert [answer_of(each) for each in read] == [answer_of(outcomes[each.row]) for each in read]
        assert found is None or len(read) + found.retired > 0


def test_rows_that_were_retired_keep_their_reply(tmp_path: Path) -> None:
    """Asked again, they are not bought again."""
    outcomes = settled_bundles(tmp_path)
    asked = requests(*map(str, range(64)))
    with Store(tmp_path) as store:
        adapt(store, [asked[20:]], lambda change: True)
    found = salvage(tmp_path)
    assert (found.rows, found.retired, replies_in(tmp_path)) == (44, 20, 8)
    with Store(tmp_path) as store:
        adapt(store, [asked], lambda change: True)
    assert outcomes_in(tmp_path) == outcomes


def test_a_model_whose_name_is_lost_has_that_of_the_answers(tmp_path: Path) -> None:
    settled_bundles(tmp_path)
    changed(tmp_path, "PRAGMA secure_delete = ON", "DELETE FROM models", "UPDATE replies SET checksum = 0 WHERE id = 1")
    recover(tmp_path)
    assert {each.model for each in outcomes_in(tmp_path)} == {"m"}
