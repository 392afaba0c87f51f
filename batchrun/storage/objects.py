"""Object stores through pyarrow's file systems: S3 and compatible stores, Google Cloud Storage, Azure.

Credentials are found where the vendors' own tools find them: environment, their files, the metadata of their machines.
"""

import ctypes
import functools
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pyarrow as pa
from pyarrow import fs as arrow

from batchrun.errors import InputError
from batchrun.storage import azure
from batchrun.storage.remote import Found, RemoteFile
from batchrun.storage.urls import Place, refuse_empty_names

_PIECE_BYTES = 32 << 20
"""Written at once, then flushed: otherwise pyarrow buffers everything that the disk delivers ahead of the network."""

_PATIENCE = "retry_limit_seconds=20"
"""Without it, Google's client retries silently for 15 minutes without network or login. Uploads keep that."""

_GOOGLE = ("gs", "gcs")
_AZURE = ("az", "abfs", "abfss")

_LOGINS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in: aws configure",
    **dict.fromkeys(_GOOGLE, "log in: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"),
    **dict.fromkeys(_AZURE, "set AZURE_STORAGE_KEY or AZURE_STORAGE_CONNECTION_STRING, or log in: az login"),
}

_UNKNOWN_CALLER = re.compile(
    "OAuth2 access token|UNAUTHENTICATED|AuthenticationException|failed to authenticate|] 401 "
)
"""In messages, since these clients' errors have no types: there are no credentials, or they are not valid."""

_DENIED = re.compile("ACCESS_DENIED|PERMISSION_DENIED|] 403 ")
"""The credentials are valid but do not permit this."""


class _UnknownCallerError(PermissionError):
    """There are no valid credentials."""


def look(place: Place) -> Found | None:
    """Return the file at a URL; None for a folder, and where nothing exists. Raises `OSError`."""
    with _translated(place):
        system, path = _located(place)
        info = system.get_file_info(path)
    return _found(place, info) if info.type == arrow.FileType.File else None


def files(place: Place, *, is_deep: bool) -> list[Found]:
    """Return the files in a folder. Raises `OSError`, and `InputError` where the bucket does not exist."""
    with _translated(place):
        system, path = _located(place)
        infos = system.get_file_info(arrow.FileSelector(path, allow_not_found=True, recursive=is_deep))
    if not infos:
        check_upload(place)
    outside = len(path) - len(place.key.strip("/"))
    found = [info for info in infos if info.type == arrow.FileType.File]
    return [_found(place.with_key(info.path[outside:].lstrip("/")), info) for info in found]


def open_file(found: Found) -> RemoteFile:
    """Open a file for reading. Raises `OSError`, and `InputError` where it has changed since it was found."""
    with _translated(found.place):
        system, path = _located(found.place)
        native = system.open_input_file(path)
    return RemoteFile(lambda offset, size: _part(found, native, offset, size), found.size_bytes, native.close)


def fetch(found: Found, offset: int, size: int) -> bytes:
    """Return a part of a file that is opened only for it. Raises what `open_file` and its reads raise."""
    with _translated(found.place):
        system, path = _located(found.place)
        native = system.open_input_file(path)
    with native:
        return _part(found, native, offset, size)


def _part(found: Found, native: Any, offset: int, size: int) -> bytes:
    place = found.place
    with _translated(place):
        data = bytes(native.read_at(size, offset))
        system, path = _located(place)
        info = system.get_file_info(path)
    if _found(place, info) != found:  # checked after each part: pyarrow reads whatever exists by then
        raise InputError(f"{place}: has changed while it was read; run the same command again")
    return data


def check_upload(place: Place) -> None:
    """Refuse a bucket that does not exist, and invalid credentials. Raises `InputError` and `OSError`."""
    try:
        with _translated(place):
            system, path = _located(place)
            found = system.get_file_info(path.partition("/")[0])
    except _UnknownCallerError:
        raise
    except PermissionError:
        return  # permission to write does not include permission to look
    if found.type == arrow.FileType.NotFound:
        raise InputError(f"{place}: there is no such bucket; create it first, or correct its name")


def upload(paths: Sequence[Path], place: Place, advance: Callable[[], None] = lambda: None) -> None:
    """Upload files to a folder, in their order, each visible completely or not at all.

    Args:
        paths: of the files.
        place: of the folder.
        advance: called after each piece.

    Raises:
        OSError: a file could not be read or written.
    """
    check_upload(place)
    with _translated(place):
        system, folder = _located(place, is_patient=True)
        for path in paths:
            _put(system, path, f"{folder}/{path.name}" if folder else path.name, advance)


def _put(system: Any, source: Path, path: str, advance: Callable[[], None]) -> None:
    """Write one file. It becomes visible completely, after its last byte, or not at all.

    In S3 and Google's store a file becomes visible when the stream is closed. In Azure it is visible while it grows:
    there it is written under another name first and then copied.
    """
    if not isinstance(system, arrow.AzureFileSystem):
        _write(system, source, path, advance)
        return
    folder, _, name = path.rpartition("/")
    _sweep(system, folder, name)
    temporary = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"
    try:
        _write(system, source, temporary, advance)
        system.copy_file(temporary, path)
    finally:
        if system.get_file_info(temporary).type != arrow.FileType.NotFound:
            system.delete_file(temporary)


