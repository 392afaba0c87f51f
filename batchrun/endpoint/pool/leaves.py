"""Splits the body of an error into its leaves, and tells texts that people read from codes. Pure.

Servers agree on no shape, and a gateway wraps the words of the server behind it. So no key has to be known: every text
of the body is a leaf, in the order of the body, also those inside a text that is JSON itself. A text with spaces is
words, and so is a single plain word, and a text in a script that writes no spaces. A text without spaces that has other
characters than letters is a code.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

_DEPTH = 10
"""Deepest level that is read: an error in a gateway's `metadata.raw` in a list has six."""

_MOST_ITEMS = 32
"""How many items of one object or list are read."""

_MOST_LEAVES = 1_000

_CODE_CHARS = 100

_SKIPPED = re.compile(r"stack|trace|(^|_|-|request|session|correlation)id$|^(input|inputs|prompt|failed_generation)$")
"""Keys of ids, of traces, and of what the row itself sent or the model wrote: none of it says what went wrong, and the
words of a prompt must not decide. Source of the echoes: FastAPI's `input`, Groq's `failed_generation`."""

_OF_REQUEST = frozenset({"param", "params", "parameter", "loc", "location", "field", "fields", "path", "model"})
"""Keys whose values name a part of the request: they are not codes."""

_BY_FIELD = "errors"
"""Key of an object that has a list of texts for each field that was sent. Source: Laravel, ASP.NET."""

_NAMES_A_CODE = re.compile(r"(code|type|status|object|errno|kind)$")
"""Keys whose single words are codes."""

_NUMBERED = re.compile(r"(code|status|errno|error|type|reason)$")
"""Keys whose numbers are codes; any other number counts something."""


class Leaf(NamedTuple):
    """A value that holds no others."""

    key: str
    """In lower case; of a text in a list, the key of the list; otherwise empty."""
    value: Any

    @property
    def is_words(self) -> bool:
        """Whether it is written for people."""
        text = self.value
        if not isinstance(text, str):
            return False
        if len(text.split()) > 1 or not text.isascii():
            return any(map(str.isalpha, text))
        return text.strip().rstrip(".!?,;:").isalpha() and not _NAMES_A_CODE.search(self.key)

    @property
    def is_name(self) -> bool:
        """Whether it is the name of something that was sent."""
        return isinstance(self.value, str) and self.key in _OF_REQUEST and self.key != "model"

    @property
    def is_code(self) -> bool:
        """Whether it is written for programs."""
        if type(self.value) is int:
            return _NUMBERED.search(self.key) is not None
        text = self.value
        if (
            not isinstance(text, str)
            or not 0 < len(text) <= _CODE_CHARS
            or len(text.split()) != 1
            or not text.isascii()
        ):
            return False
        return self.key not in _OF_REQUEST and (not text.isdecimal() or _NUMBERED.search(self.key) is not None)


def leaves_of(body: Any) -> list[Leaf]:
    """Return the texts and numbers of a parsed body, from the beginning on."""
    found: list[Leaf] = []
    for leaf in _leaves("", body, _DEPTH):
        found.append(leaf)
        if len(found) == _MOST_LEAVES:
            break
    return found


def _leaves(key: str, value: Any, depth: int) -> Iterator[Leaf]:
    if isinstance(value, str):
        inner = _parsed(value) if depth else None
        if inner:
            yield from _leaves(key, inner, depth - 1)
        elif value and not value.isspace():
            yield Leaf(key, value)
    elif isinstance(value, dict):
        yield from _leaves_of_object(key, value, depth) if depth else ()
    elif isinstance(value, list):
        for each in value[:_MOST_ITEMS] if depth else ():
            yield from _leaves(key if isinstance(each, str) else "", each, depth - 1)
    elif value is not None and not isinstance(value, bool):
        yield Leaf(key, value)


def _leaves_of_object(key: str, value: dict[str, Any], depth: int) -> Iterator[Leaf]:
    for name, each in list(value.items())[:_MOST_ITEMS]:
        if not _SKIPPED.search(name.lower()):
            if key == _BY_FIELD and isinstance(each, list):
                yield Leaf("field", name)
            yield from _leaves(name.lower(), each, depth - 1)


def _parsed(text: str) -> Any:
    """Return the error of another server that a text holds as JSON; None when it is only a text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def words_of(leaves: list[Leaf], most_chars: int, *, has_names: bool = True) -> str:
    """Return what is written for people, each text once; none that is a part of another.

    Without any, the only text that there is; empty when there are several codes, or nothing.

    Args:
        leaves: those of one body.
        most_chars: how many characters are returned at most.
        has_names: whether the names of what was sent are among the words.
    """
    shown = [leaf.value for leaf in leaves if leaf.is_words and not leaf.is_name]
    if not shown:
        shown = [leaf.value for leaf in leaves if isinstance(leaf.value, str) and leaf.key not in _OF_REQUEST]
        shown = shown if len(shown) == 1 else []
    elif has_names:
        shown = [leaf.value for leaf in leaves if leaf.is_words or leaf.is_name]
    texts: list[str] = []
    left = most_chars
    for text in (" ".join(each[:most_chars].split()) for each in shown):
        if left > 0 and not any(_has(each, text) for each in texts):
            texts = [each for each in texts if not _has(text, each)]
            texts.append(text)
            left -= len(text)
    return _joined(texts)[:most_chars]


def _has(text: str, part: str) -> bool:
    """Return whether a part stands in a text, in whole words."""
    return part in text and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _joined(texts: list[str]) -> str:
    joined = ""
    for text in texts:
        joined += ("" if not joined else " " if joined[-1] in ".:;!?。" else ": ") + text
    return joined
