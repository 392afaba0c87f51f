"""The Hugging Face Hub, by its own library: the extra `hf`. The token is the one of `hf auth login`, or `HF_TOKEN`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile
from batchrun.storage.urls import Place

_DATASETS = "datasets"


def look(place: Place) -> Found | None:
    """Return the file that is there; None of a folder, and where nothing is. Raises `OSError`."""
    with _translated():
        try:
            info = _system().info(_path(place))
        except FileNotFoundError:
            return None
    return _found(info) if info["type"] == "file" else None


def files(place: Place, *, is_deep: bool) -> list[Found]:
    """Return the files in a folder; raises `OSError`."""
    with _translated():
        try:
            found = _system().find(_path(place), detail=True, maxdepth=None if is_deep else 1)
        except FileNotFoundError:
            return []
    return [_found(info) for info in found.values()]


def open_file(found: Found) -> RemoteFile:
    """Open a file for reading; raises `OSError`."""
    with _translated():
        system, path = _system(), _path(found.place)
        if _found(system.info(path))[1:] != found[1:]:
            raise InputError(f"{found.place}: has changed since it was found; run it again")
        file = system.open(path, "rb", cache_type="none")

    def fetch(offset: int, size: int) -> bytes:
        with _translated():
            file.seek(offset)
            return bytes(file.read(size))

    return RemoteFile(fetch, file.size, file.close)


def check_upload(place: Place) -> None:
    """Refuse what is no dataset, and what cannot be written to without the library, or without a token."""
    _dataset(place)
    if _hub().get_token() is None:
        raise InputError(f"{place}: needs a token that may write: hf auth login, or set HF_TOKEN")


def upload(paths: Sequence[Path], place: Place) -> None:
    """Put files into a folder of a dataset, in one commit: all of them become visible at once. Raises `OSError`.

    A dataset that does not exist is made, and is private.
    """
    repository, revision, folder = _dataset(place)
    hub = _hub()
    operations = [
        hub.CommitOperationAdd(path_in_repo=f"{folder}/{path.name}" if folder else path.name, path_or_fileobj=path)
        for path in paths
    ]
    with _translated():
        api = hub.HfApi()
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.create_commit(
            repository,
            operations,
            commit_message="Upload the results of a batchrun job",
            repo_type="dataset",
            revision=revision,
        )


def _dataset(place: Place) -> tuple[str, str | None, str]:
    """Return repository, revision and folder of `hf://datasets/USER/NAME[@REVISION][/FOLDER]`."""
    kind, *parts = _path(place).split("/")
    if kind != _DATASETS or len(parts) < 2 or not all(parts[:2]):
        raise InputError(f"{place}: results go into a dataset: hf://datasets/USER/NAME, and a folder of it if need be")
    name, _, revision = parts[1].partition("@")
    return f"{parts[0]}/{name}", revision.replace("%2F", "/") or None, "/".join(parts[2:])


def _path(place: Place) -> str:
    return f"{place.host}/{place.key}".strip("/")


def _found(info: dict[str, Any]) -> Found:
    version = str(info.get("blob_id") or info.get("xet_hash") or "")
    return Found(Place.of(f"hf://{info['name']}"), info["size"] or 0, version)


def _system() -> Any:
    """Return the Hub as a file system that has not looked at anything yet: what it has seen, it does not ask again."""
    return _hub().HfFileSystem(skip_instance_cache=True)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError("hf:// needs one more package: in the checkout of batchrun: pip install '.[hf]'") from None
    return huggingface_hub


@contextmanager
def _translated() -> Iterator[None]:
    """Turn every error of the library, and of the HTTP client below it, into an `OSError` of one line."""
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except Exception as problem:  # its HTTP client differs by version, and so do its errors
        status = getattr(getattr(problem, "response", None), "status_code", None)
        said = " ".join(str(problem).split()) or type(problem).__name__
        if status in (401, 403):
            raise PermissionError(f"{said}; log in: hf auth login, or set HF_TOKEN") from problem
        raise OSError(said) from problem
