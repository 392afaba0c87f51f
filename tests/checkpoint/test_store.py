"""What is put is durable, in order, counted once, and survives whatever the disk does."""

import sqlite3
import subprocess
import sys
import threading
from math import inf
from pathlib import Path

import pytest
from harness.checkpoints import answer, failure, outcomes_in, requests, settle
from harness.descriptors import open_descriptors

from batchrun.checkpoint import facts, queue, writer
from batchrun.checkpoint.in_flight import FILE_NAME as IN_FLIGHT
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.errors import InputError, RunDirectoryError
from batchrun.records import ModelTotals, Outcome, Usage


class Wait:
    """Counts what has been committed, so that a test can wait for it."""

    def __init__(self) -> None:
        self.rows = 0
        self._more = threading.Condition()

    def __call__(self, rows: int) -> None:
        with self._more:
            self.rows += rows
            self._more.notify_all()

    def for_rows(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: self.rows >= count, timeout=60)


def put_all(store: Store, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        store.model_id(outcome.model)
        store.put(outcome)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 73, 200])
def test_what_was_put_is_read_back_as_it_was(tmp_path: Path, count: int) -> None:
    """Whatever number of rows one commit takes."""
    outcomes = [answer(each) for each in requests(*map(str, range(count)))]
    settle(tmp_path, outcomes)
    assert outcomes_in(tmp_path) == outcomes


def test_every_column_survives(tmp_path: Path) -> None:
    """Also nulls, and bytes that are not text."""
    (request,) = requests("a")
    rich = answer(request, body=bytes(range(256)), throttled=3, attempts=5, latency_s=1.25, custom_id="ö", sample=7)
    poor = answer(
        request,
        row=1,
        kind="timeout",
        usage=Usage(),
        error=None,
        body=None,
        latency_s=None,
        http_status=None,
        custom_id=None,
    )
    settle(tmp_path, [rich, poor])
    assert outcomes_in(tmp_path) == [rich, poor]


def test_results_come_in_the_order_of_row_model_and_sample(tmp_path: Path) -> None:
    """However the answers came in. Models keep the order in which the job names them."""
    (request,) = requests("a")
    places = [(row, model, sample) for row in range(3) for model in ("z", "a") for sample in range(2)]
    outcomes = [answer(request, row=row, model=model, sample=sample) for row, model, sample in places]
    with Store(tmp_path) as store:
        for model in ("z", "a"):
            store.model_id(model)
        put_all(store, outcomes[::-1])
    assert [(each.row, each.model, each.sample) for each in outcomes_in(tmp_path)] == places


def test_large_answers_are_kept_whole_and_read_a_few_at_a_time(tmp_path: Path) -> None:
    """Memory is bounded by bytes, not by rows."""
    bodies = [bytes([number]) * (3 << 20) for number in range(4)]
    outcomes = [answer(each, body=body) for each, body in zip(requests(*"abcd"), bodies, strict=True)]
    settle(tmp_path, outcomes)
    with Checkpoint(tmp_path) as checkpoint:
        lists = list(checkpoint.outcomes())
    assert [outcome.body for some in lists for outcome in some] == bodies
    assert [len(some) for some in lists if some] == [2, 2]


def test_totals_are_what_the_rows_add_up_to(tmp_path: Path) -> None:
    """Model by model, and the same when read again."""
    a, b, c, d = requests(*"abcd")
    outcomes = [
        answer(a, throttled=2, attempts=3),
        failure(b),
        answer(c, usage=Usage()),
        answer(d, model="n", usage=Usage(10, 1, 11)),
    ]
    with Store(tmp_path) as store:
        put_all(store, outcomes)
        store.paid("m", Usage(1, 1, 2))
        store.attempted("m", 2, 1)
    expected = {
        "m": ModelTotals(
            requests=3,
            completed=2,
            failed=1,
            attempts=7,
            throttled=3,
            prompt_tokens=4,
            completion_tokens=3,
            total_tokens=7,
            cached_tokens=1,
            unstated=1,
            stated_as_0=frozenset({"reasoning_tokens"}),
        ),
        "n": ModelTotals(1, 1, 0, 1, 0, 10, 1, 11),
    }
    assert store.totals == expected
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.totals() == expected


