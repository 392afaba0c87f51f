"""Assembles the events of a stream into the chat completion that it would be without streaming. Pure.

The data of each event is one chunk of the completion, until `[DONE]`. An event that is not a chunk says something else:
an error, a heartbeat, a comment. It is the result when no chunk follows it and the answer has not come to its end.
Source: OpenAI's API reference, "The chat completion chunk object".
"""

from typing import Any

import orjson

from batchrun.answers.chat import is_error
from batchrun.answers.events import EventReader
from batchrun.answers.pieces import StreamedChoice, only_text
from batchrun.answers.raw_json import dumps_joined, loads_piece
from batchrun.answers.template import Template
from batchrun.answers.usage import larger_usage

_HEAD = ("id", "created", "model", "service_tier", "system_fingerprint")
"""Repeated in every chunk; the first value counts."""

_CHUNK = "chat.completion.chunk"

_TEXT = "text_completion"
"""The object of completions, in their chunks too."""

_OF_RESPONSES = "response."
_LAST = (".completed", ".incomplete", ".failed", ".cancelled")
"""How the types of the events of a response begin, and those of its last one end. Source: OpenAI's reference."""

_KNOWN = frozenset({*_HEAD, "object", "choices", "usage"})

_OF_PIECES = (b'"choices"', b'"delta"', b'"content"')
"""What a piece of an answer has. An event that cannot be read and has none of them took nothing from the answer."""

_PING_TYPES = ("ping", "heartbeat", "keepalive", "keep-alive")
_PINGS = tuple(each.encode() for each in _PING_TYPES)
"""Events that only keep the connection open."""

_BEGINNING_BYTES = 5

_MOST_TEMPLATES = 8
"""How many templates are tried that fit nothing, before a stream counts as one whose chunks all differ."""

_SHOWN_CHARS = 200
"""How much of an event that is not a chunk is shown."""


