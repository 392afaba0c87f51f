import pytest

from batchrun.simulator.batches.files import Files
from batchrun.simulator.errors import RejectedError


def test_files_are_kept_until_they_are_deleted():
    files = Files()
    first, second = files.add("a", "batch", b"1"), files.add("b", "batch_output", b"22")
    assert files.all(None) == [second, first]
    assert files.all("batch") == [first]
    assert second.entry["bytes"] == 2
    files.delete(first.id)
    with pytest.raises(RejectedError):
        files.find(first.id)