def test_a_row_is_durable_before_it_is_reported(tmp_path: Path) -> None:
    """A reader sees it, with its totals, while the writer runs."""
    wait = Wait()
    with Store(tmp_path) as store:
        store.start(wait, lambda problem: None)
        for count, request in enumerate(requests(*"abcde"), start=1):
            put_all(store, [answer(request)])
            wait.for_rows(count)
            with Checkpoint(tmp_path) as checkpoint:
                assert checkpoint.totals()["m"].completed == count
                assert sum(map(len, checkpoint.outcomes())) == count
            assert store.totals["m"].completed == count


def test_an_open_reader_sees_one_moment(tmp_path: Path) -> None:
    """Totals and outcomes agree, whatever is written between the two looks."""
    wait = Wait()
    first, second = (answer(each) for each in requests("a", "b"))
    with Store(tmp_path) as store:
        store.start(wait, lambda problem: None)
        put_all(store, [first])
        wait.for_rows(1)
        with Checkpoint(tmp_path) as checkpoint:
            totals = checkpoint.totals()
            put_all(store, [second._replace(model="n")])
            wait.for_rows(2)
            assert sum(map(len, checkpoint.outcomes())) == totals["m"].completed == 1
            assert checkpoint.totals() == totals


def test_a_killed_process_keeps_what_it_had_committed(tmp_path: Path) -> None:
    """Without having closed anything."""
    program = f"""
import os, threading
from pathlib import Path
from batchrun.checkpoint.store import Store
from harness.checkpoints import answer, requests
store = Store(Path({str(tmp_path)!r})).__enter__()
store.start(lambda rows: os._exit(9), lambda problem: os._exit(1))
for request in requests(*"abc"):
    store.model_id("m")
    store.put(answer(request))
threading.Event().wait()
"""
    root = Path(__file__).parents[2]
    process = subprocess.run([sys.executable, "-c", program], cwd=root / "tests", timeout=60)
    assert process.returncode == 9
    count = len(outcomes_in(tmp_path))
    assert 1 <= count <= 3
    with Store(tmp_path) as store:
        assert store.totals["m"].completed == count


def test_facts_and_the_limits_history_are_kept(tmp_path: Path) -> None:
    """The last value of a fact counts."""
    with Store(tmp_path) as store:
        assert store.fact(facts.LIMIT) is None
        store.set_fact(facts.LIMIT, 5)
        store.set_fact(facts.LIMIT, 7)
        store.note_limit(1000, 7, "probe")
    with Store(tmp_path) as store:
        assert store.fact(facts.LIMIT) == 7
        assert store.connection.execute("SELECT * FROM limits").fetchall() == [(1000, 7, "probe")]


def test_what_is_settled_is_not_asked_again(tmp_path: Path) -> None:
    """Only the rest of a batch comes back, in its order."""
    batch = requests(*"abcdef")
    settle(tmp_path, [answer(batch[1]), failure(batch[4])])
    with Store(tmp_path) as store:
        assert store.unsettled([]) == []
        assert store.unsettled(batch) == [batch[0], batch[2], batch[3], batch[5]]
        assert store.unsettled(batch[1:2]) == []
        assert store.unsettled(requests("x", first=99)) == requests("x", first=99)


def test_models_and_samples_are_distinguished(tmp_path: Path) -> None:
    """The same row of another model or sample is another request."""
    (request,) = requests("a")
    settle(tmp_path, [answer(request)])
    others = [request._replace(model="n"), request._replace(sample=1)]
    with Store(tmp_path) as store:
        assert store.unsettled([request, *others]) == others


def test_models_are_numbered_in_the_order_of_their_first_rows(tmp_path: Path) -> None:
    """Which is that of the job: results come in it."""
    (request,) = requests("a")
    models = [f"model-{number}" for number in range(20)]
    with Store(tmp_path) as store:
        store.unsettled([request._replace(model=model) for model in models])
        assert [store.model_id(model) for model in models] == list(range(20))


def test_a_row_that_asks_something_else_than_when_it_was_settled_stops_the_run(tmp_path: Path) -> None:
    """The answers of one input must not be put next to the rows of another."""
    settle(tmp_path, [answer(each) for each in requests(*"ab")])
    with Store(tmp_path) as store, pytest.raises(InputError, match="row 1 is not what it was"):
        store.unsettled(requests("a", "other"))


