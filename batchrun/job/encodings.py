"""The names of the encodings of text. Pure."""

import codecs
import difflib
from encodings.aliases import aliases
from typing import Any

_UTF_8 = ("utf-8", "utf-8-sig")
"""A byte order mark is left out anyway."""


def encoding_name(value: Any) -> str:
    """Accept the name of an encoding that Python knows."""
    if isinstance(value, str) and value:
        try:
            b"a".decode(value, "replace")  # some encodings are of bytes, such as base64
            codecs.getincrementaldecoder(value)
        except (LookupError, UnicodeError, ValueError):
            texts = {name: kind for name, kind in aliases.items() if not kind.endswith("_codec")}
            known = [*texts, *texts.values()]
            close = difflib.get_close_matches(value.lower().replace("-", "_"), known, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0].replace('_', '-')}?" if close else ""
            raise ValueError(f"must be an encoding, such as windows-1252, latin-1 or utf-16{hint}") from None
        return value
    raise ValueError("must be the name of an encoding, such as windows-1252")


def is_utf8(name: str | None) -> bool:
    """Return whether a text in an encoding is read as it is; None means UTF-8."""
    return name is None or codecs.lookup(name).name in _UTF_8