def _sweep(system: Any, folder: str, name: str) -> None:
    """Remove what killed uploads of this file left behind. An upload that still runs would fail and report it."""
    leftover = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    for info in system.get_file_info(arrow.FileSelector(folder, allow_not_found=True)):
        if leftover.fullmatch(info.base_name):
            system.delete_file(info.path)


def _write(system: Any, source: Path, path: str, advance: Callable[[], None]) -> None:
    size = source.stat().st_size
    with pa.OSFile(str(source)) as file:
        stream = system.open_output_stream(path, compression=None)
        _keep_open(stream)
        left = size
        while left:
            piece = file.read_buffer(min(left, _PIECE_BYTES))
            if not piece.size:
                raise OSError(f"{source}: became shorter while it was uploaded; upload it again")
            stream.write(piece)
            stream.flush()
            left -= piece.size
            advance()
        stream.close()
        _release(stream)
    try:
        found = system.get_file_info(path)
    except (OSError, pa.ArrowException) as problem:
        if _DENIED.search(str(problem)):
            return  # permission to write does not include permission to look
        raise
    if found.size != size:
        cure = "check that nothing else writes it, and upload it again"
        raise OSError(f"{path}: has {found.size} bytes there instead of {size}; {cure}")


def _keep_open(stream: Any) -> None:
    """Keep a stream from being closed implicitly: by an exception, by the garbage collector or at exit.

    Closing makes the object visible, and pyarrow's streams close themselves when they are dropped, even after an error
    and with only a part of the data; they cannot be aborted. A failed stream stays open until the process ends. Its
    parts stay in the store, where they are not visible. Source: apache/arrow, issue 40502, and `tests/real`.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))


def _release(stream: Any) -> None:
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(stream))


def _found(place: Place, info: arrow.FileInfo) -> Found:
    return Found(place, info.size or 0, _version(info))


def _version(info: arrow.FileInfo) -> str:
    """Return the time of writing in seconds: a listing may be less precise than a look at one file."""
    return "" if info.mtime_ns is None else str(info.mtime_ns // 10**9)


def _located(place: Place, *, is_patient: bool = False) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it. `is_patient`: retry for longer."""
    refuse_empty_names(place)
    options = place.options
    if place.scheme in _GOOGLE and not is_patient and "retry_limit_seconds=" not in options:
        options += f"{'&' if options else '?'}{_PATIENCE}"
    try:
        system, base = _system(place.scheme, place.host, options)
    except (pa.ArrowException, ValueError) as problem:
        raise InputError(f"{place}: {problem}") from problem
    return system, "/".join(part for part in (base.strip("/"), place.key.strip("/")) if part)


@functools.cache
def _system(scheme: str, host: str, options: str) -> tuple[Any, str]:
    if scheme in _AZURE and not options:
        return _azure(host)
    settings = {key: values[-1] for key, values in parse_qs(options.lstrip("?")).items()}
    is_anonymous = settings.pop("anonymous", "") == "true"  # pyarrow's URLs have no such option
    if scheme == "s3" and is_anonymous:
        region = settings.pop("region", None) or arrow.resolve_s3_region(host)
        return arrow.S3FileSystem(anonymous=True, region=region, **settings), host
    user = "anonymous@" if scheme in _GOOGLE and is_anonymous else ""
    pyarrows = {"gcs": "gs", "az": "abfs"}.get(scheme, scheme)
    return arrow.FileSystem.from_uri(f"{pyarrows}://{user}{host}/?{urlencode(settings)}")  # type: ignore[no-any-return]


def _azure(host: str) -> tuple[Any, str]:
    account, container = azure.account_of(host, os.environ)
    system = arrow.AzureFileSystem(
        account.name,
        account_key=account.key,
        sas_token=account.sas_token,
        blob_storage_authority=account.authority,
        blob_storage_scheme=account.scheme,
        dfs_storage_authority=account.dfs_authority,
        dfs_storage_scheme=account.scheme,
    )
    return system, container


@contextmanager
def _translated(place: Place) -> Iterator[None]:
    """Turn every error of pyarrow, not all of which are `OSError`, into one line with the cure."""
    try:
        yield
    except InputError:
        raise
    except (OSError, pa.ArrowException) as problem:
        message, login = _message(problem), _LOGINS[place.scheme]
        if _UNKNOWN_CALLER.search(str(problem)):
            raise _UnknownCallerError(f"{message}; {login}") from problem
        if _DENIED.search(str(problem)):
            raise PermissionError(f"{message}; ask its owner for permission, or {login}") from problem
        raise (FileNotFoundError if isinstance(problem, FileNotFoundError) else OSError)(message) from problem


def _message(problem: Exception) -> str:
    """Return the message of a store's client without its wrapping, and without the signature in Azure's URLs."""
    line = str(problem).partition("\n")[0].partition(" error_info=")[0]
    line = re.sub(r"^.*with a last message of ", "", line)
    return re.sub(r"\bsig=[^&'\s]*", "sig=…", line)
