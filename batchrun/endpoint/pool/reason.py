"""What an error reply says: its message, its codes, and how long to wait, wherever they stand in it. Pure.

The words are all texts of the body that are written for people (`leaves`). Codes are what a program wrote for programs;
words only help where codes are missing. Only the beginning of the words is shown; all of them are read.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from batchrun.answers.events import EventReader, is_stream
from batchrun.answers.raw_json import loads
from batchrun.endpoint.pool.echo import without_echo
from batchrun.endpoint.pool.leaves import leaves_of, words_of

_MESSAGE_CHARS = 500
"""Longest message that is kept of an error: whole error pages help nobody."""

_READ_CHARS = 20_000
"""How much of an error is read for the verdict: what counts may stand behind a long echo."""

_ODD_BYTES = 100_000
"""Longest error that is read in another way than as strict JSON or as text: all other rows wait meanwhile."""

_KEPT_BYTES = 2_000
"""Longest error that is known again."""

_MOST_CODES = 32

_DELAYS_S = {
    "retrydelay": 1.0,
    "retry_after": 1.0,
    "retryafter": 1.0,
    "retry-after": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001,
}
"""Keys of a wait, and their unit. Source: google.rpc.RetryInfo; OpenRouter and Discord-like APIs."""

_UNIT = r"(ms|millis?(?:econds?)?|s|secs?|seconds?|秒|m|mins?|minutes?|分钟|h|hrs?|hours?|小时)(?![a-z])"
_SPAN = rf"(?:\d+(?:\.\d+)?\s*{_UNIT.replace('(ms', '(?:ms')}\s*)+"
_ADVICE = re.compile(
    rf"(?:\b(?:again|retry|wait)\b|重试|等待).{{0,20}}?({_SPAN})|({_SPAN})(?:之|以)?后.{{0,8}}?(?:重试|再试)",
    re.IGNORECASE,
)
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*{_UNIT}", re.IGNORECASE)
_UNITS_S = {"ms": 0.001, "mil": 0.001, "s": 1.0, "秒": 1.0, "m": 60.0, "分": 60.0, "h": 3600.0, "小": 3600.0}
"""What a unit begins with, and its seconds."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_WORD = re.compile(r"[^\W\d_]+")
_ALIKE = 0.6
"""Least share of words that two messages of the same reason have in common: a request id or an echo may differ."""


class Reason(NamedTuple):
    """What an error reply says."""

    message: str = ""
    """In one line, without control characters."""
    codes: tuple[str, ...] = ()
    """Machine-readable codes, types, statuses and reasons, in lower case; wherever they stand."""
    advice_s: float | None = None
    """How long the body asks to wait."""
    text: str = ""
    """All its words in lower case, for the verdict; `message` shows their beginning, and names of what was sent."""

    def is_like(self, other: "Reason") -> bool:
        """Return whether both give the same reason, apart from numbers, quoted parts and ids."""
        ours, theirs = self._words(), other._words()
        return len(ours & theirs) >= _ALIKE * len(ours | theirs)

    def _words(self) -> set[str]:
        plain = _QUOTED.sub(" ", self.message.lower())
        words = (word for word in plain.split() if not any(letter.isdigit() for letter in word))
        return {found for word in words for found in _WORD.findall(word)} | {
            code for code in self.codes if code.isdecimal() or not any(map(str.isdigit, code))
        }


def read_reason(body: bytes, sent: bytes = b"") -> Reason:
    """Return what an error body says, whatever its shape; of plain text and HTML, the readable beginning.

    Args:
        body: of the reply.
        sent: of the request: what the error repeats of it does not count for the verdict.
    """
    reason, stated_s = _read_again(body) if len(body) <= _KEPT_BYTES else _read(body)
    words = without_echo(reason.text, sent)
    if words == reason.text:
        return reason
    return reason._replace(advice_s=_advice_in(words) if stated_s is None else stated_s, text=words)


def _read(body: bytes) -> tuple[Reason, float | None]:
    """Return what an error body says, and the wait that a field of it states."""
    answer = _parsed(body)
    if not isinstance(answer, dict | list) or not answer:
        text = plain_text(body, _READ_CHARS)
        return Reason(printable(text), (), _advice_in(text.lower()), text.lower()), None
    leaves = leaves_of(answer)
    words = printable(words_of(leaves, _READ_CHARS, has_names=False), _READ_CHARS).lower()
    codes = tuple(dict.fromkeys(str(leaf.value).strip().lower() for leaf in leaves if leaf.is_code))[:_MOST_CODES]
    stated = (_delay_s(leaf.value, _DELAYS_S[leaf.key]) for leaf in leaves if leaf.key in _DELAYS_S)
    stated_s = next((seconds for seconds in stated if seconds is not None), None)
    message = words_of(leaves, _READ_CHARS) or (_as_text(answer) if leaves else "")
    return Reason(printable(message), codes, _advice_in(words) if stated_s is None else stated_s, words), stated_s


_read_again = lru_cache(maxsize=64)(_read)
"""Reads an error that may come a thousand times: a server that is busy or away says the same to everybody."""


class _Texts(EventReader):
    """Keeps the data of all events."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def take_event(self, name: bytes, data: bytes) -> None:
        self.texts.append(data.decode("utf-8", "replace"))


def _parsed(body: bytes) -> Any:
    """Return the JSON of an error, also of one that is not strict or comes as the events of a stream; None without."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if len(body) > _ODD_BYTES:
        return None
    if is_stream(body):
        reader = _Texts()
        reader.feed(body)
        reader.close()
        return [text for text in reader.texts if text != "[DONE]"]
    try:
        answer = loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _delay_s(value: Any, unit_s: float) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return span_s(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return value * unit_s


def _advice_in(text: str) -> float | None:
    found = _ADVICE.search(text)
    return span_s(found[1] or found[2]) if found else None


def span_s(text: str) -> float | None:
    """Return the seconds of a span such as `2.5s`, `6m0s` or `12 seconds`; None when there is none."""
    parts = _PART.findall(text)
    return sum(float(number) * _seconds_of(unit.lower()) for number, unit in parts) if parts else None


def _seconds_of(unit: str) -> float:
    return next(_UNITS_S[unit[:length]] for length in (3, 2, 1) if unit[:length] in _UNITS_S)


def _as_text(message: Any) -> str:
    try:
        return orjson.dumps(message).decode()
    except TypeError:  # orjson reads deeper nesting than it writes
        return ""


_TAGS = re.compile(r"<(script|style).*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def plain_text(body: bytes, most_chars: int = _MESSAGE_CHARS) -> str:
    """Return the readable beginning of a body that is not JSON; of HTML, its text."""
    return printable(_TAGS.sub(" ", body[:10_000].decode("utf-8", "replace")), most_chars)


def printable(text: str, most_chars: int = _MESSAGE_CHARS) -> str:
    """Return the beginning of a text in one line, without control characters: terminals would obey them."""
    text = text[: 4 * most_chars]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:most_chars]
