from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import BatchRow
from batchrun.engine.batches.files import note_batch, note_run, remove_files, remove_folder
from batchrun.errors import RunDirectoryError

BATCH = BatchRow._make([3, *[None] * (len(BatchRow._fields) - 1)])


def test_nothing_is_left_of_a_batch_whose_note_was_cut_short_as_it_was_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_run(tmp_path, {"key": "salt"})
    note_batch(tmp_path, BATCH)

    def cut(path: Path, target: Any) -> None:
        raise OSError(5, "the power went")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        for note in (lambda: note_batch(tmp_path, BATCH), lambda: note_run(tmp_path, {"key": "pepper"})):
            with pytest.raises(RunDirectoryError, match="the power went"):
                note()
    assert len([*tmp_path.glob("batches/*.part")]) == 2
    remove_files(tmp_path, 3)
    remove_folder(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_the_folder_stays_while_a_batch_is_left(tmp_path: Path) -> None:
    note_run(tmp_path, {"key": "salt"})
    note_batch(tmp_path, BATCH)
    remove_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("batches/*")) == ["0003.json", "run.json"]
