"""Turns a body into UTF-8. Pure."""

import contextlib
import re
from functools import lru_cache

_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)


def in_utf8(body: bytes, content_type: str) -> bytes:
    """Return a body that is not UTF-8 in UTF-8, if its content type says what it is."""
    charset = _charset_in(content_type)
    if charset is None:
        return body
    try:
        body.decode()
    except UnicodeDecodeError:
        with contextlib.suppress(LookupError, UnicodeError):
            return body.decode(charset).encode()
    return body


@lru_cache
def _charset_in(content_type: str) -> str | None:
    """Return the charset that a content type names, if it is not UTF-8."""
    charset = _CHARSET.search(content_type)
    return None if charset is None or charset[1].lower() in ("utf-8", "utf8") else charset[1]
