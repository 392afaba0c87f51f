import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.reader import RowReader
from batchrun.storage import hub
from batchrun.storage.urls import Place

LINES = b'{"prompt": "a"}\n' * 50


class System:
    """The Hub as a file system, with the methods that are used."""

    files: ClassVar[dict[str, bytes]] = {}
    problem: Exception | None = None

    def __init__(self, **settings: Any) -> None:
        assert settings == {"skip_instance_cache": True}

    def info(self, path: str) -> dict[str, Any]:
        if self.problem:
            raise self.problem
        if path not in self.files:
            raise FileNotFoundError(path)
        return self._info(path)

    def find(self, path: str, *, detail: bool, maxdepth: int | None) -> dict[str, Any]:
        return {name: self._info(name) for name in self.files if name.startswith(f"{path}/")}

    def open(self, path: str, mode: str, *, cache_type: str) -> Any:
        assert (mode, cache_type) == ("rb", "none"), "it would read megabytes ahead"
        content = self.files[path]
        at = [0]
        return SimpleNamespace(
            size=len(content),
            seek=lambda offset: at.__setitem__(0, offset),
            read=lambda size: content[at[0] : at[0] + size],
            close=lambda: None,
        )

    def _info(self, path: str) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": len(self.files[path]), "blob_id": f"blob{len(path)}"}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for huggingface_hub, and its commits."""
    commits: list[Any] = []
    api = SimpleNamespace(
        create_repo=lambda name, **settings: commits.append((name, settings)),
        create_commit=lambda name, operations, **settings: commits.append((name, operations, settings)),
    )
    library = SimpleNamespace(
        HfFileSystem=type("HfFileSystem", (System,), {"files": {}}),
        HfApi=lambda: api,
        CommitOperationAdd=lambda path_in_repo, path_or_fileobj: (path_in_repo, path_or_fileobj),
        get_token=lambda: "t",
        commits=commits,
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)  # type: ignore[arg-type]
    return library


def test_a_dataset_is_read_as_a_folder(library: SimpleNamespace) -> None:
    """Only its data files are found; the Hub's hash of a file identifies a version."""
    library.HfFileSystem.files |= {"datasets/u/n/data/a.jsonl": LINES, "datasets/u/n/README.md": b"x"}
    [file] = find_files(["hf://datasets/u/n"])
    assert (file.name, file.path, file.version) == ("a.jsonl", "hf://datasets/u/n/data/a.jsonl", "blob25")
    assert find_files([file.path]) == [file] == find_files(["hf://datasets/u/n/data/*.jsonl"])
    assert sum(len(rows) for rows in RowReader([file])) == 50
    library.HfFileSystem.files["datasets/u/n/data/a.jsonl"] = LINES * 2
    with pytest.raises(InputError, match="has changed since it was found"):
        list(RowReader([file]))


def test_without_the_library_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is optional."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'huggingface_hub"):
        find_files(["hf://datasets/u/n"])


def test_a_refusal_of_the_hub_says_how_to_log_in(library: SimpleNamespace) -> None:
    """The classes of the errors differ between versions of the library."""
    problem = RuntimeError("401 Client Error\nfor url")
    problem.response = SimpleNamespace(status_code=401)  # type: ignore[attr-defined]
    library.HfFileSystem.problem = problem
    with pytest.raises(InputError, match="401 Client Error for url; log in: hf auth login"):
        find_files(["hf://datasets/u/n/a.jsonl"])


@pytest.mark.parametrize(
    ("url", "name", "revision", "folder"),
    [
        ("hf://datasets/u/n", "u/n", None, ""),
        ("hf://datasets/u/n/", "u/n", None, ""),
        ("hf://datasets/u/n@pr/x/y", "u/n", "pr", "x/y/"),
        ("hf://datasets/u/n@refs%2Fpr%2F1", "u/n", "refs/pr/1", ""),
    ],
)
def test_results_become_one_commit(
    library: SimpleNamespace, url: str, name: str, revision: str | None, folder: str
) -> None:
    """All files become visible together. A new dataset is private."""
    hub.check_upload(Place.of(url))
    hub.upload([Path("out/a.parquet"), Path("out/b.json")], Place.of(url))
    made, commit = library.commits
    assert made == (name, {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert commit[:2] == (
        name,
        [(f"{folder}a.parquet", Path("out/a.parquet")), (f"{folder}b.json", Path("out/b.json"))],
    )
    assert (commit[2]["repo_type"], commit[2]["revision"]) == ("dataset", revision)


@pytest.mark.parametrize("url", ["hf://u/n", "hf://datasets/u", "hf://spaces/u/n"])
def test_results_can_only_be_uploaded_to_datasets(library: SimpleNamespace, url: str) -> None:
    """It is refused before the first request."""
    with pytest.raises(InputError, match="hf://datasets/USER/NAME"):
        hub.check_upload(Place.of(url))


def test_an_upload_needs_a_token(library: SimpleNamespace) -> None:
    """It is refused before the first request."""
    library.get_token = lambda: None
    with pytest.raises(InputError, match="HF_TOKEN"):
        hub.check_upload(Place.of("hf://datasets/u/n"))
