"""The door to what is elsewhere: a URL → its store, the files it stands for, and one of them open for reading."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from batchrun.errors import InputError
from batchrun.storage.remote import Found, RemoteFile

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https")
"""What is known, as the part of a URL before `://`."""

_MAGIC = re.compile(r"[*?[]")

_OPTIONS = re.compile(r"\?\w+=[^/]*$")
"""Options at the end of a URL, such as `?region=eu-west-1`; another question mark stands for any character."""


class Store(Protocol):
    """What keeps files. All of it raises `OSError`, and `InputError` where something must be done first."""

    def look(self, url: str) -> Found | None:
        """Return the file with this URL; None of a folder, and where nothing is."""

    def files(self, url: str, *, is_deep: bool) -> list[Found]:
        """Return the files in a folder, `is_deep`: and in its folders; none where no folder is."""

    def open_file(self, url: str) -> RemoteFile:
        """Open a file for reading."""

    def check_upload(self, url: str) -> None:
        """Refuse a folder that cannot be written to, as far as that can be told without writing."""

    def upload(self, paths: Sequence[Path], url: str) -> None:
        """Put local files into a folder, in their order, each visible whole or not at all."""


class Place(NamedTuple):
    """A URL in its parts."""

    scheme: str
    host: str
    """Bucket, container or server."""
    key: str
    """The path, without a slash at its beginning."""
    options: str
    """With the question mark; may be empty."""

    @classmethod
    def of(cls, url: str) -> "Place":
        """Take a URL apart; what stands between the host and the options is as it stands, percent signs included."""
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        found = re.search(r"[?#]", rest) if scheme in ("http", "https") else _OPTIONS.search(rest)
        rest, options = (rest[: found.start()], rest[found.start() :]) if found else (rest, "")
        host, _, key = rest.partition("/")
        return cls(scheme, host, key, options)

    def beside(self, key: str) -> str:
        """Return the URL of another key in the same bucket."""
        return f"{self.scheme}://{self.host}/{key}{self.options}"

    @property
    def is_glob(self) -> bool:
        """Whether it stands for what matches it; an HTTP server lists nothing."""
        return self.scheme not in ("http", "https") and _MAGIC.search(self.key) is not None


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def look(url: str) -> Found | None:
    """Return the file with this URL, as it is now; None when there is none. Raises `OSError`, `InputError`."""
    return None if url.endswith("/") else store_of(url).look(url)


def open_url(url: str) -> RemoteFile:
    """Open a file for reading; raises `OSError`, `InputError`."""
    return store_of(url).open_file(url)


def listing(url: str) -> tuple[str, list[Found]]:
    """Return the files in a folder, or those that match a glob, sorted; and the key that they are all below.

    Raises:
        OSError: they cannot be listed.
        InputError: nobody knows how to.
    """
    place = Place.of(url)
    root, pattern = _taken_apart(place)
    found = store_of(url).files(place.beside(root), is_deep=len(pattern) > 1 or "**" in pattern)
    return root, sorted(each for each in found if covers(url, each.url))


def covers(url: str, file: str) -> bool:
    """Return whether a file is one of those that a folder or a glob stands for, should it exist."""
    place, its = Place.of(url), Place.of(file)
    root, pattern = _taken_apart(place)
    inside = its.key.removeprefix(root and f"{root}/")
    is_below = not root or inside != its.key
    return is_below and its[:2] == place[:2] and _matches(inside.lstrip("/").split("/"), pattern)


def _taken_apart(place: Place) -> tuple[str, list[str]]:
    """Return the key up to where a glob begins, and the glob, as its parts; that of a folder is all that is in it."""
    parts = place.key.strip("/").split("/")
    plain = next((index for index, part in enumerate(parts) if place.is_glob and _MAGIC.search(part)), len(parts))
    return "/".join(parts[:plain]), parts[plain:] or ["**"]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a glob, both as their parts; `**` is any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def store_of(url: str) -> Store:
    """Return what keeps the files of a URL; raises `InputError` where nothing does that is known."""
    scheme = url.partition("://")[0].lower()
    _refuse_secrets(url)
    if scheme in ("http", "https"):
        from batchrun.storage import web

        return web
    if scheme == "hf":
        from batchrun.storage import hub

        return hub
    if scheme in SCHEMES:
        from batchrun.storage import objects

        return objects
    if scheme == "file":
        raise InputError(f"{url}: name a file of this machine by its path alone")
    raise InputError(f"{url}: {scheme}:// is unknown; known are {', '.join(f'{each}://' for each in SCHEMES)}")


def _refuse_secrets(url: str) -> None:
    """Refuse a URL that holds a password: it stays in the checkpoint, and in messages."""
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    if at and ":" in user:
        raise InputError(
            f"{url.partition('://')[0]}://…: holds a password, which would be kept with the run; set it in the "
            "environment, as the store's own tools read it"
        )
