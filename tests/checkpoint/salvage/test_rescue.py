"""Of a damaged checkpoint all is recovered that is whole, nothing is made up, and the damaged file is kept."""

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from harness.checkpoints import answer, failure, outcomes_in, requests
from harness.damage import (
    DAMAGES,
    JOB,
    PAGE,
    answers,
    body_of,
    changed_pages,
    damage,
    make_checkpoint,
    make_torn_checkpoint,
    pages_of,
    root_of,
    write_run,
)

from batchrun.checkpoint import facts
from batchrun.checkpoint.changes import adapt, forget_failed
from batchrun.checkpoint.file import PAGE_BYTES, VECTOR_PAGE_BYTES
from batchrun.checkpoint.in_flight import Journal
from batchrun.checkpoint.lock import DirectoryLock
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.salvage import swap
from batchrun.checkpoint.salvage.examine import problem_of
from batchrun.checkpoint.salvage.rescue import Salvaged, recover
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, VERSION, unpack
from batchrun.errors import RunDirectoryError
from batchrun.job.serialization import job_to_dict
from batchrun.records import Outcome, Request

KEPT = f"damaged.{FILE_NAME}"


def salvaged(directory: Path) -> Salvaged:
    """Salvage, and check what holds of every salvage."""
    path = directory / FILE_NAME
    before = path.read_bytes() if path.exists() else None
    found = recover(directory)
    assert found is not None
    assert (found.kept.read_bytes() if before is not None else None) == before
    assert not (directory / f"{FILE_NAME}-wal").exists()
    assert problem_of(directory) is None
    assert found.rows == len(outcomes_in(directory))
    return found


def rows_in(directory: Path) -> set[int]:
    return {each.row for each in outcomes_in(directory)}


