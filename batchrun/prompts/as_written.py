"""Bodies of batch lines as they stand in the input: white space, order of keys, forms of numbers, escapes. Pure.

Such a body is what is sent, if it asks just what the job asks with this row. It is compared by what it says, so nothing
that makes a body has to know of it; the `request_key` is that of the body which is made.
"""

import re
from typing import Any, Self

import orjson

from batchrun.answers.raw_json import has_twins, place_of, with_value

_BEFORE = re.compile(
    rb'\s*+\{\s*+(?:"(?:custom_id|method|url)"\s*+:\s*+"[^"\\]*+"\s*+,\s*+)*+"body"\s*+:\s*+(?=\{)', re.DOTALL
)
"""How nearly all batch lines begin, up to the body."""

_OF_THE_RUN = ("n", "stream", "stream_options")
"""Keys of a body that are the run's to say; see `row_body.overrides`."""


class AsWritten:
    """The body of one batch line."""

    def __init__(self, text: bytes, fields: dict[str, Any]) -> None:
        """Take a body in which no key stands twice.

        Args:
            text: as it stands in the line.
            fields: what it says.
        """
        self._text = text
        self._of_the_run = {name: fields.pop(name) for name in _OF_THE_RUN if name in fields}
        self._model = fields.pop("model", None)
        self._says = _sorted(fields)

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """Return the body of a batch line; None where it is not an object, or has a key twice."""
        text, fields = _cut(line) or _searched(line)
        if not isinstance(fields, dict) or has_twins(text, fields):
            return None
        return cls(text, fields)

    def sent(self, made: bytes, model: str, transport: bytes, *, has_samples: bool) -> bytes | None:
        """Return the body as it is sent in the place of another, with the other's model.

        Args:
            made: a body that says the same, or not, without `transport`.
            model: its model.
            transport: what is appended to a body for a streamed answer; empty for one that is not streamed.
            has_samples: whether a row is asked several times.

        Returns:
            None where the other body says more, less or something else.
        """
        of_the_run = self._of_the_run
        is_streamed = of_the_run.get("stream") or of_the_run.get("stream_options")
        if is_streamed or (transport and len(of_the_run) > ("n" in of_the_run)) or (has_samples and "n" in of_the_run):
            return None
        fields = orjson.loads(made)
        del fields["model"]
        if _sorted(fields) != self._says:
            return None
        text = self._text if model == self._model else with_value(self._text, "model", orjson.dumps(model))
        return text[:-1] + transport + b"}" if transport else text


def _cut(line: bytes) -> tuple[bytes, Any] | None:
    """Return the body of a line and what it says; None where the line has an unusual form."""
    before = _BEFORE.match(line)
    if before is None:
        return None
    start, last = before.end(), line.rfind(b"}")
    text = line[start : line.rfind(b"}", start, last) + 1]
    try:
        return text, orjson.loads(text)  # the whole of an object: it is the body
    except orjson.JSONDecodeError:
        return None


def _searched(line: bytes) -> tuple[bytes, Any]:
    place = place_of(line, "body")
    text = b"null" if place is None else line[place]
    return text, orjson.loads(text)


def _sorted(fields: dict[str, Any]) -> bytes:
    """Return JSON that is the same for the same keys and values; 1, 1.0 and true are not the same."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
