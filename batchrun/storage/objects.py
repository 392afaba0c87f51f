"""Object stores through pyarrow's file systems: S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials are found as the vendors' own tools find them: in the environment, in their files, on their machines.
"""

import ctypes
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pyarrow as pa
from pyarrow import fs as arrow

from batchrun.errors import InputError
from batchrun.storage.places import Place
from batchrun.storage.remote import Found, RemoteFile

_PIECE_BYTES = 64 << 20
"""Handed to the store at once, and waited for: else pyarrow holds all that the disk is faster than the network."""


def look(url: str) -> Found | None:
    """Return the file with this URL; None of a folder, and where nothing is. Raises `OSError`."""
    system, path = _located(url)
    info = system.get_file_info(path)
    return Found(url, info.size or 0, _version(info)) if info.type == arrow.FileType.File else None


def files(url: str, *, is_deep: bool) -> list[Found]:
    """Return the files in a folder; raises `OSError`."""
    system, path = _located(url)
    place = Place.of(url)
    outside = len(path) - len(place.key.strip("/"))
    infos = system.get_file_info(arrow.FileSelector(path, allow_not_found=True, recursive=is_deep))
    return [
        Found(place.beside(info.path[outside:].lstrip("/")), info.size or 0, _version(info))
        for info in infos
        if info.type == arrow.FileType.File
    ]


def open_file(url: str) -> RemoteFile:
    """Open a file for reading; raises `OSError`."""
    system, path = _located(url)
    native = system.open_input_file(path)
    return RemoteFile(lambda offset, size: bytes(native.read_at(size, offset)), native.size(), native.close)


def check_upload(url: str) -> None:
    """Refuse a bucket that is not there; raises `InputError` and `OSError`. Who may write need not be let look."""
    system, path = _located(url)
    try:
        found = system.get_file_info(path.partition("/")[0])
    except OSError as problem:
        if "ACCESS_DENIED" not in str(problem):
            raise
    else:
        if found.type == arrow.FileType.NotFound:
            raise InputError(f"{url}: there is no such bucket")


def upload(paths: Sequence[Path], url: str) -> None:
    """Put files into a folder, in their order, each visible whole or not at all; raises `OSError`."""
    system, folder = _located(url)
    for path in paths:
        put(system, path, f"{folder}/{path.name}" if folder else path.name)


def put(system: Any, source: Path, path: str) -> None:
    """Write one file. It becomes visible whole, when its last byte is there, or not at all.

    What is written to S3 and to Google's store shows when the stream is closed. In Azure it shows as it grows: there a
    file is written under another name first, and copied.
    """
    if isinstance(system, arrow.AzureFileSystem):
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{os.getpid()}.tmp"
        try:
            _write(system, source, temporary)
            system.copy_file(temporary, path)
        finally:
            if system.get_file_info(temporary).type != arrow.FileType.NotFound:
                system.delete_file(temporary)
        return
    _write(system, source, path)


def _write(system: Any, source: Path, path: str) -> None:
    size = source.stat().st_size
    with pa.OSFile(str(source)) as file:
        stream = system.open_output_stream(path, compression=None)
        _keep_open(stream)
        left = size
        while left:
            piece = file.read_buffer(min(left, _PIECE_BYTES))
            if not piece.size:
                raise OSError(f"{source}: became shorter while it was uploaded")
            stream.write(piece)
            stream.flush()
            left -= piece.size
        stream.close()
        _let_go(stream)
    found = system.get_file_info(path)
    if found.size != size:
        raise OSError(f"{path}: has {found.size} bytes there instead of {size}; was something else writing it?")


def _keep_open(stream: Any) -> None:
    """Have a stream never be closed by its end: not by an exception, not by the garbage collector, not at exit.

    Closing is what makes the object visible, and pyarrow's streams close themselves when they are dropped, after an
    error too, with what they had until then; they have no way to give up. One that failed is left to the process's end,
    and its parts to the store, where nobody sees them. Source: apache/arrow, issue 40502, and `tests/real`.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))


def _let_go(stream: Any) -> None:
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(stream))


def _version(info: arrow.FileInfo) -> str:
    """Return when it was written: to the second, since a listing may say it more coarsely than a look."""
    return "" if info.mtime_ns is None else str(info.mtime_ns // 10**9)


def _located(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path there."""
    place = Place.of(url)
    try:
        system, base = _system(place.scheme, place.host, place.options)
    except (pa.ArrowException, ValueError) as problem:
        raise InputError(f"{url}: {problem}") from problem
    return system, "/".join(part for part in (base.strip("/"), place.key.strip("/")) if part)


@functools.cache
def _system(scheme: str, host: str, options: str) -> tuple[Any, str]:
    if scheme == "az":
        return _azure(host), host
    if scheme == "s3" and "anonymous=true" in options:
        return _public(host, options), host
    return arrow.FileSystem.from_uri(f"{'gs' if scheme == 'gcs' else scheme}://{host}/{options}")  # type: ignore[no-any-return]


def _public(bucket: str, options: str) -> Any:
    """Return S3 without credentials, for buckets that everybody may read. pyarrow's URLs cannot say that."""
    said = {key: values[-1] for key, values in parse_qs(options.lstrip("?")).items() if key != "anonymous"}
    region = said.pop("region", None) or arrow.resolve_s3_region(bucket)
    return arrow.S3FileSystem(anonymous=True, region=region, **said)


def _azure(container: str) -> Any:
    """Return Azure as the variables of its own command line say."""
    account, key = os.environ.get("AZURE_STORAGE_ACCOUNT"), os.environ.get("AZURE_STORAGE_KEY") or None
    if not account:
        cure = f"set AZURE_STORAGE_ACCOUNT, or write abfs://{container}@ACCOUNT.dfs.core.windows.net/"
        raise InputError(f"az://{container}: names no storage account; {cure}")
    sas_token = None if key else os.environ.get("AZURE_STORAGE_SAS_TOKEN") or None
    return arrow.AzureFileSystem(account, account_key=key, sas_token=sas_token)
