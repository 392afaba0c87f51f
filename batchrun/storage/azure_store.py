"""Azure's store, read and written in a process of its own.

pyarrow's client for it ends the process that it is in when it cannot read a reply: C++ code throws an exception that
nobody catches. Source: apache/arrow, issues 44269 and 44286; seen in `tests/real` as "Failed to parse xml". It also
waits for a reply as long as the connection stays open: against Azurite in 12 of 750 calls, for 7 to 29 s, mostly for
the release of a lease after a deletion. Where the server does not close the connection, that is for ever.
"""

from collections.abc import Sequence
from pathlib import Path

from batchrun.storage import objects
from batchrun.storage.apart import Apart, advance
from batchrun.storage.remote import Found, RemoteFile
from batchrun.storage.urls import Place

_apart = Apart("pyarrow's client for Azure")

_PATIENCE_S = 600.0
"""For calls that send many requests without a report: a page of a listing takes about a second, and a container of a
million files has 200; an upload reports every 32 MiB, which is 56 kB/s. Other calls send one or two requests.
"""


def look(place: Place) -> Found | None:
    """See `objects`; so are the functions that follow."""
    return _apart.call(objects.look, place)


def files(place: Place, *, is_deep: bool) -> list[Found]:  # noqa: D103
    return _apart.call(_files, place, is_deep, patience_s=_PATIENCE_S)


def open_file(found: Found) -> RemoteFile:  # noqa: D103
    return RemoteFile(lambda offset, size: _apart.call(objects.fetch, found, offset, size), found.size_bytes)


def check_upload(place: Place) -> None:  # noqa: D103
    _apart.call(objects.check_upload, place)


def upload(paths: Sequence[Path], place: Place) -> None:  # noqa: D103
    _apart.call(_upload, [path.absolute() for path in paths], place, patience_s=_PATIENCE_S)


def _files(place: Place, is_deep: bool) -> list[Found]:  # calls have no keywords
    return objects.files(place, is_deep=is_deep)


def _upload(paths: Sequence[Path], place: Place) -> None:
    objects.upload(paths, place, advance)