class StreamAssembler(EventReader):
    """Assembles one streamed answer. Pieces are collected and joined once, at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.done = False
        """Whether `[DONE]` was seen; bytes after it are not read."""
        self._head: dict[str, Any] = {}
        self._more: dict[str, Any] = {}
        self._choices: dict[int, StreamedChoice] = {}
        self._usage: dict[str, Any] | None = None
        self._error: bytes | None = None
        self._stray: bytes | None = None
        """An error object made of an event that is not a chunk."""
        self._usual: Any = None
        """The fields of the last chunk, if they were those of OpenAI's and none was null: then they say nothing new."""
        self._template: Template | None = None
        """Of the last chunk that had one text and nothing else that was new."""
        self._templates_left = _MOST_TEMPLATES
        self._beginning = b""
        """How the chunks begin."""
        self._has_halves = False
        self._is_text = False
        self._response: dict[str, Any] | None = None
        self._is_closing = False

    @property
    def is_complete(self) -> bool:
        """Whether the answer is complete: `[DONE]`, an error, or a finish reason for every choice."""
        return self.has_ended or self._stray is not None

    @property
    def has_ended(self) -> bool:
        """Whether the end of the answer was seen; an event that says something else is not its end."""
        return self.done or self._error is not None or self._is_finished

    @property
    def _is_finished(self) -> bool:
        return bool(self._choices) and all(choice.is_finished for choice in self._choices.values())

    def close(self) -> None:
        """Take the end of the body: a last event may lack its empty line, but one that was cut off is not read."""
        self._is_closing = True
        super().close()

    def result(self) -> bytes:
        """Return the answer so far as the JSON of one chat completion, or the error from the stream."""
        if self._response is not None:
            return dumps_joined(self._response)
        if self._error is not None:
            return _begun(self._error, self._usage) if self._choices else self._error
        if self._stray is not None and not self._is_finished:
            return self._stray
        if not (self._choices or self._head or self._more or self._usage):
            return _error("the stream is empty")
        choices = [choice.assembled(index) for index, choice in sorted(self._choices.items())]
        if self._is_text:
            choices = [_text_choice(choice) for choice in choices]
        name = _TEXT if self._is_text else "chat.completion"
        completion = {**self._head, "object": name, **self._more, "choices": choices}
        if self._usage is not None:
            completion["usage"] = self._usage
        try:
            # A copy: bytes of orjson keep the buffer that they were made in, which is up to sixteen times as long.
            return dumps_joined(completion) if self._has_halves else bytes(memoryview(orjson.dumps(completion)))
        except (TypeError, ValueError):  # orjson reads deeper nesting than it writes
            return _error("the stream is nested too deeply")

    def take_many(self, data: bytes) -> bytes:
        """Take the chunks at the beginning that differ from the last one in their text only; return what follows."""
        if self._template is None or self.done or self._error is not None:
            return data
        taken = self._template.take(data)
        if taken is None:
            return data
        text, rest = taken
        self._choice_at(self._template.index).read_more(self._template.field, text)
        self._stray = None
        self._templates_left = _MOST_TEMPLATES
        return rest

    def _learn(self, data: bytes, chunk: dict[str, Any]) -> None:
        """Make a chunk the template for those that follow."""
        match chunk.get("choices"):
            case [{"index": int(index)} as choice] if (field := only_text(choice)) is not None:
                self._template = Template.of(data, index, field)
                self._templates_left -= 1

    def take_event(self, name: bytes, data: bytes) -> None:
        """Take one event."""
        if self.done or self._error is not None:
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._read_odd_event(name, data)
            return
        if chunk.__class__ is dict:
            if chunk.keys() == self._usual and not name:
                self._read_pieces(chunk)
                if self._templates_left:
                    self._learn(data, chunk)
            else:
                self._beginning = self._beginning or data[:_BEGINNING_BYTES]
                self._read_object(name, data, chunk)
        else:
            self._read_stray(data)

    def _read_odd_event(self, name: bytes, data: bytes) -> None:
        """Take an event that is not strict JSON."""
        if data.strip() == b"[DONE]":
            self.done = True
            return
        lines = data.split(b"\n")
        if len(lines) > 1 and all(line.startswith((b"{", b"[DONE]")) for line in lines):  # no empty line between events
            for line in lines:
                self.take_event(name, line)
            return
        try:
            chunk = loads_piece(data) if data.lstrip().startswith(b"{") else None
        except ValueError:
            if not self._is_closing:  # otherwise the event was cut off
                self._read_broken(data)
            return
        if chunk is None:
            self._read_stray(data)
            return
        self._has_halves = True
        self._read_object(name, data, chunk)

    def _read_object(self, name: bytes, data: bytes, chunk: dict[str, Any]) -> None:
        if is_error(chunk.get("error")):
            self._error = data
        elif chunk.get("object") == "error" or name == b"error":  # the errors of vLLM until 2025, and of Anthropic
            self._error = b'{"error":' + data + b"}"
        elif isinstance(kind := chunk.get("type"), str) and kind.startswith(_OF_RESPONSES):
            self._read_response(kind, chunk.get("response"))
        elif isinstance(chunk.get("choices"), list) or isinstance(chunk.get("usage"), dict):
            self._read_chunk(chunk)
        elif name not in _PINGS and chunk.get("type") not in _PING_TYPES:
            self._read_more(chunk)
            self._read_stray(data)
            if isinstance(chunk.get("message"), str):
                self._stray = b'{"error":' + data + b"}"

    def _read_response(self, kind: str, response: Any) -> None:
        """Take an event of a response: the last one has all of it, as if it had not been streamed."""
        self._stray = None
        if kind.endswith(_LAST) and isinstance(response, dict):
            self._response, self.done = response, True

    def _read_broken(self, data: bytes) -> None:
        """Take an event that cannot be read: it may have been a piece of the answer, or anything else."""
        is_piece = any(name in data for name in _OF_PIECES) or data.startswith(self._beginning or data)
        if is_piece and not self._is_finished:
            self._error = _error("the stream has an event that is not JSON")
        elif not self._is_finished:
            self._read_stray(data)

    def _read_stray(self, data: bytes) -> None:
        shown = " ".join(data.decode("utf-8", "replace").split())[:_SHOWN_CHARS]
        self._stray = _error(f"the stream ended after an event that is not a chunk: {shown}")

    def _read_chunk(self, chunk: dict[str, Any]) -> None:
        self._read_head(chunk)
        self._read_pieces(chunk)

    def _read_pieces(self, chunk: dict[str, Any]) -> None:
        if (usage := chunk.get("usage")).__class__ is dict:
            self._usage = larger_usage(self._usage, usage)
        choices = chunk.get("choices")
        for each in choices if choices.__class__ is list else ():
            if each.__class__ is dict:
                self._stray = None
                self._choice_at(each.get("index")).read(each)

    def _read_head(self, chunk: dict[str, Any]) -> None:
        self._is_text = self._is_text or chunk.get("object") == _TEXT
        for name in _HEAD:
            if name not in self._head and chunk.get(name) is not None:
                self._head[name] = chunk[name]
        if not chunk.keys() <= _KNOWN:
            self._read_more(chunk)
        elif chunk.get("object") == _CHUNK and isinstance(chunk.get("choices"), list):
            self._usual = chunk.keys() if all(chunk.get(name) is not None for name in _HEAD if name in chunk) else None

    def _read_more(self, chunk: dict[str, Any]) -> None:
        """Keep the fields that OpenAI's chunks do not have, such as Groq's `x_groq` with the usage in it."""
        for name in chunk.keys() - _KNOWN:
            value, before = chunk[name], self._more.get(name)
            if isinstance(value, dict) and isinstance(before, dict):
                before.update(value)
            elif value is not None:
                self._more[name] = value

    def _choice_at(self, index: Any) -> StreamedChoice:
        if type(index) is not int:
            index = 0
        if index not in self._choices:
            self._choices[index] = StreamedChoice()
        return self._choices[index]


def _text_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """Return an assembled choice as completions have it: with a text in the place of the message."""
    return {"text": choice.pop("message").get("content") or "", **choice}


def _begun(error: bytes, usage: dict[str, Any] | None) -> bytes:
    """Return an error with what shows that an answer had begun: a choice without its text, and the usage so far."""
    try:
        found = orjson.loads(error)
        return orjson.dumps({**found, "choices": [{}]} | ({} if usage is None else {"usage": usage}))
    except (TypeError, ValueError):  # orjson reads deeper nesting than it writes
        return error


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "bad_stream"}})
