from batchrun.simulator.batches.batch import Batch


def test_its_object_has_the_time_of_each_state_and_counts_what_was_answered():
    batch = Batch("/v1/chat/completions", "file-1", "24h", None, 100.0, 200.0)
    batch.become("in_progress", 101.0)
    batch.answered(b"{}", {"prompt_tokens": 3, "completion_tokens": 4})
    batch.answered(b"{}", None)
    entry = batch.entry
    assert (entry["in_progress_at"], entry["completed_at"], entry["expires_at"]) == (101, None, 200)
    assert (entry["request_counts"]["completed"], entry["request_counts"]["failed"]) == (1, 1)
    assert entry["usage"]["total_tokens"] == 7
    assert not batch.is_done
