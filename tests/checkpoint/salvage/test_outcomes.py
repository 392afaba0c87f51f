"""Packed answers are recovered like others: what they are packed with is found as long as one copy of it is whole."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from harness.alike import settled
from harness.checkpoints import outcomes_in
from harness.damage import DAMAGES, JOB, damage, pages_of

from batchrun.checkpoint import facts, packing
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.rescue import recover
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, unpack
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
