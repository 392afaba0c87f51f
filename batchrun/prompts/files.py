"""Input paths → the ordered list of files to read, and whether they are still the same."""

import difflib
import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from batchrun.errors import InputError
from batchrun.storage.places import Place, is_remote, listing, look
from batchrun.storage.remote import Found

STDIN = "-"

Format = Literal["jsonl", "parquet", "csv"]

_PACKED: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}

ENDINGS: dict[str, Format] = {
    **{ending + packing: kind for ending, kind in _PACKED.items() for packing in ("", ".gz", ".zst")},
    ".parquet": "parquet",
}
"""File ending → format. How a file is packed is read from its first bytes, whatever its name says."""

_PARQUET_MAGIC = b"PAR1"
"""First and last bytes of a Parquet file. Source: the Apache Parquet format."""


class InputFile(NamedTuple):
    """One file to read, as it was found."""

    path: str
    """`-` is standard input; of what is elsewhere, the URL."""
    name: str
    """For people: the file's name, or its path where two files share a name."""
    format: Format
    size_bytes: int
    mtime_ns: int
    """0 of what is elsewhere."""
    version: str = ""
    """Of what is elsewhere: what its store calls its content as it is now. Of a file: when its status has changed last,
    which tells also a change that kept its time."""

    @property
    def is_remote(self) -> bool:
        """Whether it is elsewhere, and its path a URL."""
        return is_remote(self.path)

    @property
    def is_stdin(self) -> bool:
        """Whether it can be read only once, and nobody knows how long it is."""
        return self.path == STDIN

    @property
    def folder(self) -> str:
        """The folder that it is in; of standard input, which is in none, empty: where one stands."""
        if self.is_remote:
            return self.path.rpartition("/")[0]
        return "" if self.is_stdin else str(Path(self.path).parent)


class InputIdentity(NamedTuple):
    """What tells one state of a file from another without reading it."""

    path: str
    """Absolute, or a URL."""
    size_bytes: int
    mtime_ns: int
    version: str = ""


def identity(file: InputFile) -> InputIdentity | None:
    """Return the file's identity as it was found; None for standard input."""
    if file.is_stdin:
        return None
    if file.is_remote:
        return InputIdentity(file.path, file.size_bytes, file.mtime_ns, file.version)
    return InputIdentity(str(Path(file.path).resolve()), file.size_bytes, file.mtime_ns, file.version)


def is_same(file: InputFile) -> bool:
    """Return whether the file is still as it was found; so is standard input, as far as anybody can tell."""
    try:
        if file.is_remote:
            return look(file.path) == Found(file.path, file.size_bytes, file.version)
        status = Path(file.path).stat() if not file.is_stdin else None
    except OSError:
        return False
    return status is None or (status.st_size, status.st_mtime_ns, str(status.st_ctime_ns)) == (
        file.size_bytes,
        file.mtime_ns,
        file.version,
    )


