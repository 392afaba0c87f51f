"""The Hugging Face Hub through its own library, the extra `hf`. The token comes from `HF_TOKEN` or `hf auth login`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile
from batchrun.storage.urls import Place

_DATASETS = "datasets"


def look(place: Place) -> Found | None:
    """Return the file at a URL; None for a folder, and where nothing exists. Raises `OSError`."""
    with _translated():
        try:
            info = _system().info(_path(place))
        except FileNotFoundError:
            return None
    return _found(info) if info["type"] == "file" else None


def files(place: Place, *, is_deep: bool) -> list[Found]:
    """Return the files in a folder. Raises `OSError`."""
    with _translated():
        try:
            found = _system().find(_path(place), detail=True, maxdepth=None if is_deep else 1)
        except FileNotFoundError:
            return []
    return [_found(info) for info in found.values()]


def open_file(found: Found) -> RemoteFile:
    """Open a file for reading. Raises `OSError`."""
    with _translated():
        system, path = _system(), _path(found.place)
        if _found(system.info(path))[1:] != found[1:]:
            raise InputError(f"{found.place}: has changed since it was found; run the same command again")
        file = system.open(path, "rb", cache_type="none")

    def fetch(offset: int, size: int) -> bytes:
        with _translated():
            file.seek(offset)
            return bytes(file.read(size))

    return RemoteFile(fetch, file.size, file.close)


def check_upload(place: Place) -> None:
    """Refuse URLs that are not datasets, and uploads without the library or without a token."""
    _dataset(place)
    if _hub().get_token() is None:
        raise InputError(f"{place}: needs a token that may write; run: hf auth login, or set HF_TOKEN")


def upload(paths: Sequence[Path], place: Place) -> None:
    """Upload files to a folder of a dataset in one commit: all become visible at once. Raises `OSError`.

    A dataset that does not exist is created as a private one.
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
        raise InputError(
            f"{place}: must be a dataset, such as hf://datasets/USER/NAME or hf://datasets/USER/NAME/FOLDER"
        )
    name, _, revision = parts[1].partition("@")
    return f"{parts[0]}/{name}", revision.replace("%2F", "/") or None, "/".join(parts[2:])


def _path(place: Place) -> str:
    return f"{place.host}/{place.key}".strip("/")


def _found(info: dict[str, Any]) -> Found:
    version = str(info.get("blob_id") or info.get("xet_hash") or "")
    return Found(Place.of(f"hf://{info['name']}"), info["size"] or 0, version)


def _system() -> Any:
    """Return the Hub as a new file system: an old one answers from its cache."""
    return _hub().HfFileSystem(skip_instance_cache=True)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            "hf:// needs the package huggingface_hub; install it: pip install 'huggingface_hub>=0.30'"
        ) from None
    return huggingface_hub


@contextmanager
def _translated() -> Iterator[None]:
    """Turn every error of the library and of its HTTP client into an `OSError` of one line."""
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except Exception as problem:  # its HTTP client, and so its errors, differ by version
        status = getattr(getattr(problem, "response", None), "status_code", None)
        message = " ".join(str(problem).split()) or type(problem).__name__
        if status in (401, 403):
            raise PermissionError(f"{message}; log in: hf auth login, or set HF_TOKEN") from problem
        raise OSError(message) from problem
