"""Outcomes that leave the results are kept, and the counts are right after that."""

from pathlib import Path

from harness.checkpoints import answer, failure, requests, settle

from batchrun.checkpoint.retired import has_retired_answers, last_retired, recount, retire
from batchrun.checkpoint.store import Store


def test_what_is_retired_is_kept_behind_what_was_retired_before(tmp_path: Path) -> None:
    a, b, c = requests(*"abc")
    settle(tmp_path, [answer(a), failure(b), answer(c)])
    with Store(tmp_path) as store, store.using() as connection:
        retire(connection, "kind IS NOT NULL")
        assert (last_retired(connection), has_retired_answers(connection)) == (1, False)
        retire(connection, f"id = {store.id_of(c)}")
        assert (last_retired(connection), has_retired_answers(connection)) == (2, True)
        recount(connection)
        store.reload()
        sums = store.totals["m"]
        assert (sums.completed, sums.failed, sums.attempts, sums.prompt_tokens) == (1, 0, 3, 6)
        keys = [key.rstrip(b".") for (key,) in connection.execute("SELECT key FROM retired ORDER BY rowid")]
        assert keys == [b"b", b"c"]
