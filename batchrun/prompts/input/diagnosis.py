"""What a file is that is not the input it was taken for, and a cure that was tried on its first bytes."""

import csv
import json
import re
import shlex
import zlib
from pathlib import Path
from typing import Any

from batchrun.errors import InputError

HEAD_BYTES = 1 << 20
"""How much of a file is looked at."""

_SIGNATURES = (
    (b"version https://git-lfs.github.com/spec/", "is a Git LFS pointer, not the file itself; fetch it: git lfs pull"),
    (b"/annex/objects/", "is a git-annex pointer, not the file itself; fetch it: git annex get FILE"),
    (b"PAR1", "is a Parquet file; give it a name that ends in .parquet"),
    (b"PARE", "is an encrypted Parquet file; write it without encryption"),
    (b"ARROW1", "is an Arrow file; write it as Parquet"),
    (
        b"\xff\xff\xff\xff",
        "is an Arrow stream; write it as Parquet: datasets.Dataset.from_file('FILE').to_parquet('a.parquet')",
    ),
    (b"FEA1", "is a Feather file; write it as Parquet"),
    (b"ORC", "is an ORC file; write it as Parquet"),
    (b"Obj\x01", "is an Avro file; write it as Parquet"),
    (b"SQLite format 3\0", "is a SQLite database; export the table as CSV"),
    (b"\x89HDF\r\n", "is an HDF5 file; write it as Parquet"),
    (b"\x93NUMPY", "is a NumPy array; write it as Parquet"),
    (b"\x80\x04\x95", "is a Python pickle; write it as Parquet"),
    (b"\x80\x05\x95", "is a Python pickle; write it as Parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook (.xls); save it as CSV UTF-8"),
    (b"%PDF-", "is a PDF document"),
    (b"BZh", "is packed by bzip2; unpack it: bunzip2 FILE"),
    (b"\xfd7zXZ\0", "is packed by xz; unpack it: unxz FILE"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive; unpack it"),
    (b"\x04\x22\x4d\x18", "is packed by lz4; unpack it: unlz4 FILE"),
)
"""First bytes → what a file is. None of these can begin JSON; of CSV only a header with exactly such a name."""

_IS_WORD = (b"ORC", b"BZh", b"FEA1", b"PAR1", b"PARE", b"ARROW1")
"""Signatures that are letters: they count only where bytes follow that are not text."""

_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


def other_kind(head: bytes, path: str = "FILE", *, may_be_text: bool = True) -> str | None:
    """Return what a file is, and the cure, if its first bytes show that it is neither JSON nor CSV in UTF-8.

    Args:
        head: its first bytes, unpacked.
        path: for commands; `FILE` where the file has no path on this machine.
        may_be_text: a text may begin with the letters of a signature.
    """
    for signature, what in _SIGNATURES:
        if head.startswith(signature) and (not may_be_text or signature not in _IS_WORD or _is_binary(head)):
            return what.replace("FILE", shlex.quote(path))
    if head.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in head or b"xl/" in head:
            return "is an Excel workbook (.xlsx) or another file of Office; save it as CSV UTF-8"
        return f"is a ZIP archive; unpack it: unzip {shlex.quote(path)}"
    if head[257:262] == b"ustar":
        return f"is a tar archive; unpack it: tar -xf {shlex.quote(path)}"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not data; download the file itself"
    return _other_encoding(head, path)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head[:4096] or not _decodes(head[:4096], "utf-8")


def _decodes(head: bytes, encoding: str) -> bool:
    """Return whether bytes are text in an encoding; the last letter may be cut."""
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as problem:
        if problem.start < len(head) - 4:
            return False
        text = head[: problem.start].decode(encoding)
    return not re.search(r"[\0-\x08\x0e-\x1f]", text)


def _other_encoding(head: bytes, path: str) -> str | None:
    """Return the cure for text of two or four bytes a letter, if reading it so makes text of it."""
    encodings = []
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encodings = ["UTF-32"]
    elif head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["UTF-16"]
    elif head[:1] and head[1:2] == b"\0":
        encodings = ["UTF-16LE"]
    elif head[:1] == b"\0" and head[1:2] not in (b"", b"\0"):
        encodings = ["UTF-16BE"]
    for encoding in encodings:
        if _decodes(head, encoding):
            command = f"iconv -f {encoding} -t UTF-8"
            return f"is {encoding[:6]}, not UTF-8; convert the file: {command_line(command, path)}"
    return None


def not_utf8(head: bytes, path: str) -> str:
    """Return what ends a message about a file that is not UTF-8: nothing where it is not text either."""
    if not _decodes(head, "cp1252"):
        return ""
    return f"; if it is Windows-1252: {command_line('iconv -f WINDOWS-1252 -t UTF-8', path)}"


def command_line(command: str, path: str, ending: str = "") -> str:
    """Return a command as it is typed to convert a file, which may be packed, into a new one next to it."""
    if path == "FILE":
        return f"{command} < FILE > NEW_FILE"
    packed = Path(path).suffix if Path(path).suffix in (".gz", ".zst") else ""
    bare = Path(path.removesuffix(packed))
    new = shlex.quote(str(bare.with_name(f"{bare.stem}.new{ending or bare.suffix}")))
    if packed:
        unpack = "gzip -dc" if packed == ".gz" else "zstd -dc"
        return f"{unpack} {shlex.quote(path)} | {command} > {new}"
    return f"{command} < {shlex.quote(path)} > {new}"


def document_problem(head: bytes, path: str) -> str:
    """Return what is wrong with a file of JSON documents on many lines, and the cure if there is one."""
    is_array = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    found = jq_filter(head)
    what = "one JSON document" if is_array or found != "." else "JSON with objects of several lines"
    if found is None:
        return "is a JSON document, not JSON Lines; write one object per line"
    command = command_line(f"jq -c {shlex.quote(found)}", path, ".jsonl")
    return f"is {what}, not JSON Lines; write one object per line: {command}"


def jq_filter(head: bytes) -> str | None:
    """Return the filter of jq that makes one object per line of JSON; None where the first bytes do not show one."""
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        return _elements(text, 0, "")
    first, end = _decoded(text, 0)
    if isinstance(first, dict):
        lists = [key for key, value in first.items() if _is_rows(value)]
        if not text[end:].strip():
            return f".[{json.dumps(lists[0])}][]" if len(lists) == 1 else "."
        return "." if text[end:].lstrip().startswith("{") else None
    wrapper = re.match(r'\{\s*("[^"\\]*")\s*:\s*\[', text)
    return None if wrapper is None else _elements(text, wrapper.end() - 1, f"[{wrapper[1]}]")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _elements(text: str, start: int, key: str) -> str | None:
    element, end = _decoded(text, start + 1)
    if not text[end:].lstrip().startswith((",", "]")):
        return None
    where = f".{key}[]"
    if isinstance(element, dict):
        return where
    return f"{where} | {{prompt: .}}" if isinstance(element, str) else None


def _decoded(text: str, start: int) -> tuple[Any, int]:
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, len(text)


def advice(path: str) -> str:
    """Return what a local file with an unknown ending is, and how to use it; nothing where its bytes show nothing."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return ""
    packed = ""
    if head.startswith(b"\x1f\x8b"):
        packed, head = ".gz", _unzipped(head)
    if what := other_kind(head, path):
        return f"; it {what}"
    ending, what = _looks_like(head)
    if ending:
        bare = path.removesuffix(packed)
        new = shlex.quote(str(Path(bare).with_suffix(ending)) + packed)
        return f"; it holds {what}: mv {shlex.quote(path)} {new}"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")):
        return f"; it {document_problem(head, path)}"
    return ""


def _unzipped(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _looks_like(head: bytes) -> tuple[str, str]:
    """Return the ending that a text should have and what it holds; empty where it is neither JSON Lines nor CSV."""
    lines = [line for line in head.split(b"\n") if line.strip()]
    whole = lines[:-1] if len(head) >= HEAD_BYTES else lines
    if not whole or not _decodes(head, "utf-8"):
        return "", ""
    if len(whole) == 1 and jq_filter(head) not in (".", None):
        return "", ""  # one object around the rows
    try:
        if all(isinstance(json.loads(line.removeprefix(b"\xef\xbb\xbf")), dict) for line in whole[:2]):
            return ".jsonl", "JSON Lines"
    except (ValueError, RecursionError):
        pass
    texts = [line.decode("utf-8", "replace") for line in whole[:100]]
    separator = delimiter(texts[0])
    widths = {len(fields) for fields in _records(texts, separator)}
    if len(texts) > 1 and len(widths) == 1 and widths != {1}:
        return ".csv", f"values separated by {_DELIMITERS[separator]}"
    return "", ""


def _records(texts: list[str], separator: str) -> list[list[str]]:
    try:
        return list(csv.reader(texts, delimiter=separator, strict=True))
    except csv.Error:
        return []


def delimiter(header: str) -> str:
    """Return what separates the columns of a CSV header."""
    return next((each for each in ",;\t|" if each in header), ",")


def refuse_other_kinds(head: bytes, name: str, path: str) -> None:
    """Refuse a file of text whose first bytes show that it is something else; raises `InputError`."""
    if what := other_kind(head, path):
        raise InputError(f"{name}: {what}")