def test_a_full_queue_holds_admission_back_until_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows and by bytes, however old they are."""
    batch = [answer(each) for each in requests(*"abc")]
    monkeypatch.setattr(queue, "MAX_AGE_S", inf)
    monkeypatch.setattr(queue, "MAX_QUEUED", 2)
    with Store(tmp_path) as store:
        put_all(store, batch[:1])
        assert store.has_room()
        put_all(store, batch[1:2])
        assert not store.has_room()
        wait = Wait()
        store.start(wait, lambda problem: None)
        wait.for_rows(2)
        assert store.has_room()
    monkeypatch.setattr(queue, "MAX_QUEUED_BYTES", 10)
    with Store(tmp_path) as store:
        put_all(store, batch[2:])
        assert not store.has_room()


class Broken:
    """Remembers that the writer gave up, so that a test can wait for it."""

    def __init__(self) -> None:
        self.error: RunDirectoryError | None = None
        self._reported = threading.Event()

    def __call__(self, error: RunDirectoryError) -> None:
        self.error = error
        self._reported.set()

    def wait(self) -> RunDirectoryError:
        assert self._reported.wait(10)
        assert self.error is not None
        return self.error


def fill_disk(store: Store) -> None:
    (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
    store.connection.execute(f"PRAGMA max_page_count = {pages}")


def free_disk(store: Store) -> None:
    store.connection.execute("PRAGMA max_page_count = 1000000")


BIG = [answer(each, body=b"x" * 100_000) for each in requests(*"abc")]


def test_a_full_disk_is_reported_and_nothing_is_lost_if_space_returns(tmp_path: Path) -> None:
    """What could not be written waits, in its order, and what comes after it too; closing tries once more."""
    broken, wait = Broken(), Wait()
    with Store(tmp_path) as store:
        fill_disk(store)
        store.start(wait, broken)
        put_all(store, BIG[:2])
        assert "full" in str(broken.wait())
        assert "make room" in str(broken.wait())
        store.paid("m", Usage(1, 1, 2))
        put_all(store, BIG[2:])
        assert wait.rows == 0
        assert store.totals == {}
        free_disk(store)
    assert [each.body for each in outcomes_in(tmp_path)] == [each.body for each in BIG]
    assert store.totals["m"].completed == 3
    assert store.totals["m"].prompt_tokens == 3 * 3 + 1


def test_a_disk_that_stays_full_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    """What was committed before stays; exit code 3."""
    settle(tmp_path, [answer(each) for each in requests("z", first=9)])
    store = Store(tmp_path).__enter__()
    fill_disk(store)
    put_all(store, BIG)
    with pytest.raises(RunDirectoryError, match="make room"):
        store.__exit__(None, None, None)
    assert [each.row for each in outcomes_in(tmp_path)] == [9]


def test_another_error_is_not_hidden_by_the_full_disk(tmp_path: Path) -> None:
    """The first problem is the one that is reported."""
    store = Store(tmp_path).__enter__()
    fill_disk(store)
    put_all(store, BIG)
    error = KeyError("first")
    store.__exit__(KeyError, error, None)
    assert outcomes_in(tmp_path) == []


def test_closing_while_another_thread_reads_harms_nobody(tmp_path: Path) -> None:
    """A drained run does not wait for its reader, which gets an error: the file is closed."""
    batch = requests(*map(str, range(2000)))
    settle(tmp_path, [answer(each) for each in batch])
    for _ in range(5):
        reads = threading.Event()
        ended: list[RunDirectoryError] = []

        def read(store: Store, reads: threading.Event, ended: list[RunDirectoryError]) -> None:
            try:
                while True:
                    store.unsettled(batch)
                    reads.set()
            except RunDirectoryError as error:
                ended.append(error)

        with Store(tmp_path) as store:
            thread = threading.Thread(target=read, args=(store, reads, ended))
            thread.start()
            assert reads.wait(10)
        thread.join(10)
        assert len(ended) == 1


def test_a_store_that_was_closed_gives_its_files_back(tmp_path: Path) -> None:
    """No log is left: the checkpoint can be copied as one file."""
    settle(tmp_path, [answer(each) for each in requests(*"abc")])
    assert sorted(each.name for each in tmp_path.iterdir()) == [".in_flight", "checkpoint.sqlite"]


def test_a_lock_of_somebody_else_is_an_error_of_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup tool may hold the file; what was queued is written when it lets go."""
    broken = Broken()
    with Store(tmp_path) as store:
        store.connection.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.start(lambda rows: None, broken)
        put_all(store, BIG)
        assert "locked" in str(broken.wait())
        other.execute("ROLLBACK")
        other.close()
    assert len(outcomes_in(tmp_path)) == 3


