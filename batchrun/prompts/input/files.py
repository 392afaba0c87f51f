"""Input paths → the ordered list of files to read, and whether they are still the same."""

import difflib
import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from batchrun.errors import InputError
from batchrun.job.encodings import is_utf8
from batchrun.prompts.input.diagnosis import HEAD_BYTES, advice, content_advice, other_kind
from batchrun.prompts.input.endings import (
    NO_INPUT,
    Format,
    has_format,
    hint,
    is_known,
    known_endings,
    known_format,
    named_hint,
    parted_sheet,
)
from batchrun.prompts.input.folders import RESULTS_FILE, is_run_directory, job_hint, run_hint
from batchrun.prompts.input.frame import is_frame, shown_input
from batchrun.storage.places import listing, look, open_found
from batchrun.storage.remote import Found
from batchrun.storage.urls import Place, is_remote, shown

STDIN = "-"

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
    found: Found | None = None
    """What is elsewhere, as its store has it."""
    sheet: str = ""
    """Name of the sheet of a workbook; empty for the first one."""
    encoding: str = ""
    """Of a text; empty for UTF-8."""

    @property
    def shown(self) -> str:
        """The path, for people: without what may be secret in a URL."""
        return shown_input(self.path) if self.found is None else str(self.found.place)

    @property
    def is_stdin(self) -> bool:
        """Whether it can be read only once, and nobody knows how long it is."""
        return self.path == STDIN

    @property
    def for_commands(self) -> str:
        """The path as a command names it; `FILE` where there is none on this machine."""
        return "FILE" if self.is_stdin or self.found is not None else self.path

    @property
    def folder(self) -> str:
        """The folder of the file; empty for what is not a user's file, which means the current directory."""
        if self.found is not None:
            return self.found.place.folder
        return "" if self.is_stdin or is_frame(self.path) else str(Path(self.path).parent)


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
    if file.found is not None:
        return InputIdentity(file.path, file.size_bytes, file.mtime_ns, file.version)
    sheet = f"#{file.sheet}" if file.sheet else ""
    return InputIdentity(f"{Path(file.path).resolve()}{sheet}", file.size_bytes, file.mtime_ns, file.version)


def is_same(file: InputFile) -> bool:
    """Return whether the file is still as it was found; so is standard input, as far as anybody can tell."""
    try:
        if file.found is not None:
            return look(file.found.place) == file.found
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


def find_files(paths: Sequence[str], encoding: str | None = None) -> list[InputFile]:
    """Return the files that paths, globs, folders and `-` stand for; each path's files sorted, paths in their order.

    Texts are in the encoding, UTF-8 unless given.

    Raises:
        InputError: a path stands for no file, for one of unknown format, or for one that cannot be read.
    """
    if paths.count(STDIN) > 1:
        raise InputError("-: standard input can be read only once; name it once")
    try:
        found = [each for path in paths for each in (_remote_files(path) if is_remote(path) else _local_files(path))]
    except OSError as problem:
        raise InputError(f"{problem.filename}: cannot be read: {problem.strerror}") from problem
    if encoding is not None and not is_utf8(encoding):
        found = [file._replace(encoding=encoding) for file in found]
    names = Counter(file.name for file in found)
    return [file if names[file.name] == 1 or file.is_stdin else file._replace(name=file.shown) for file in found]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint that ends a message about an unknown word: the known one nearest to it, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _remote_files(url: str) -> list[InputFile]:
    place = Place.of(url)
    try:
        if (found := _looked(place)) is not None:
            name = _parts(place)[-1]
            return [_remote_file(found, "" if has_format(name) else content_advice(_remote_head(found)))]
        root, all_found = listing(place)
        pattern = place.key if place.is_glob else ""
        known = [_remote_file(each) for each in all_found if is_known(_parts(each.place, root), pattern)]
        cure = "" if known or not all_found else _remote_hint(all_found)
    except OSError as problem:
        raise InputError(f"{shown(url)}: cannot be read: {problem.strerror or problem}") from problem
    if not known:
        what = f"no file there has a known ending ({known_endings()})" if all_found else "there is nothing"
        raise InputError(f"{shown(url)}: {what}{cure}")
    return known


def _remote_hint(all_found: Sequence[Found]) -> str:
    """Return how to use the files of a remote folder without input: by the first bytes of one, or by their names."""
    other = next((each for each in all_found if not has_format(_parts(each.place)[-1])), None)
    if other is not None and (what := content_advice(_remote_head(other))):
        return f"; {_parts(other.place)[-1]}{what.replace('; it ', ' ', 1)}"
    return next(filter(None, (named_hint(str(each.place)) for each in all_found)), "")