def without_name(outcomes: list[Outcome]) -> list[Outcome]:
    return [each._replace(model="") for each in outcomes]


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_row_that_was_not_hit_is_recovered_as_it_was(tmp_path: Path, kind: str) -> None:
    """And none that was is made up: page by page it is known which those are."""
    outcomes = make_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    places = pages_of(path)
    hit = damage(path, kind, Random(kind))
    whole = {unpack(number)[0] for number, pages in places.items() if not pages & hit}
    found = salvaged(tmp_path)
    assert rows_in(tmp_path) >= whole  # more where only a part of a page was hit
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []
    assert found.expected in (None, len(outcomes))
    assert len(whole) >= len(outcomes) // 3


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_alters_no_other_row(tmp_path: Path, seed: int) -> None:
    """Bytes here and there, stretches, pages that have swapped places: no traceback, and no row that was not hit."""
    random = Random(seed)
    outcomes = {each.row: each for each in make_checkpoint(tmp_path, 60)}
    path = tmp_path / FILE_NAME
    places = {unpack(number)[0]: pages for number, pages in pages_of(path).items()}
    before = path.read_bytes()
    data = bytearray(before)
    for _ in range(random.choice([1, 5, 50])):
        at, size = random.randrange(len(data)), random.choice([1, 1, 8, 300])
        data[at : at + size] = random.randbytes(min(size, len(data) - at))
    for _ in range(random.choice([0, 1, 3])):
        one, other = (random.randrange(len(data) // PAGE) * PAGE for _ in "ab")
        data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]
    path.write_bytes(data)
    with contextlib.suppress(RunDirectoryError):
        recover(tmp_path)
        hit = changed_pages(before, bytes(data))
        found = {each.row: each for each in outcomes_in(tmp_path)}
        whole = [row for row, pages in places.items() if not pages & hit]
        assert without_name([found[row] for row in whole]) == without_name([outcomes[row] for row in whole])
        return
    assert path.read_bytes() == data  # refused: left as it was


@pytest.mark.parametrize("page_bytes", [PAGE_BYTES, VECTOR_PAGE_BYTES])
def test_the_size_of_the_pages_is_found_where_the_header_is_gone(tmp_path: Path, page_bytes: int) -> None:
    """Files of vectors have larger ones."""
    bodies = [b'{"data":[{"embedding":"%b"}]}' % (b"QUJD" * 512) for _ in range(200)]
    outcomes = [each._replace(body=body) for each, body in zip(answers(200), bodies, strict=True)]
    with Store(tmp_path, page_bytes) as store:
        write_run(store, outcomes)
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    assert int.from_bytes(data[16:18], "big") == page_bytes
    path.write_bytes(bytes(100) + data[100:])
    assert salvaged(tmp_path).rows == 200


def test_every_row_of_a_sound_log_counts(tmp_path: Path) -> None:
    """Though the file that it belongs to is damaged where the rows before stand."""
    outcomes = make_torn_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[: 2 * PAGE] = bytes(2 * PAGE)
    path.write_bytes(data)
    found = salvaged(tmp_path)
    assert outcomes_in(tmp_path) == outcomes
    assert found.expected == len(outcomes)
    assert (tmp_path / f"{KEPT}-wal").exists()


FRAME = 24 + PAGE


def log_of(directory: Path) -> tuple[Path, bytearray]:
    log = directory / f"{FILE_NAME}-wal"
    return log, bytearray(log.read_bytes())


def break_file(directory: Path) -> None:
    """So that salvage has something to do, on a page of which no row is."""
    path = directory / FILE_NAME
    data = bytearray(path.read_bytes())
    at = root_of(path, "limits") * PAGE - PAGE
    data[at : at + 8] = b"\x0d" + os.urandom(7)
    path.write_bytes(data)


def test_a_log_that_was_torn_counts_up_to_there(tmp_path: Path) -> None:
    """What was committed last may be lost, not what was before."""
    outcomes = make_torn_checkpoint(tmp_path)
    log, data = log_of(tmp_path)
    log.write_bytes(data[: len(data) // 2])
    break_file(tmp_path)
    salvaged(tmp_path)
    rows = rows_in(tmp_path)
    assert rows >= set(range(70))
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []


def test_a_frame_that_was_damaged_costs_only_what_stands_on_it(tmp_path: Path) -> None:
    """SQLite would read no further, but each later frame is sound, as its checksum shows."""
    outcomes = make_torn_checkpoint(tmp_path)
    log, data = log_of(tmp_path)
    at = 32 + 4 * FRAME
    data[at + 1000 : at + 1100] = b"x" * 100
    log.write_bytes(data)
    salvaged(tmp_path)
    rows = rows_in(tmp_path)
    assert len(rows) >= 115
    assert 119 in rows
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []


def test_a_log_without_its_header_counts(tmp_path: Path) -> None:
    """But for its first frame, of which the header has the checksum."""
    outcomes = make_torn_checkpoint(tmp_path)
    log, data = log_of(tmp_path)
    data[:32] = b"x" * 32
    log.write_bytes(data)
    break_file(tmp_path)
    salvaged(tmp_path)
    assert 119 in rows_in(tmp_path)
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []


def test_a_log_without_its_checkpoint_is_not_a_new_run(tmp_path: Path) -> None:
    """SQLite would delete it: it is refused, and salvaged for what it holds."""
    outcomes = make_torn_checkpoint(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    before = (tmp_path / f"{FILE_NAME}-wal").read_bytes()
    for opened in (Store, Checkpoint):
        with (
            pytest.raises(RunDirectoryError, match=r"its log checkpoint.sqlite-wal is not.* --salvage"),
            opened(tmp_path),
        ):
            pass
    assert (tmp_path / f"{FILE_NAME}-wal").read_bytes() == before
    salvaged(tmp_path)
    assert rows_in(tmp_path) >= set(range(100, 120))
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []
    assert (tmp_path / f"{KEPT}-wal").read_bytes() == before


def test_what_was_being_written_in_the_last_moment_is_kept_for_the_next_run(tmp_path: Path) -> None:
    """It was paid for; whether it stands at the right place, the next run finds out."""
    outcomes = make_torn_checkpoint(tmp_path)
    log, data = log_of(tmp_path)
    frames = range(32, len(data), FRAME)
    commits = [at for at in frames if struct.unpack_from(">I", data, at + 4)[0]]
    log.write_bytes(data[: commits[-1]])  # the last commit has all its frames but the one that ends it
    break_file(tmp_path)
    found = salvaged(tmp_path)
    assert rows_in(tmp_path) == set(range(110))
    assert found.retired > 0
    with Store(tmp_path) as store:
        change = adapt(store, [[Request(*each[:4], b"", each.custom_id) for each in outcomes]], lambda change: True)
    assert change.replaced == 0
    assert change.kept == 110 + found.retired
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []


@pytest.mark.parametrize("later_is_first", [False, True])
def test_the_later_of_two_outcomes_of_one_place_holds_it(tmp_path: Path, later_is_first: bool) -> None:
    """Damage can bring back an old page: the other one's answer is not lost."""
    (request,) = requests("a")
    path = tmp_path / FILE_NAME
    files = []
    for finished_at_ms in (1000, 2000):
        with Store(tmp_path) as store:
            store.connection.execute("DELETE FROM outcomes")
            store.connection.execute("DELETE FROM totals")
            store.reload()
            key = b"%d" % finished_at_ms * 4
            write_run(store, [answer(request, finished_at_ms=finished_at_ms, key=key, body=body_of(finished_at_ms))])
        files.append(path.read_bytes())
    page = (root_of(path, "outcomes") - 1) * PAGE
    before, after = reversed(files) if later_is_first else files
    path.write_bytes(before + after[page : page + PAGE])
    break_file(tmp_path)
    found = salvaged(tmp_path)
    (settled,) = outcomes_in(tmp_path)
    assert (settled.finished_at_ms, found.retired) == (2000, 1)


def test_what_stands_on_a_freed_page_has_no_place(tmp_path: Path) -> None:
    """It was deleted; but an answer was paid for, so it is kept for a request that asks just that."""
    outcomes = answers(40)
    with Store(tmp_path) as store:
        write_run(store, outcomes)
        store.connection.execute("PRAGMA secure_delete = OFF")
        store.connection.execute("DELETE FROM outcomes")
        store.connection.execute("UPDATE totals SET completed = 0")
        store.reload()
    break_file(tmp_path)
    found = salvaged(tmp_path)
    assert found.rows == 0
    assert found.retired >= 20
    with Store(tmp_path) as store:
        adapt(store, [[Request(*each[:4], b"", each.custom_id) for each in outcomes]], lambda change: True)
    assert len(outcomes_in(tmp_path)) == found.retired
    assert [each for each in outcomes_in(tmp_path) if each not in outcomes] == []


def test_answers_that_were_asked_no_more_stay_retired(tmp_path: Path) -> None:
    """Each once, though freed pages hold them a second time; forgotten failures do not come back."""
    outcomes = answers(40)
    with Store(tmp_path) as store:
        write_run(store, [*outcomes, failure(Request(40, "m", 0, b"f" * 16, b"", None))])
        forget_failed(store)
        asked = [Request(*each[:4], b"", each.custom_id) for each in outcomes[:10]]
        adapt(store, [asked], lambda change: True)
    break_file(tmp_path)
    found = salvaged(tmp_path)
    assert (found.rows, found.retired) == (10, 31)
    with Store(tmp_path) as store:
        adapt(store, [[Request(*each[:4], b"", each.custom_id) for each in outcomes]], lambda change: True)
    assert outcomes_in(tmp_path) == outcomes


def test_every_answer_keeps_its_endpoint(tmp_path: Path) -> None:
    """Those in the results, and those that come back later; each endpoint's counts are those of its rows."""
    outcomes = [each._replace(endpoint="east" if each.row % 3 else "west") for each in answers(40)]
    with Store(tmp_path) as store:
        write_run(store, outcomes)
        forget_failed(store)
        asked = [Request(*each[:4], b"", each.custom_id) for each in outcomes]
        adapt(store, [asked[:10]], lambda change: True)
        store.note_limit(1_000, 8, "start", "east")
    break_file(tmp_path)
    salvaged(tmp_path)
    assert outcomes_in(tmp_path) == outcomes[:10]
    with Checkpoint(tmp_path) as checkpoint:
        counts = {each.endpoint: (sums.completed, sums.attempts) for each, sums in checkpoint.parts().items()}
        assert counts == {"east": (6, 26), "west": (4, 14)}
        assert [each.endpoint for each in checkpoint.endpoint_limits()] == ["east"]
    with Store(tmp_path) as store:
        adapt(store, [asked], lambda change: True)
    assert outcomes_in(tmp_path) == outcomes


def test_endpoints_that_are_lost_are_not_made_up(tmp_path: Path) -> None:
    """An answer whose source cannot be found is one of the only endpoint's."""
    outcomes = [each._replace(endpoint="east") for each in answers(40)]
    with Store(tmp_path) as store:
        write_run(store, outcomes)
        store.connection.execute("DELETE FROM sources")
    break_file(tmp_path)
    salvaged(tmp_path)
    assert outcomes_in(tmp_path) == [each._replace(endpoint="") for each in outcomes]


def test_the_next_run_is_led_to_compare_every_row(tmp_path: Path) -> None:
    """It must rely neither on the mark of settled rows nor on the input being the same, nor on the stamp of results."""
    make_checkpoint(tmp_path)
    damage(tmp_path / FILE_NAME, "pages of noise", Random(5))
    salvaged(tmp_path)
    with Checkpoint(tmp_path) as checkpoint:
        assert [checkpoint.fact(each) for each in facts.OF_PLACES] == [None] * 4
        assert checkpoint.fact(facts.JOB)["name"] == "batch"


def test_totals_are_counted_again_and_forget_no_money(tmp_path: Path) -> None:
    """Tokens of answers that are lost were paid for; what is lost of the totals too cannot be known."""
    outcomes = make_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    damage(path, "pages of noise", Random(2))
    found = salvaged(tmp_path)
    lost = len(outcomes) - found.rows
    assert lost > 0
    with Checkpoint(tmp_path) as checkpoint:
        sums = checkpoint.totals()["m"]
    assert (sums.requests, sums.completed, sums.total_tokens) == (found.rows, found.rows, 5 * len(outcomes))


def test_totals_that_are_lost_are_what_the_rows_add_up_to(tmp_path: Path) -> None:
    """No more can be known."""
    make_checkpoint(tmp_path)
    damage(tmp_path / FILE_NAME, "noise in the totals", Random(1))
    found = salvaged(tmp_path)
    assert found.expected is None
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.totals()["m"].total_tokens == 5 * found.rows


@pytest.mark.parametrize(("fact", "noted", "kept"), [(2.0, 3.0, 3.0), (4.0, 3.0, 4.0), (None, 3.0, 3.0)])
def test_the_money_that_was_spent_is_kept(tmp_path: Path, fact: float | None, noted: float, kept: float) -> None:
    """The higher of what the checkpoint knew and what was noted next to it."""
    make_checkpoint(tmp_path, 10)
    with Store(tmp_path) as store:
        if fact is not None:
            store.set_fact(facts.SPENT_USD, fact)
    with contextlib.closing(Journal(tmp_path)) as journal:
        journal.note(10, noted, 7_000)
    break_file(tmp_path)
    salvaged(tmp_path)
    with Checkpoint(tmp_path) as checkpoint:
        assert (checkpoint.fact(facts.SPENT_USD), checkpoint.fact(facts.SPENT_TOKENS)) == (kept, 7_000)
    with Store(tmp_path) as store:
        assert store.unrecorded == 0


def test_a_lost_job_is_reported(tmp_path: Path) -> None:
    """And the names of its models are asked of the answers."""
    make_checkpoint(tmp_path)
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    pages = [root_of(path, name) for name in ("facts", "models", "sqlite_autoindex_models_1")]
    for number in pages:
        data[(number - 1) * PAGE : number * PAGE] = bytes(PAGE)
    path.write_bytes(data)
    found = salvaged(tmp_path)
    assert "its job is lost" in found.notices[0]
    assert "names of models are lost" in found.notices[1]
    assert {each.model for each in outcomes_in(tmp_path)} == {"m"}


def test_a_model_that_answers_under_another_name_keeps_that_of_the_job(tmp_path: Path) -> None:
    """Where only one can be meant."""
    outcomes = [each._replace(body=body_of(each.row, "m-2024-11")) for each in answers(20)]
    with Store(tmp_path) as store:
        write_run(store, outcomes)
        store.connection.execute("DELETE FROM models")
        store.connection.execute("PRAGMA secure_delete = ON")
        store.connection.execute("VACUUM")
    found = salvaged(tmp_path)
    assert "names of models are lost" in found.notices[0]
    assert outcomes_in(tmp_path) == outcomes


def test_a_sound_checkpoint_is_left_alone(tmp_path: Path) -> None:
    """There is nothing to salvage."""
    make_checkpoint(tmp_path, 20)
    before = (tmp_path / FILE_NAME).read_bytes()
    assert recover(tmp_path) is None
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert not (tmp_path / KEPT).exists()


@pytest.mark.parametrize("content", [b"hello", b"x" * 50_000, bytes(50_000)], ids=["text", "more text", "zeros"])
def test_a_file_of_which_nothing_can_be_recovered_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """It may be somebody's data."""
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"nothing can be recovered; it was not changed.*--restart"):
        recover(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content
    assert {each.name for each in tmp_path.iterdir()} <= {FILE_NAME, ".lock", ".lock.pid"}


def test_a_newer_version_is_not_damage(tmp_path: Path) -> None:
    """It is not touched."""
    make_checkpoint(tmp_path, 5)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(RunDirectoryError, match="newer batchrun"):
        recover(tmp_path)
    assert not (tmp_path / KEPT).exists()


def test_a_directory_without_a_run_stays_as_it_is(tmp_path: Path) -> None:
    """And one that is not there is not made."""
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunDirectoryError, match="holds no run"):
            recover(directory)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_salvaged_while_it_is_running(tmp_path: Path) -> None:
    """Its checkpoint is being written."""
    make_checkpoint(tmp_path, 5)
    break_file(tmp_path)
    with DirectoryLock(tmp_path), pytest.raises(RunDirectoryError, match="in use by another run"):
        recover(tmp_path)
    assert not (tmp_path / KEPT).exists()


def test_every_damaged_file_is_kept(tmp_path: Path) -> None:
    """Under the next number."""
    make_checkpoint(tmp_path, 5)
    names = []
    for _ in range(3):
        break_file(tmp_path)
        names.append(salvaged(tmp_path).kept.name)
    assert names == [KEPT, f"damaged.2.{FILE_NAME}", f"damaged.3.{FILE_NAME}"]


def test_what_was_made_of_it_is_kept_too(tmp_path: Path) -> None:
    """It may know what is lost; and nothing that was kept before makes way for it."""
    make_checkpoint(tmp_path, 5)
    for turn in (1, 2):
        (tmp_path / "new").write_text(f"results {turn}")
        (tmp_path / "new").replace(tmp_path / "results.parquet")
        break_file(tmp_path)
        found = recover(tmp_path, ["results.parquet", "none.parquet"])
        assert found is not None
        if turn == 1:
            found.kept.unlink()
    kept = {each.name: each.read_text() for each in tmp_path.glob("before-salvage.*")}
    assert kept == {"before-salvage.results.parquet": "results 1", "before-salvage.2.results.parquet": "results 2"}


class KilledError(BaseException):
    """As if the process had ended."""


@contextlib.contextmanager
def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the process end before a file is named, removed or put in place, after so many times."""
    left = [steps]

    def counted(call: Any) -> Any:
        def step(*arguments: Any, **settings: Any) -> Any:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            return call(*arguments, **settings)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(swap.os, "link", counted(os.link))
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(swap, "_remove", counted(swap._remove))
        yield


@pytest.mark.parametrize("steps", range(6))
def test_a_salvage_that_is_killed_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """At every step: the next one recovers the same, rows of the log included."""
    outcomes = make_torn_checkpoint(tmp_path)
    break_file(tmp_path)
    damaged = (tmp_path / FILE_NAME).read_bytes()
    with killed_after(steps, monkeypatch), pytest.raises(KilledError):
        recover(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == damaged
    found = salvaged(tmp_path)
    assert outcomes_in(tmp_path) == outcomes
    assert found.kept.read_bytes() == damaged


def test_where_a_file_can_have_only_one_name_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every file system knows links."""

    def no_links(old: Path, new: Path) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(swap.os, "link", no_links)
    outcomes = make_torn_checkpoint(tmp_path)
    break_file(tmp_path)
    salvaged(tmp_path)
    assert outcomes_in(tmp_path) == outcomes


def test_a_log_of_another_checkpoint_hides_none_of_the_rows_for_good(tmp_path: Path) -> None:
    """SQLite would take it for this one's. What it covers is kept, and comes back where it is asked."""
    (tmp_path / "other").mkdir()
    make_torn_checkpoint(tmp_path / "other", 150, 10)
    ours = [each._replace(key=bytes([each.row]) * 16, body=body_of(each.row + 1)) for each in answers(60)]
    with Store(tmp_path) as store:
        write_run(store, ours)
    (tmp_path / "other" / f"{FILE_NAME}-wal").rename(tmp_path / f"{FILE_NAME}-wal")
    found = salvaged(tmp_path)
    with Store(tmp_path) as store:
        change = adapt(store, [[Request(*each[:4], b"", each.custom_id) for each in ours]], lambda change: True)
    assert found.rows + found.retired >= 60
    assert change.kept >= 55
    assert [each for each in outcomes_in(tmp_path) if each not in ours] == []


def test_the_history_of_executions_is_kept(tmp_path: Path) -> None:
    """When a run started, stopped and paused cannot be found out again."""
    make_checkpoint(tmp_path, 10)
    with Store(tmp_path) as store:
        store.history.begin_execution(1000)
        store.history.paused("m", "timeout", 2000)
        store.history.end_execution(3000, "stopped")
    with Store(tmp_path) as store:
        store.history.begin_execution(4000)
    with Checkpoint(tmp_path) as checkpoint:
        before = checkpoint.executions(is_running=False)
    break_file(tmp_path)
    salvaged(tmp_path)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.executions(is_running=False) == before
    with Store(tmp_path) as store:
        store.history.begin_execution(5000)


@pytest.mark.parametrize("table", ["executions", "execution_totals"])
def test_a_run_goes_on_where_a_part_of_its_history_is_lost(tmp_path: Path, table: str) -> None:
    """What is left of an execution keeps its number."""
    with Store(tmp_path) as store:
        write_run(store, answers(3))
        store.history.begin_execution(1000)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(f"DELETE FROM {table}")
    connection.close()
    break_file(tmp_path)
    salvaged(tmp_path)
    with Store(tmp_path) as store:
        store.history.begin_execution(5000)
        store.history.end_execution(6000, "completed")
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.executions(is_running=False)[-1].state == "completed"


def test_the_job_of_a_newer_version_is_kept_though_it_cannot_be_read(tmp_path: Path) -> None:
    """That version can read it."""
    make_checkpoint(tmp_path, 10)
    with Store(tmp_path) as store:
        store.set_fact(facts.JOB, {**job_to_dict(JOB), "judge": {"model": "m"}})
    break_file(tmp_path)
    assert salvaged(tmp_path).notices == []
    with Checkpoint(tmp_path) as checkpoint:
        job = checkpoint.fact(facts.JOB)
    assert job is not None
    assert job["judge"] == {"model": "m"}
