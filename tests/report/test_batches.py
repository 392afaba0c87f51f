from batchrun.records import BatchFigures
from batchrun.report.batches import batch_text, batches_text

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
        batch_text(RUNNING, 30_000)
        == "1 batch_a in progress: 12 of 40 requests answered, 3 failed, expires in 1 min 00 s"
    )
    assert batch_text(LATER, 0) == "2 uploading: 0 of 1 request answered"
