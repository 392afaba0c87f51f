"""JSON documents that are not JSON Lines: what is wrong with them, and the command that makes JSON Lines of them."""

import json
import re
import shlex
from typing import Any

from batchrun.prompts.input.conversion import BOM, command_line, renaming


def document_problem(head: bytes, path: str, *, is_whole: bool = False) -> str:
    """Return what is wrong with a file of JSON documents on many lines, and the cure if there is one.

    Args:
        head: its first bytes, unpacked.
        path: for commands.
        is_whole: whether these are all of its bytes.
    """
    is_array = head.lstrip(BOM + b" \t\r\n").startswith(b"[")
    found = jq_filter(head)
    what = "one JSON document" if is_array or found != "." else "JSON with objects of several lines"
    if is_whole and (problem := _json_problem(head)):
        return f"is not whole JSON: {problem}; download or write it again"
    if found is None:
        return "is a JSON document, not JSON Lines; write one object per line"
    if is_array and path != "FILE":
        return f"is {what}, not JSON Lines{renaming(path, '.json')}"
    command = command_line(f"jq -c {shlex.quote(found)}", path, ".jsonl")
    return f"is {what}, not JSON Lines; write one object per line: {command}"


def _json_problem(text: bytes) -> str | None:
    """Return why JSON documents one after the other cannot be read to their end; None where they can."""
    document = text.decode("utf-8", "replace").removeprefix("\ufeff").rstrip()
    place = 0
    try:
        while place < len(document):
            place += len(document[place:]) - len(document[place:].lstrip())
            _, place = json.JSONDecoder().raw_decode(document, place)
    except json.JSONDecodeError as problem:
        is_cut = problem.pos >= len(document) or problem.msg.startswith("Unterminated string")
        return "it ends too early" if is_cut else f"{problem.msg} (line {problem.lineno}, column {problem.colno})"
    except RecursionError:
        return "it is nested too deeply"
    return None


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
