"""What a refused execution has written goes, and nothing else."""

from pathlib import Path

from batchrun.engine.new_files import NewFiles

WRITTEN = ("checkpoint.sqlite", "checkpoint.sqlite-wal", ".in_flight", "input.jsonl")


def test_what_was_not_there_before_goes(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "new"
    new = NewFiles(directory)
    directory.mkdir(parents=True)
    for name in WRITTEN:
        (directory / name).touch()
    new.remove()
    new.remove_folders()
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    """So does what another run puts into a new folder meanwhile."""
    (tmp_path / "input.jsonl").touch()
    here, there = NewFiles(tmp_path), NewFiles(tmp_path / "new")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.json").touch()
    for each in (here, there):
        each.remove()
        each.remove_folders()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["input.jsonl", "new", "run.json"]