def _remote_head(found: Found) -> bytes:
    with open_found(found) as stream:
        return stream.read(HEAD_BYTES)


def _looked(place: Place) -> Found | None:
    """Return the file of exactly this name: a star in it is a star, as in the name of a local file."""
    try:
        return look(place)
    except PermissionError:
        if place.is_glob:
            return None  # who may list a folder need not be let ask for what is not there
        raise


def _remote_file(found: Found, cure: str = "") -> InputFile:
    name = _parts(found.place)[-1]
    kind = known_format(str(found.place), name, cure)
    return InputFile(found.place.url, name, kind, found.size_bytes, 0, found.version, found)


def _parts(place: Place, root: str = "") -> tuple[str, ...]:
    """Return the names of folders and file below a root."""
    return tuple(place.key.removeprefix(root).strip("/").split("/"))


def _local_files(path: str) -> Iterator[InputFile]:
    if is_run_directory(Path(path)):
        yield _run_file(path)
        return
    path, sheet = parted_sheet(path)
    for file in map(_input_file, _expand(path)):
        yield file._replace(name=f"{file.name}#{sheet}", sheet=sheet) if sheet else file


def _run_file(directory: str) -> InputFile:
    """Return the results of a run, known by its directory."""
    if not Path(directory, RESULTS_FILE).exists():
        cure = f"run it first, or write those that it has: batchrun export {directory}"
        raise InputError(f"{directory}: is a run without results; {cure}")
    file = _input_file(str(Path(directory, RESULTS_FILE)))
    return file._replace(name=Path(directory).resolve().name, format="run")


def _expand(path: str) -> Iterator[str]:
    where = Path(path)
    if path == STDIN or where.is_file():
        yield path
    elif where.is_dir():
        known = sorted(str(each) for each in _walk(where) if _is_input(each, where))
        if not known:
            cure = run_hint(where) or job_hint(where) or hint(map(str, _walk(where)))
            raise InputError(f"{path}: the folder holds no input; known endings are {known_endings()}{cure}")
        yield from known
    elif where.is_symlink() and not where.exists():
        raise InputError(f"{path}: is a link to {where.readlink()}, which does not exist")
    elif where.exists():
        raise InputError(f"{path}: is not a regular file; pipe its content to standard input and use - as the path")
    elif glob.has_magic(path):
        found = _glob(path)
        matches = [each for each in found if _is_input(Path(each), where.parent, where.name)]
        if not matches:
            raise InputError(f"{path}: matches no file with a known ending ({known_endings()}){hint(found)}")
        yield from matches
    else:
        raise InputError(f"{path}: no such file{_nearest_file(where)}")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and in its folders; raises `OSError` where one cannot be looked into."""

    def refuse(problem: OSError) -> None:
        raise problem

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [
            name for name in folders if not name.startswith(NO_INPUT) and not is_run_directory(Path(root, name))
        ]
        yield from (Path(root, name) for name in names)


def _glob(path: str) -> list[str]:
    """Return the files that match, each once: a link to a folder above it would give forty names to each."""
    found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
    return sorted({Path(each).resolve(): each for each in reversed(found)}.values())


def _is_input(path: Path, root: Path, pattern: str = "") -> bool:
    """Whether a file that nobody named is input: no hidden file, no marker such as `_SUCCESS`, no stray README.

    A link to a file that does not exist is: its rows are missing.
    """
    if not is_known(path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:], pattern):
        return False
    return path.is_file() or (path.is_symlink() and not path.exists())


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    return nearest(path.name, (each.name for each in path.parent.iterdir()))


def _input_file(path: str) -> InputFile:
    if path == STDIN:
        return InputFile(STDIN, "stdin", "jsonl", 0, 0)
    name = Path(path).name
    is_whole = False
    kind = known_format(path, name, "" if has_format(name) else advice(path))
    try:
        status = Path(path).stat()
        with Path(path).open("rb") as file:
            head = file.read(1 << 12)
            if kind == "parquet" and head:
                file.seek(max(0, status.st_size - 4))
                is_whole = head[:4] == file.read(4) == _PARQUET_MAGIC
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror}") from problem
    if kind == "parquet" and not is_whole:
        what = None if head.startswith(_PARQUET_MAGIC) else other_kind(head, path, may_be_text=False)
        raise InputError(f"{path}: {what or 'is not a Parquet file, or is incomplete; write it again'}")
    shown_name = shown_input(path) if is_frame(path) else name
    return InputFile(path, shown_name, kind, status.st_size, status.st_mtime_ns, str(status.st_ctime_ns))
