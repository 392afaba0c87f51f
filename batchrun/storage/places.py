"""The entry to storage: finds the store of a URL, lists its files, and opens one of them for reading."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile, RemoteStream
from batchrun.storage.urls import GLOB, Place, refuse_empty_names

_AZURE = ("az", "abfs", "abfss")

SCHEMES = ("s3", "gs", "gcs", *_AZURE, "hf", "http", "https")
"""The supported schemes: the part of a URL before `://`."""


class Store(Protocol):
    """A store of files. Every method raises `OSError`, and `InputError` where the user must act first."""

    def look(self, place: Place) -> Found | None:
        """Return the file at a URL; None for a folder, and where nothing exists."""

    def files(self, place: Place, *, is_deep: bool) -> list[Found]:
        """Return the files in a folder, with `is_deep` also in its subfolders; nothing where no folder exists."""

    def open_file(self, found: Found) -> RemoteFile | RemoteStream:
        """Open a file for reading. Refuse one that has changed since it was found."""

    def check_upload(self, place: Place) -> None:
        """Refuse a folder that cannot be written to, as far as this can be known without writing."""

    def upload(self, paths: Sequence[Path], place: Place) -> None:
        """Upload local files to a folder, in their order. Each becomes visible completely or not at all."""


def look(place: Place) -> Found | None:
    """Return the file that exists there now, or None. Raises `OSError`, `InputError`."""
    return None if not place.key or place.key.endswith("/") else store_of(place).look(place)


def open_found(found: Found) -> RemoteFile | RemoteStream:
    """Open a file for reading. Raises `OSError`, and `InputError` where it has changed."""
    return store_of(found.place).open_file(found)


def listing(place: Place) -> tuple[str, list[Found]]:
    """Return the key that all files are below, and the sorted files: of a folder, or those that match a glob.

    Raises:
        OSError: they cannot be listed.
        InputError: the scheme is not supported.
    """
    root, pattern = _split_glob(place)
    found = store_of(place).files(place.with_key(root), is_deep=len(pattern) > 1 or "**" in pattern)
    wanted = sorted(each for each in found if covers(place, each.place))
    for each in wanted:
        refuse_empty_names(each.place)  # before any file is opened
    return root, wanted


def covers(place: Place, file: Place) -> bool:
    """Return whether a file would belong to a folder or a glob, if it existed."""
    root, pattern = _split_glob(place)
    inside = file.key.removeprefix(root and f"{root}/")
    is_below = not root or inside != file.key
    return is_below and file[:2] == place[:2] and _matches(inside.lstrip("/").split("/"), pattern)


def _split_glob(place: Place) -> tuple[str, list[str]]:
    """Return the key before the glob, and the parts of the glob; for a folder, a glob of everything in it."""
    parts = place.key.strip("/").split("/")
    plain = next((index for index, part in enumerate(parts) if place.is_glob and GLOB.search(part)), len(parts))
    return "/".join(parts[:plain]), parts[plain:] or ["**"]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a glob, both as lists of parts. `**` matches any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def store_of(place: Place) -> Store:
    """Return the store of a URL. Raises `InputError` for an unknown scheme."""
    if place.scheme == "file":
        raise InputError(f"{place}: a file of this machine is named by its path, without file://")
    _refuse_secrets(place)
    if place.is_http:
        from batchrun.storage import web

        return web
    if place.scheme == "hf":
        from batchrun.storage import hub

        return hub
    if place.scheme in _AZURE:
        from batchrun.storage import azure_store

        return azure_store
    if place.scheme in SCHEMES:
        from batchrun.storage import objects

        return objects
    known = ", ".join(f"{each}://" for each in SCHEMES)
    raise InputError(f"{place}: {place.scheme}:// is not supported; use one of {known}")


def _refuse_secrets(place: Place) -> None:
    """Refuse a URL with a password: it would be stored in the checkpoint."""
    if place.has_password:
        raise InputError(
            f"{place}: holds a password, which would be stored with the run; set it in the environment variable that "
            "the store's own tools read"
        )
    if not place.has_host:
        raise InputError(f"{place}: the part after :// is not the name of a server or bucket")
