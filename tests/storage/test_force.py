"""A file or a folder is forced to the disk, and nothing is left open."""

import os
from pathlib import Path

import pytest
from harness.descriptors import open_descriptors

from batchrun.storage.force import force, force_names


def test_files_and_folders_are_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as itself."""
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: forced.append(os.fstat(handle).st_ino))
    (tmp_path / "a").write_bytes(b"content")
    before = open_descriptors()
    force(tmp_path / "a")
    force(tmp_path)
    assert forced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
    assert open_descriptors() == before


def test_what_is_not_there_cannot_be_forced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        force(tmp_path / "a")


def test_names_are_forced_where_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system can force a folder."""
    asked: list[int] = []

    def refuse(handle: int) -> None:
        asked.append(os.fstat(handle).st_ino)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    before = open_descriptors()
    force_names(tmp_path)
    assert asked == [tmp_path.stat().st_ino]
    assert open_descriptors() == before
