"""The door to what is elsewhere: a place → its store, the files it stands for, and one of them open for reading."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile, RemoteStream
from batchrun.storage.urls import GLOB, Place, refuse_empty_names

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https")
"""What is known, as the part of a URL before `://`."""


class Store(Protocol):
    """What keeps files. All of it raises `OSError`, and `InputError` where something must be done first."""

    def look(self, place: Place) -> Found | None:
        """Return the file that is there; None of a folder, and where nothing is."""

    def files(self, place: Place, *, is_deep: bool) -> list[Found]:
        """Return the files in a folder, `is_deep`: and in its folders; none where no folder is."""

    def open_file(self, found: Found) -> RemoteFile | RemoteStream:
        """Open a file for reading, and refuse what is no longer as it was found."""

    def check_upload(self, place: Place) -> None:
        """Refuse a folder that cannot be written to, as far as that can be told without writing."""

    def upload(self, paths: Sequence[Path], place: Place) -> None:
        """Put local files into a folder, in their order, each visible whole or not at all."""


def look(place: Place) -> Found | None:
    """Return the file that is there now; None where there is none. Raises `OSError`, `InputError`."""
    return None if not place.key or place.key.endswith("/") else store_of(place).look(place)


def open_found(found: Found) -> RemoteFile | RemoteStream:
    """Open a file for reading; raises `OSError`, and `InputError` where it has changed."""
    return store_of(found.place).open_file(found)


def listing(place: Place) -> tuple[str, list[Found]]:
    """Return the files in a folder, or those that match a glob, sorted; and the key that they are all below.

    Raises:
        OSError: they cannot be listed.
        InputError: nobody knows how to.
    """
    root, pattern = _taken_apart(place)
    found = store_of(place).files(place.beside(root), is_deep=len(pattern) > 1 or "**" in pattern)
    wanted = sorted(each for each in found if covers(place, each.place))
    for each in wanted:
        refuse_empty_names(each.place)  # before any of the others is asked
    return root, wanted


def covers(place: Place, file: Place) -> bool:
    """Return whether a file is one of those that a folder or a glob stands for, should it exist."""
    root, pattern = _taken_apart(place)
    inside = file.key.removeprefix(root and f"{root}/")
    is_below = not root or inside != file.key
    return is_below and file[:2] == place[:2] and _matches(inside.lstrip("/").split("/"), pattern)


def _taken_apart(place: Place) -> tuple[str, list[str]]:
    """Return the key up to where a glob begins, and the glob, as its parts; that of a folder is all that is in it."""
    parts = place.key.strip("/").split("/")
    plain = next((index for index, part in enumerate(parts) if place.is_glob and GLOB.search(part)), len(parts))
    return "/".join(parts[:plain]), parts[plain:] or ["**"]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a glob, both as their parts; `**` is any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def store_of(place: Place) -> Store:
    """Return what keeps the files of a place; raises `InputError` where nothing does that is known."""
    if place.scheme == "file":
        raise InputError(f"{place}: name a file of this machine by its path alone")
    _refuse_secrets(place)
    if place.is_http:
        from batchrun.storage import web

        return web
    if place.scheme == "hf":
        from batchrun.storage import hub

        return hub
    if place.scheme in SCHEMES:
        from batchrun.storage import objects

        return objects
    known = ", ".join(f"{each}://" for each in SCHEMES)
    raise InputError(f"{place}: {place.scheme}:// is unknown; known are {known}")


def _refuse_secrets(place: Place) -> None:
    """Refuse what holds a password: it stays in the checkpoint."""
    if place.has_password:
        raise InputError(
            f"{place}: holds a password, which would be kept with the run; set it in the environment, as the store's "
            "own tools read it"
        )
    if not place.has_host:
        raise InputError(f"{place}: what stands after :// is no name of a server or bucket")
