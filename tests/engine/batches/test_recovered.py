"""What is known of batches when their checkpoint is lost."""

from pathlib import Path

import pytest

from batchrun.checkpoint import facts
from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, CREATING, UPLOADED, WRITTEN, BatchRow
from batchrun.checkpoint.store import Store
from batchrun.endpoint.batches.lines import Place, line_of
from batchrun.engine.batches.files import input_file, key_file, note_batch, note_run
from batchrun.engine.batches.recovered import complete
from batchrun.engine.batches.unsent import forget_unsent
from batchrun.records import BatchLine, Request

KEYS = [bytes([row]) * 16 for row in range(3)]


def left(folder: Path, step: str, *, has_keys: bool = True) -> BatchRow:
    """Leave the files of a batch."""
    row = BatchRow(4, "m", "chat", step, 3, 0.5, 7.0, 5, file="file-1")
    note_run(folder, {"identity": "this", "simulated": False, "batches_at": "http://localhost/v1", "batches_key": 7})
    requests = [Request(row, "m", 0, key, b'{"model":"m"}', None) for row, key in enumerate(KEYS)]
    lines = [line_of(Place(each.row, 1, 0), each, each.body) for each in requests]
    input_file(folder, 4).write_bytes(b"".join(lines))
    key_file(folder, 4).write_bytes(b"".join(KEYS if has_keys else KEYS[:2]))
    note_batch(folder, row)
    return row


@pytest.mark.parametrize("step", [CREATING, CREATED])
def test_a_batch_that_may_be_at_the_provider_is_noted_with_its_file_and_lines(tmp_path: Path, step: str) -> None:
    """By the name of its file it is found also where a provider keeps no metadata. Damaged facts are left out."""
    row = left(tmp_path, step)
    with Store(tmp_path) as store:
        with store.using() as connection:
            assert complete(connection, tmp_path, is_salvaged=False) == [row]
            assert complete(connection, tmp_path, is_salvaged=False) == []
        assert store.batches.batches() == [row]
        lines = [BatchLine(4, place << 24 | 1 << 16, None, key, None) for place, key in enumerate(KEYS)]
        assert [line for line, _ in store.batches.lines(4)] == lines
        assert (store.fact(facts.IDENTITY), store.fact(facts.BATCHES_KEY)) == ("this", None)


def test_what_was_never_created_is_forgotten(tmp_path: Path) -> None:
    for step in (WRITTEN, UPLOADED, COLLECTED):
        left(tmp_path, step)
        with Store(tmp_path) as store, store.using() as connection:
            assert complete(connection, tmp_path, is_salvaged=False) == []
            forget_unsent(connection, tmp_path, is_by_batch=True)
        assert not (tmp_path / "batches").exists()


def test_a_checkpoint_that_has_the_batch_stays_as_it_is(tmp_path: Path) -> None:
    row = left(tmp_path, CREATED)
    with Store(tmp_path) as store:
        store.batches.note(row._replace(step=COLLECTED))
    with Store(tmp_path) as store, store.using() as connection:
        for is_salvaged in (False, True):
            assert complete(connection, tmp_path, is_salvaged=is_salvaged) == []
        assert input_file(tmp_path, 4).exists()


def test_lines_whose_keys_are_lost_are_for_the_requests_at_their_places(tmp_path: Path) -> None:
    """Where the models are known; else nothing tells which requests they are."""
    left(tmp_path, CREATED, has_keys=False)
    with Store(tmp_path) as store:
        store.connection.execute("INSERT INTO models VALUES (1, 'm')")
        with store.using() as connection:
            complete(connection, tmp_path, is_salvaged=True)
        assert [(line.id, line.key) for line, _ in store.batches.lines(4)] == [
            (place << 24 | 1 << 16, b"") for place in range(3)
        ]
