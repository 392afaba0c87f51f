from batchrun.records import BatchFigures
from batchrun.report.batches import batch_table, batch_text, batches_text, ended_texts

RUNNING = BatchFigures(1, "batch_a", "in_progress", 40, 12, 3, 90_000)
LATER = BatchFigures(2, "", "uploading", 1, 0, 0, None)


def test_what_is_under_way_has_states_counts_and_the_first_end() -> None:
    assert batches_text((RUNNING,), 30_000) == "1 batch: 1 in progress, 15/40 answered, expires in 1 min 00 s"
    assert (
        batches_text((RUNNING, LATER), 30_000)
        == "2 batches: 1 in progress, 1 uploading, 15/41 answered, the first expires in 1 min 00 s"
    )


def test_none_is_named_too() -> None:
    """Such as while room in the provider's queue is waited for."""
    assert batches_text((), 0) == "no batch under way"


def test_a_batch_is_a_line() -> None:
    assert (
        batch_text(RUNNING, 30_000, is_running=True)
        == "1 batch_a in progress: 12 of 40 requests answered, 3 failed, expires in 1 min 00 s"
    )
    assert batch_text(LATER, 0, is_running=True) == "2 uploading: 1 request"


def test_of_a_run_that_has_stopped_a_batch_is_shown_as_it_was_seen_last() -> None:
    """The provider continues with it, at most until it expires."""
    text = "1 batch_a in progress when last looked at: 12 of 40 requests answered, 3 failed"
    assert batch_text(RUNNING, 30_000, is_running=False) == f"{text}, expires in 1 min 00 s"
    assert batch_text(RUNNING, 90_000, is_running=False) == f"{text}, has ended or expired since"


def test_a_batch_that_the_provider_may_not_have_has_no_counts() -> None:
    not_sent, not_known = (LATER._replace(status=each) for each in ("not_sent", "not_known"))
    assert batch_text(not_sent, 0, is_running=False) == "2 not sent: 1 request"
    assert batch_text(not_known, 0, is_running=False) == (
        "2 perhaps created, as the run ended just then: 1 request; the same command looks for it"
    )


def test_the_table_has_model_state_counts_end_and_time_left_of_each_batch() -> None:
    batches = [RUNNING._replace(model="m"), LATER._replace(status="not_known", model="n")]
    table = batch_table(batches, ["3 batches collected"], 30_000, lambda at_ms: f"at {at_ms}", is_running=True)
    heads = ["batch", "model", "state", "requests", "answered", "failed", "expires", "time left"]
    assert [list(row) for row in table.rows] == [heads, heads]
    assert [list(row.values()) for row in table.rows] == [
        ["1 batch_a", "m", "in progress", "40", "12", "3", "at 90000", "1 min 00 s"],
        ["2", "n", "perhaps created, as the run ended just then", "1", "–", "–", "–", "–"],
    ]
    assert table.note == "Also 3 batches collected. Time left as of at 30000."


def test_the_table_says_that_a_run_has_stopped_and_what_has_expired_since() -> None:
    table = batch_table([RUNNING], [], 90_000, str, is_running=False)
    assert table.rows[0]["time left"] == "has ended or expired since"
    assert table.note.startswith("No command looks after these now")


def test_a_table_of_many_batches_counts_those_that_it_leaves_out() -> None:
    table = batch_table([RUNNING] * 103, [], 0, str, is_running=True)
    assert len(table.rows) == 100
    assert table.note.startswith("Also 3 more batches not collected. ")


def test_each_end_of_batches_is_named() -> None:
    assert ended_texts({"collected": 1, "not_taken": 2, "gone": 0, "given_up": 0}) == [
        "1 batch collected",
        "2 batches not taken by the provider",
    ]
