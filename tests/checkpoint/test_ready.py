"""Outcomes that another process has made ready are written as if the writer had done it."""

from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, requests, settle, sharing

from batchrun.checkpoint.packing import Dictionary, Packer
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.ready import Ready, made_ready, opened, outcomes_in, sealed, without
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import as_it_is, pack
from batchrun.records import Outcome, Usage

ASKED = requests(*(f"{number}" for number in range(80)))
OUTCOMES = [
    *(answer(each) for each in ASKED[:70]),
    *(failure(each)._replace(endpoint="east") for each in ASKED[70:75]),
    *(answer(each, endpoint="west", answered_by="spare", usage=Usage(1, 1)) for each in ASKED[75:]),
]


def settled(directory: Path, ready: Ready) -> Checkpoint:
    """Write what was made ready elsewhere; return the checkpoint, closed."""
    directory.mkdir()
    with Store(directory) as store:
        store.model_id("m")
        store.put_ready(sealed(ready))
    return Checkpoint(directory)


def settled_here(directory: Path, outcomes: list[Outcome]) -> Checkpoint:
    directory.mkdir()
    settle(directory, outcomes)
    return Checkpoint(directory)


def contents(checkpoint: Checkpoint) -> list[object]:
    """Return all that a checkpoint says of outcomes."""
    with checkpoint:
        tables = ("outcomes", "totals", "sources", "origins", "facts")
        rows = [sorted(checkpoint._connection.execute(f"SELECT * FROM {table}")) for table in tables]
        return [*rows, checkpoint.totals(), checkpoint.parts()]


def test_what_another_process_made_ready_is_written_as_the_writer_would(tmp_path: Path) -> None:
    """Rows, totals, and where the answers come from."""
    there = settled(tmp_path / "there", made_ready(OUTCOMES, {"m": 0}, as_it_is))
    here = settled_here(tmp_path / "here", OUTCOMES)
    assert contents(there) == contents(here)


def test_bodies_are_packed_there_with_the_dictionary_of_the_checkpoint(tmp_path: Path) -> None:
    """The other process gets the dictionary once it is stored."""
    body = b'{"choices": [{"message": {"content": "positive, as far as the tea is concerned, %d"}}]}'
    first, then = ([answer(each, body=body % each.row) for each in requests(*"x" * 600, first=at)] for at in (0, 600))
    settle(tmp_path, first)
    with Store(tmp_path) as store:
        with store.using() as connection:
            store.packer.keep_up(connection, len(first))
        dictionary = store.packer.dictionary
        assert isinstance(dictionary, Dictionary)
        packer = Packer()
        packer.use(dictionary)
        ready = made_ready(then, {"m": 0}, packer.pack)
        assert all(len(each.body or b"") < len(body) / 2 for each in outcomes_in(ready))
        store.put_ready(sealed(ready))
    with Checkpoint(tmp_path) as checkpoint:
        bodies = [each for columns in checkpoint.columns() for each in columns["body"]]
    assert bodies == [each.body for each in first + then]


def test_outcomes_are_the_same_when_they_are_opened() -> None:
    """Those that share a reply have no rows, and are counted."""
    shared = sharing(requests("e", "f", first=90))
    ready = opened(sealed(made_ready([*OUTCOMES, *shared], {"m": 0}, as_it_is)).content)
    assert list(outcomes_in(ready)) == OUTCOMES
    assert sorted(ready.ids) == [pack(each.row, 0, 0) for each in [*OUTCOMES, *shared]]
    assert list(ready.asked) == [(each.key, 0, pack(each.row, 0, 0)) for each in ASKED]


@pytest.mark.parametrize("late", [[0], [69, 70, 74, 79], range(70), range(80)])
def test_what_is_left_without_some_outcomes_is_as_if_these_had_never_been(tmp_path: Path, late) -> None:
    """Rows, totals and sources; only that a count was stated as 0 is remembered."""
    ids = [pack(row, 0, 0) for row in late]
    left = without(made_ready(OUTCOMES, {"m": 0}, as_it_is), ids)
    kept = [each for each in OUTCOMES if each.row not in late]
    assert list(outcomes_in(left)) == kept
    expected = made_ready(kept, {"m": 0}, as_it_is)
    found = {part.source: (part.ids, part.sums.counts) for part in left.parts if part.ids}
    assert found == {part.source: (part.ids, part.sums.counts) for part in expected.parts}
    assert all(not any(part.sums.counts) for part in left.parts if not part.ids)


def test_what_could_not_be_written_is_written_when_the_store_closes(tmp_path: Path) -> None:
    """As outcomes are that were made here."""
    with Store(tmp_path) as store:
        store.model_id("m")
        store.put_ready(sealed(made_ready(OUTCOMES, {"m": 0}, as_it_is)))
        store._queue.run("INSERT INTO nowhere VALUES (1)")
        with pytest.raises(Exception, match="nowhere"):
            store._writer.commit(is_last=False)
        store.connection.execute("CREATE TABLE nowhere (number INTEGER)")
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.totals()["m"].requests == 80
