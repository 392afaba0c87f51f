"""Shell commands that make input of a file that nearly is: a new file next to it, or another name for it."""

import shlex
from pathlib import Path

BOM = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""

CR_TO_LF = r"tr '\r' '\n'"
"""Ends lines as everybody does that end as on old Macs."""

_UNPACK = {".gz": "gzip -dc", ".zst": "zstd -dc"}


def command_line(command: str, path: str, ending: str = "") -> str:
    """Return a command as it is typed to convert a file, which may be packed, into a new one next to it."""
    if path == "FILE":
        return f"{command} < FILE > NEW_FILE"
    bare = Path(unpacked(path))
    new = shlex.quote(str(bare.with_name(f"{bare.stem}.new{ending or bare.suffix}")))
    if (unpack := _UNPACK.get(_packing(path))) is None:
        return f"{command} < {shlex.quote(path)} > {new}"
    # gzip and zstd look at the name only where they read a file, not where they read a pipe.
    return f"{unpack} < {shlex.quote(path)} | {command} > {new}"


def unpacked(path: str) -> str:
    """Return the path without the ending of a packed file."""
    return path.removesuffix(Path(path).suffix) if Path(path).suffix in _UNPACK else path


def _packing(path: str) -> str:
    """Return the ending that a local file should have for how it is packed; that of its name if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError:
        return Path(path).suffix
    return ".gz" if head.startswith(b"\x1f\x8b") else ".zst" if head == b"\x28\xb5\x2f\xfd" else ""


def renaming(path: str, ending: str) -> str:
    """Return how to give a file another ending: the command, or what to do where there is no path for commands."""
    if path == "FILE":
        return f"; give it a name that ends in {ending}"
    new = shlex.quote(str(Path(unpacked(path)).with_suffix(ending)) + _packing(path))
    return f": mv {shlex.quote(path)} {new}"
