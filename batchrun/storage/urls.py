"""A URL in its parts, and as much of it as people may see."""

import re
from typing import NamedTuple

from batchrun.errors import InputError

GLOB = re.compile(r"[*?[]")
"""Makes a path a glob."""

_OPTIONS = re.compile(r"\?\w+=[^/]*$")
"""Options at the end of a URL, such as `?region=eu-west-1`; another question mark stands for any character."""

_SECRETS = re.compile(r"[?&]\w*(key|secret|token|sig|password)\w*=", re.IGNORECASE)
"""Options that open a store."""

_HOST = re.compile(r"([^:@\[\]]*@)?(\[[^\[\]@]+\]|[^:@\[\]]+)(:\d*)?")


class Place(NamedTuple):
    """A URL in its parts. Its `str` is for people, without what may be secret; who asks the store takes `url`."""

    scheme: str
    host: str
    """Bucket, container or server."""
    key: str
    """The path, without a slash at its beginning; percent signs and all as it stands."""
    options: str
    """With the question mark; may be empty."""

    @classmethod
    def of(cls, url: str) -> "Place":
        """Take a URL apart."""
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        found = re.search(r"[?#]", rest) if scheme in ("http", "https") else _OPTIONS.search(rest)
        rest, options = (rest[: found.start()], rest[found.start() :]) if found and scheme != "hf" else (rest, "")
        host, _, key = rest.partition("/")
        return cls(scheme, host, key, options)

    @property
    def url(self) -> str:
        """All of it, with what may be secret."""
        return f"{self._before_options}{self.options}"

    def __str__(self) -> str:
        if self.has_password:
            return f"{self.scheme}://…"
        return self._before_options + (self.options and "?…" if self.is_http else self.options)

    @property
    def _before_options(self) -> str:
        return f"{self.scheme}://{self.host}/{self.key}"

    def beside(self, key: str) -> "Place":
        """Return the place of another key in the same bucket."""
        return self._replace(key=key)

    @property
    def folder(self) -> str:
        """The URL of the folder, for people."""
        return str(Place(self.scheme, self.host, self.key.rpartition("/")[0], ""))

    @property
    def is_http(self) -> bool:
        """Whether it is on a server that lists nothing, and whose queries may be signatures."""
        return self.scheme in ("http", "https")

    @property
    def is_glob(self) -> bool:
        """Whether it may stand for what matches it."""
        return not self.is_http and GLOB.search(self.key) is not None

    @property
    def has_host(self) -> bool:
        """Whether what stands for a server or bucket can be the name of one."""
        return _HOST.fullmatch(self.host) is not None

    @property
    def has_password(self) -> bool:
        """Whether there is one before an @, slashes in it or not, or among the options.

        The query of HTTP may have one: there nothing else opens a file, so that it is hidden, and not refused.
        """
        is_before = ":" in self.host and not self.has_host and "@" in self.host + self.key
        return is_before or (not self.is_http and _SECRETS.search(self.options) is not None)


def refuse_empty_names(place: Place) -> None:
    """Refuse a key that no store can be asked for, though it may exist; raises `InputError`."""
    if "//" in f"/{place.key}":
        raise InputError(f"{place}: holds an empty name, between two slashes, which cannot be reached")


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def shown(path: str) -> str:
    """Return a path, or a URL without its secrets: what stands in messages, in reports and in what is published."""
    return str(Place.of(path)) if is_remote(path) else path