def fingerprint(files: Iterable[InputFile]) -> str:
    """Return 32 hex digits that change when a file does; empty when standard input is among them."""
    identities = [identity(file) for file in files]
    if None in identities:
        return ""
    return hashlib.blake2b(repr(identities).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def find_files(paths: Sequence[str]) -> list[InputFile]:
    """Return the files that paths, globs, folders and `-` stand for; each path's files sorted, paths in their order.

    Raises:
        InputError: a path stands for no file, for one of unknown format, or for one that cannot be read.
    """
    if paths.count(STDIN) > 1:
        raise InputError("-: standard input can be read only once; name it once")
    try:
        found = [each for path in paths for each in (_remote_files(path) if is_remote(path) else _local_files(path))]
    except OSError as problem:
        raise InputError(f"{problem.filename}: cannot be read: {problem.strerror}") from problem
    names = Counter(file.name for file in found)
    return [file if names[file.name] == 1 or file.is_stdin else file._replace(name=file.path) for file in found]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint that ends a message about an unknown word: the known one nearest to it, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _remote_files(url: str) -> list[InputFile]:
    try:
        if not Place.of(url).is_glob and (found := look(url)) is not None:
            return [_remote_file(found)]
        root, all_found = listing(url)
        known = [_remote_file(each) for each in all_found if _is_known(_parts(each.url, root))]
    except OSError as problem:
        raise InputError(f"{url}: cannot be read: {problem.strerror or problem}") from problem
    if not known:
        what = f"no file there has a known ending ({_known_endings()})" if all_found else "there is nothing"
        raise InputError(f"{url}: {what}")
    return known


def _remote_file(found: Found) -> InputFile:
    name = _parts(found.url)[-1]
    return InputFile(found.url, name, _known_format(found.url, name), found.size_bytes, 0, found.version)


def _parts(url: str, root: str = "") -> tuple[str, ...]:
    """Return the names of folders and file below a root."""
    return tuple(Place.of(url).key.removeprefix(root).strip("/").split("/"))


def _local_files(path: str) -> Iterator[InputFile]:
    yield from map(_input_file, _expand(path))


def _expand(path: str) -> Iterator[str]:
    where = Path(path)
    if path == STDIN or where.is_file():
        yield path
    elif where.is_dir():
        known = sorted(str(each) for each in _walk(where) if _is_input(each, where))
        if not known:
            cure = next((_cure(each.name) for each in _walk(where) if each.suffix in _CURES), "")
            raise InputError(f"{path}: the folder holds no input; known endings are {_known_endings()}{cure}")
        yield from known
    elif where.is_symlink() and not where.exists():
        raise InputError(f"{path}: is a link to {where.readlink()}, which does not exist")
    elif where.exists():
        raise InputError(f"{path}: is no regular file; pipe it in and name -")
    elif glob.has_magic(path):
        matches = [each for each in _glob(path) if _is_input(Path(each), where.parent)]
        if not matches:
            raise InputError(f"{path}: matches no file with a known ending ({_known_endings()})")
        yield from matches
    else:
        raise InputError(f"{path}: no such file{_nearest_file(where)}")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and in its folders; raises `OSError` where one cannot be looked into."""

    def refuse(problem: OSError) -> None:
        raise problem

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(_NO_INPUT)]
        yield from (Path(root, name) for name in names)


def _glob(path: str) -> list[str]:
    """Return the files that match, each once: a link to a folder above it would give forty names to each."""
    found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
    return sorted({Path(each).resolve(): each for each in reversed(found)}.values())


_NO_INPUT = (".", "_")
"""What the names of hidden files and of markers such as `_SUCCESS` begin with."""


def _is_input(path: Path, root: Path) -> bool:
    """Whether a file that nobody named is input: no hidden file, no marker such as `_SUCCESS`, no stray README.

    A link to a file that does not exist is: its rows are missing.
    """
    if not _is_known(path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:]):
        return False
    return path.is_file() or (path.is_symlink() and not path.exists())


def _is_known(parts: Sequence[str]) -> bool:
    """Whether the names on the way to a file, and its own, are those of input."""
    return not any(part.startswith(_NO_INPUT) for part in parts) and _format(parts[-1]) is not None


def _format(name: str) -> Format | None:
    return next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)


def _known_format(path: str, name: str) -> Format:
    kind = _format(name)
    if kind is None:
        cure = _cure(name) or "; or pipe it in as -"
        raise InputError(f"{path}: unknown ending; known are {_known_endings()}{cure}")
    return kind


_CURES = {
    ".json": "one document of JSON becomes lines by: jq -c '.[]'",
    ".arrow": "Arrow of Hugging Face becomes Parquet by: datasets.load_from_disk(FOLDER).to_parquet(FILE)",
}
"""Ending of what is nearly input → how it becomes that."""


def _cure(name: str) -> str:
    """Return the hint that ends a message about a file of another kind, or nothing."""
    cure = _CURES.get(Path(name).suffix)
    return f" ({cure})" if cure else ""


def _known_endings() -> str:
    return ", ".join(ENDINGS)


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    return nearest(path.name, (each.name for each in path.parent.iterdir()))


def _input_file(path: str) -> InputFile:
    if path == STDIN:
        return InputFile(STDIN, "stdin", "jsonl", 0, 0)
    name = Path(path).name
    kind = _known_format(path, name)
    try:
        status = Path(path).stat()
        with Path(path).open("rb") as file:
            head = file.read(4)
            if kind == "parquet" and head:
                file.seek(max(0, status.st_size - 4))
                head = head if file.read(4) == head else b""
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if kind == "parquet" and head != _PARQUET_MAGIC:
        raise InputError(f"{path}: is no Parquet file, or was not written to its end; write it again")
    return InputFile(path, name, kind, status.st_size, status.st_mtime_ns, str(status.st_ctime_ns))
