"""A URL in its parts, and the form of it that messages may show."""

import re
from typing import NamedTuple

from batchrun.errors import InputError

GLOB = re.compile(r"[*?[]")
"""A path with one of these is a glob."""

_OPTIONS = re.compile(r"\?\w+=[^/]*$")
"""Options at the end of a URL, such as `?region=eu-west-1`. Other question marks belong to a glob: any character."""

_SECRETS = re.compile(r"[?&]\w*(key|secret|token|sig|password)\w*=", re.IGNORECASE)
"""Options that are credentials of a store."""

_HOST = re.compile(r"([^:@\[\]]*@)?(\[[^\[\]@]+\]|[^:@\[\]]+)(:\d*)?")


class Place(NamedTuple):
    """A URL in its parts. `str` is for messages and hides what may be secret; `url` is for the store."""

    scheme: str
    host: str
    """Bucket, container or server."""
    key: str
    """The path without its first slash, not decoded."""
    options: str
    """With the question mark; may be empty."""

    @classmethod
    def of(cls, url: str) -> "Place":
        """Split a URL into its parts."""
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        found = re.search(r"[?#]", rest) if scheme in ("http", "https") else _OPTIONS.search(rest)
        rest, options = (rest[: found.start()], rest[found.start() :]) if found and scheme != "hf" else (rest, "")
        host, _, key = rest.partition("/")
        return cls(scheme, host, key, options)

    @property
    def url(self) -> str:
        """The complete URL, secrets included."""
        return f"{self._before_options}{self.options}"

    def __str__(self) -> str:
        if self.has_password:
            return f"{self.scheme}://…"
        return self._before_options + (self.options and "?…" if self.is_http else self.options)

    @property
    def _before_options(self) -> str:
        return f"{self.scheme}://{self.host}/{self.key}"

    def with_key(self, key: str) -> "Place":
        """Return another key in the same bucket."""
        return self._replace(key=key)

    @property
    def folder(self) -> str:
        """The URL of the folder, for messages."""
        return str(Place(self.scheme, self.host, self.key.rpartition("/")[0], ""))

    @property
    def is_http(self) -> bool:
        """Whether it is on an HTTP server: nothing can be listed, and queries may be signatures."""
        return self.scheme in ("http", "https")

    @property
    def is_glob(self) -> bool:
        """Whether it may name several files by a pattern."""
        return not self.is_http and GLOB.search(self.key) is not None

    @property
    def has_host(self) -> bool:
        """Whether the part for the server or bucket can be the name of one."""
        return _HOST.fullmatch(self.host) is not None

    @property
    def has_password(self) -> bool:
        """Whether there is a password before an @, even one with slashes, or among the options.

        The query of an HTTP URL is not counted: signed URLs need theirs, so it is hidden and not refused.
        """
        is_before = ":" in self.host and not self.has_host and "@" in self.host + self.key
        return is_before or (not self.is_http and _SECRETS.search(self.options) is not None)


def refuse_empty_names(place: Place) -> None:
    """Refuse a key that no client can request, though it may exist. Raises `InputError`."""
    if "//" in f"/{place.key}":
        raise InputError(f"{place}: has an empty name between two slashes, which cannot be requested; rename it")


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def shown(path: str) -> str:
    """Return a path, or a URL without its secrets, for messages, reports and everything that is published.

    `-` is what it means as an input.
    """
    if path == "-":
        return "standard input"
    return str(Place.of(path)) if is_remote(path) else path
