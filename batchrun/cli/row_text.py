"""One row in full, as text for a terminal: what was sent, and what came back."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from batchrun.cli.table import value_text, visible
from batchrun.prompts.kinds.asked import asked_in
from batchrun.records import Request

_LINE_CHARS = 60
"""Longest text that stands next to its name; longer ones stand below it."""

_SHOWN_CHARS = 80
"""Of an image or a file that are shown: its URL, or its data, which has millions."""

_ATTACHED = {"image_url": "url", "file": "file_data", "input_audio": "data", "audio_url": "url", "video_url": "url"}
"""Types of parts that are not text → the key of what they hold."""

_AS_BLOCK = ("response", "reasoning")
"""Columns that always stand below their name: they are what people look for."""


def request_lines(request: Request) -> Iterator[str]:
    """Yield what a request asks, messages by their roles, and its parameters."""
    body = orjson.loads(request.body)
    for name in asked_in(body):
        value = body.pop(name)
        if name == "messages":
            for message in value:
                yield from _block(str(message.get("role", "message")), "\n".join(_parts(message)))
        else:
            yield from _block(name, value if isinstance(value, str) else orjson.dumps(value).decode())
    del body["model"]
    if body:
        yield from _block("parameters", orjson.dumps(body).decode())


def _parts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and part.get("type") == "text":
            yield str(part.get("text"))
        elif isinstance(part, dict) and (text := _attached(part)) is not None:
            yield text
        elif part is not None:
            yield orjson.dumps(part).decode()
    if others := {name: value for name, value in message.items() if name not in ("role", "content")}:
        yield orjson.dumps(others).decode()


def _attached(part: Mapping[str, Any]) -> str | None:
    """Return the line of an image or a file; None of another part."""
    kind = str(part.get("type"))
    held = part.get(kind) if kind in _ATTACHED else None
    content = held.get(_ATTACHED[kind]) if isinstance(held, dict) else held
    if not isinstance(content, str):
        return None
    more = f"… ({len(content):,} characters)" if len(content) > _SHOWN_CHARS else ""
    return f"[{kind.removesuffix('_url').removeprefix('input_')} {content[:_SHOWN_CHARS]}{more}]"


def row_lines(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Yield the values of a row of the results that are not null: short ones next to their names, long ones below."""
    texts = {name: value_text(name, row[name]) for name in names if row[name] is not None}
    short = {name: text for name, text in texts.items() if _is_short(name, text)}
    wide = max(map(len, short), default=0)
    for name, text in texts.items():
        if name in short:
            yield f"{visible(name):<{wide}}  {text}".rstrip()
        else:
            yield from _block(name, text)


def _is_short(name: str, text: str) -> bool:
    return name not in _AS_BLOCK and len(text) <= _LINE_CHARS and "\n" not in text


def _block(name: str, text: str) -> Iterator[str]:
    yield visible(name)
    yield textwrap.indent(visible(text), "  ", lambda _: True)