def test_what_was_sent_and_not_recorded_is_known_to_the_next_run(tmp_path: Path) -> None:
    """What was in flight, and what had come but was not written; once only."""
    batch = [answer(each) for each in requests(*"abc")]
    with Store(tmp_path) as store:
        assert store.unrecorded == 0
        store.start(Wait(), lambda problem: None)
        store.sending(2, 0.5)
        put_all(store, batch[:1])
        store.sending(4, 1.5)
    with Store(tmp_path) as store:
        assert (store.unrecorded, store.spent_usd) == (4, 1.5)
        store.start(Wait(), lambda problem: None)
        store.sending(1)
        put_all(store, batch[1:])
        store.sending(0)
    with Store(tmp_path) as store:
        assert store.unrecorded == 0


def settle_rows(directory: Path, rows: range, samples: int = 1) -> None:
    (request,) = requests("a")
    settle(directory, [answer(request, row=row, sample=sample) for row in rows for sample in range(samples)])


@pytest.mark.parametrize(
    ("settled", "samples", "marked"),
    [
        ([range(3000)], 1, 2048),
        ([range(2047)], 1, 1024),
        ([range(1000), range(1001, 4000)], 1, 0),
        ([], 1, 0),
        ([range(1100)], 2, 1024),
        ([range(1, 5000)], 1, 0),
    ],
)
def test_the_mark_stands_below_the_first_row_that_is_not_settled(
    tmp_path: Path, settled: list[range], samples: int, marked: int
) -> None:
    """In steps of 1024 rows; with all their samples."""
    for rows in settled:
        settle_rows(tmp_path, rows, samples)
    for _ in range(2):  # the second time it is known
        with Store(tmp_path) as store:
            store.expect(samples)
            assert store.settled_rows == marked
    with Store(tmp_path) as store:
        store.expect(samples + 1)
        assert store.settled_rows == marked  # was kept; an edited job counts again


def test_the_mark_moves_while_the_run_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that after a crash only the last second's rows are looked at."""
    monkeypatch.setattr(writer, "MARK_EVERY_S", 0.0)
    (request,) = requests("a")
    wait = Wait()
    with Store(tmp_path) as store:
        store.expect(1)
        store.start(wait, lambda problem: None)
        put_all(store, [answer(request, row=row) for row in range(1500)])
        wait.for_rows(1500)
        with Checkpoint(tmp_path) as checkpoint:
            assert checkpoint.fact(facts.SETTLED_ROWS) == store.settled_rows == 1024


def test_a_row_is_settled_when_all_its_samples_are(tmp_path: Path) -> None:
    """Rows of a range, also behind the last that has an outcome."""
    settle_rows(tmp_path, range(5), 2)
    (request,) = requests("a")
    settle(tmp_path, [answer(request, row=7, sample=1)])
    with Store(tmp_path) as store:
        store.expect(2)
        assert store.settled(3, 100) == {3, 4}
        assert store.settled(8, 100) == store.settled(100, 200) == set()


def test_a_store_that_cannot_be_opened_leaves_no_file_open(tmp_path: Path) -> None:
    """Whichever step fails: here the last one."""
    (tmp_path / IN_FLIGHT).mkdir()
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(RunDirectoryError, match="in_flight"):
            Store(tmp_path).__enter__()
    assert open_descriptors() == before


def test_a_store_that_closes_ends_the_work_of_another_thread_first(tmp_path: Path) -> None:
    """SQLite crashes where a connection is closed that another thread is using."""
    endless = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    began = threading.Event()
    problems: list[Exception] = []

    def work() -> None:
        try:
            with store.using() as connection:
                began.set()
                connection.execute(endless)
        except RunDirectoryError as problem:
            problems.append(problem)

    thread = threading.Thread(target=work, daemon=True)
    with Store(tmp_path) as store:
        thread.start()
        assert began.wait(10)
    thread.join(10)
    assert ["interrupted" in str(problem) for problem in problems] == [True]
