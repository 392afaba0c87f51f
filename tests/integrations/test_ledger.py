"""What has been published is known the next time."""

from pathlib import Path

import pytest

from batchrun.errors import RunDirectoryError
from batchrun.integrations.ledger import FILE_NAME, Ledger


def test_what_was_sent_is_known_the_next_time(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.unsent(["a", "b"]) == {"a", "b"}
        ledger.add(["a"])
        ledger.add(["a", "c"])
        ledger.note("evaluation", {"is_done": False})
        ledger.note("evaluation", {"is_done": True})
    with Ledger(tmp_path) as ledger:
        assert ledger.unsent(["a", "b", "c"]) == {"b"}
        assert ledger.fact("evaluation") == {"is_done": True}
        assert ledger.fact("other") is None


def test_a_ledger_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, but some text" * 100)
    with pytest.raises(RunDirectoryError, match=r"published.sqlite.*deleted, it is made anew"), Ledger(tmp_path):
        pass
