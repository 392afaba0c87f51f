"""What a file is that is not the input it was taken for, and a cure that was tried on its first bytes."""

import codecs
import csv
import json
import re
import shlex
import zlib
from pathlib import Path

from batchrun.errors import InputError
from batchrun.prompts.input.conversion import BOM, command_line, renaming, unpacked
from batchrun.prompts.input.json_document import document_problem, jq_filter

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

_DELIMITERS = {
    each: f"values separated by {name}"
    for each, name in {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}.items()
}


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
            return "is an Excel workbook or another file of Office; give a workbook a name that ends in .xlsx"
        return f"is a ZIP archive; unpack it: unzip {shlex.quote(path)}"
    if head[257:262] == b"ustar":
        return f"is a tar archive; unpack it: tar -xf {shlex.quote(path)}"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not data; download the file itself"
    return _other_encoding(head, path)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head[:4096] or not _decodes(head[:4096], "utf-8")


def _decodes(head: bytes, encoding: str) -> bool:
    """Return whether bytes are text in an encoding; the last letter may be cut where it has several bytes."""
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as problem:
        if encoding == "cp1252" or problem.start < len(head) - 4:
            return False
        text = head[: problem.start].decode(encoding)
    return not re.search(r"[\0-\x08\x0e-\x1f]", text)


_TABLES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json")
"""Endings that say what the lines of a file are."""


def _other_encoding(head: bytes, path: str) -> str | None:
    """Return the cure for text of two or four bytes a letter, if reading it so makes text of it.

    The new file gets an ending that it can be read with. So does a table that Excel has saved as Unicode text.
    """
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
            ending, _ = _looks_like(head.decode(encoding, "ignore").encode())
            keeps = Path(unpacked(path)).suffix.lower() in _TABLES
            new = command_line(command, path, "" if keeps else ending)
            return f"is {encoding[:6]}, not UTF-8; convert the file: {new}"
    return None


def not_utf8(head: bytes, path: str) -> str:
    """Return what ends a message about a file that is not UTF-8: nothing where that is not all of one encoding."""
    is_partly = not head.decode("utf-8", "ignore").isascii()
    if is_partly or not _decodes(head, "cp1252"):
        return ""
    return f"; if it is Windows-1252: {command_line('iconv -f WINDOWS-1252 -t UTF-8', path)}"


def encoding_advice(head: bytes, path: str) -> str | None:
    """Return what ends a message about a text that is not UTF-8 throughout; None where it is.

    Args:
        head: its first bytes, unpacked.
        path: for commands.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
    except UnicodeDecodeError:
        return not_utf8(head, path)
    return None


def advice(path: str) -> str:
    """Return what a local file with an unknown ending is, and how to use it; nothing where its bytes show nothing."""
    try:
        with Path(path).open("rb") as file:
            return content_advice(file.read(HEAD_BYTES), path)
    except OSError:
        return ""


def content_advice(head: bytes, path: str = "FILE") -> str:
    """Return what a file with an unknown ending is, and how to use it; nothing where its bytes show nothing.

    Args:
        head: its first bytes, as they are packed: all of them where they are fewer than `HEAD_BYTES`.
        path: for commands.
    """
    if head.startswith(b"\x1f\x8b"):
        head = _unzipped(head)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "; it is packed by zstd; give it a name that also says what is in it, such as .jsonl.zst"
    if what := other_kind(head, path):
        return f"; it {what}"
    ending, what = _looks_like(head)
    if ending:
        return f"; it holds {what}{renaming(path, ending)}"
    if head.lstrip(BOM + b" \t\r\n").startswith((b"[", b"{")):
        return f"; it {document_problem(head, path, is_whole=len(head) < HEAD_BYTES)}"
    return ""


def other_content(head: bytes, path: str) -> str | None:
    """Return what a text file holds, and the cure, if its lines are not prompts: JSON, or columns with tabs."""
    ending, what = _looks_like(head)
    if ending == ".jsonl" or what == _DELIMITERS["\t"]:
        return f"holds {what}, not a prompt in each line{renaming(path, ending)}"
    return document_problem(head, path) if jq_filter(head) is not None else None


_FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "csv"}


def misnamed(head: bytes, kind: str, path: str) -> str:
    """Return what ends a message about a text that holds another format than its ending says; else nothing.

    Args:
        head: its first bytes, unpacked.
        kind: the format of its ending.
        path: for commands.
    """
    ending, what = _looks_like(head)
    if ending and _FORMATS[ending] != kind:
        return f"; it holds {what}{renaming(path, ending)}"
    is_json = head.lstrip(BOM + b" \t\r\n").startswith((b"{", b"["))
    return f"; if each line is a prompt{renaming(path, '.txt')}" if kind == "jsonl" and head and not is_json else ""


def holds_json_lines(head: bytes) -> bool:
    """Return whether a text is JSON Lines: its first line is an object, and not one around the rows."""
    lines = [line for line in head.removeprefix(BOM).split(b"\n") if line.strip()]
    try:
        is_object = isinstance(json.loads(lines[0]), dict)
    except (ValueError, RecursionError):
        return False
    return is_object and (len(lines) > 1 or jq_filter(head) in (".", None))


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
        if all(isinstance(json.loads(line.removeprefix(BOM)), dict) for line in whole[:2]):
            return ".jsonl", "JSON Lines"
    except (ValueError, RecursionError):
        pass
    texts = [line.decode("utf-8", "replace") for line in whole[:100]]
    separator = delimiter(texts[0])
    widths = {len(fields) for fields in _records(texts, separator)}
    if len(texts) > 1 and len(widths) == 1 and widths != {1}:
        return ".tsv" if separator == "\t" else ".csv", _DELIMITERS[separator]
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
